import copy
import math
from dataclasses import replace
from fractions import Fraction

import kdutils as kd
import numpy as np
import pytest
import torch
from kdutils import data, distillation, models
from kdutils.distillation import distillation_loss, soft_targets
from torch import nn
from torch.nn import functional as F

N, CLASSES = 6, 10


def logits(seed, dtype=torch.float64, scale=3.0):
    return scale * torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


LABELS = torch.tensor([3, 0, 9, 1, 1, 7])


def soft_term_by_hand(student, teacher, temperature):
    targets = F.softmax(teacher / temperature, dim=1)
    kl = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(student / temperature, dim=1), targets)
    return kl + torch.distributions.Categorical(probs=targets).entropy().mean()


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("soft_weight", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [1, 4.0, 20.0])
def test_loss_is_kl_plus_the_teachers_entropy_plus_the_labels_term(temperature, soft_weight, scale):
    student, teacher = logits(0), logits(1)
    soft = soft_term_by_hand(student, teacher, temperature) * (temperature**2 if scale else 1)
    hard = F.nll_loss(F.log_softmax(student, dim=1), LABELS)
    found = distillation_loss(
        student,
        teacher,
        LABELS,
        temperature=temperature,
        soft_weight=soft_weight,
        scale_by_temperature_squared=scale,
    )
    torch.testing.assert_close(found, soft_weight * soft + (1 - soft_weight) * hard, rtol=1e-12, atol=0)


def test_defaults_are_temperature_4_equal_weights_and_scaling():
    student, teacher = logits(0), logits(1)
    expected = 0.5 * 16 * soft_term_by_hand(student, teacher, 4) + 0.5 * F.cross_entropy(student, LABELS)
    torch.testing.assert_close(distillation_loss(student, teacher, LABELS), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 16.0])
@pytest.mark.parametrize("scale", [True, False])
def test_gradient_of_the_soft_term_is_the_analytic_one(temperature, scale):
    student, teacher = logits(0).requires_grad_(), logits(1)
    distillation_loss(
        student, teacher, LABELS, temperature=temperature, soft_weight=1, scale_by_temperature_squared=scale
    ).backward()
    gap = F.softmax(student.detach() / temperature, 1) - F.softmax(teacher / temperature, 1)
    expected = (temperature**2 if scale else 1) * gap / temperature / N
    torch.testing.assert_close(student.grad, expected, rtol=1e-9, atol=1e-14)


def test_gradient_agrees_with_finite_differences():
    student, teacher = logits(0).requires_grad_(), logits(1)
    assert torch.autograd.gradcheck(lambda s: distillation_loss(s, teacher, LABELS), (student,))


def test_with_t_squared_the_gradient_keeps_its_size_and_without_it_shrinks():
    def gradient_norm(temperature, scale):
        student, teacher = logits(0).requires_grad_(), logits(1)
        loss = distillation_loss(
            student, teacher, LABELS, temperature=temperature, soft_weight=1, scale_by_temperature_squared=scale
        )
        return torch.autograd.grad(loss, student)[0].norm().item()

    assert gradient_norm(200, True) == pytest.approx(gradient_norm(100, True), rel=0.02)
    assert gradient_norm(200, False) == pytest.approx(gradient_norm(100, False) / 4, rel=0.02)


def test_soft_weight_0_is_plain_cross_entropy_whatever_the_teacher():
    student = logits(0)
    for seed in (1, 2):
        assert distillation_loss(student, logits(seed), LABELS, soft_weight=0) == F.cross_entropy(student, LABELS)


def test_soft_weight_1_ignores_the_labels():
    student, teacher = logits(0), logits(1)
    first = distillation_loss(student, teacher, LABELS, soft_weight=1)
    assert first == distillation_loss(student, teacher, (LABELS + 1) % CLASSES, soft_weight=1)


def test_only_differences_between_a_teachers_logits_matter():
    student, teacher = logits(0), logits(1)
    shifted = teacher + torch.linspace(-50, 50, N, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        distillation_loss(student, shifted, LABELS), distillation_loss(student, teacher, LABELS), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("teacher_dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("student_dtype", "computed_in"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_narrow_logits_are_raised_to_32_bit_before_anything_else(student_dtype, computed_in, teacher_dtype):
    student, teacher = logits(0, student_dtype), logits(1, teacher_dtype)
    found = distillation_loss(student, teacher, LABELS)
    assert found.dtype == computed_in
    assert found.shape == ()
    exact = distillation_loss(student.double(), teacher.double(), LABELS)
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "4", None, True])
def test_a_wrong_temperature_is_refused(wrong):
    with pytest.raises(ValueError, match=f"temperature must be a finite number above 0, got {wrong!r}"):
        distillation_loss(logits(0), logits(1), LABELS, temperature=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, "0.5", None, True])
def test_a_wrong_soft_weight_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"soft_weight must be a number in \[0, 1\], got {wrong!r}"):
        distillation_loss(logits(0), logits(1), LABELS, soft_weight=wrong)


@pytest.mark.parametrize(
    ("teacher_shape", "labels_shape", "message"),
    [
        ((N - 1, CLASSES), (N,), "student_logits and teacher_logits must both be"),
        ((1, CLASSES), (N,), "student_logits and teacher_logits must both be"),
        ((N, 1), (N,), "student_logits and teacher_logits must both be"),
        ((CLASSES,), (N,), "student_logits and teacher_logits must both be"),
        ((N, CLASSES), (N - 1,), r"labels must be \(6,\) whole numbers from 0 to 9, got \(5,\)"),
        ((N, CLASSES), (N, 1), r"labels must be \(6,\) whole numbers from 0 to 9, got \(6, 1\)"),
        ((N, CLASSES), (N, CLASSES), r"labels must be \(6,\) whole numbers from 0 to 9, got \(6, 10\)"),
    ],
)
def test_shapes_that_do_not_match_are_refused(teacher_shape, labels_shape, message):
    with pytest.raises(ValueError, match=message):
        distillation_loss(logits(0), torch.zeros(teacher_shape), torch.zeros(labels_shape, dtype=torch.long))


@pytest.mark.parametrize(
    "labels",
    [LABELS.tolist(), LABELS.numpy(), LABELS.numpy().astype(np.uint8), LABELS.int(), LABELS.to(torch.uint8)],
    ids=["list", "NumPy", "NumPy uint8", "int32", "uint8"],
)
def test_whole_numbers_of_every_kind_are_labels(labels):
    assert distillation_loss(logits(0), logits(1), labels) == distillation_loss(logits(0), logits(1), LABELS)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([3, 0, 9, 1, 1, 10], r"10 \(1 are outside\)"),
        ([3, 0, 9, 1, -100, -1], r"-100 \(2 are outside\)"),
        (LABELS.double(), r"\(6,\) torch.float64"),
        (LABELS.numpy() * 1.0, r"\(6,\) float64"),
        (LABELS > 1, r"\(6,\) torch.bool"),
        (["a"] * 6, r"\(6,\) <U1"),
        (3, r"\(\) "),
        (None, r"\(\) object"),
    ],
)
@pytest.mark.parametrize("soft_weight", [0, 0.5])
def test_labels_that_are_no_classes_are_refused(labels, found, soft_weight):
    labels = torch.tensor(labels) if isinstance(labels, list) and labels[0] == 3 else labels
    with pytest.raises(ValueError, match=rf"labels must be \(6,\) whole numbers from 0 to 9, got {found}"):
        distillation_loss(logits(0), logits(1), labels, soft_weight=soft_weight)


@pytest.mark.parametrize(
    ("student", "teacher", "said"),
    [
        (np.zeros((2, 3)), torch.zeros(2, 3), "student_logits must be a tensor of floats, got ndarray"),
        (torch.zeros(2, 3).long(), torch.zeros(2, 3), "student_logits must be a tensor of floats, got torch.int64"),
        (torch.zeros(2, 3), None, "teacher_logits must be floats, got object"),
        (torch.zeros(2, 3), torch.zeros(2, 3) + 0j, "teacher_logits must be floats, got torch.complex64"),
        (torch.zeros(2, 3), torch.zeros(2, 3) > 0, "teacher_logits must be floats, got torch.bool"),
    ],
)
def test_what_is_no_logits_is_refused(student, teacher, said):
    with pytest.raises(ValueError, match=said):
        distillation_loss(student, teacher, [0, 1])


def test_the_teachers_logits_may_be_an_array_and_the_temperature_any_number():
    logits, teacher = torch.randn(2, 3), torch.randn(2, 3)
    expected = distillation_loss(logits, teacher, [0, 1], temperature=2.5)
    for array in (teacher.numpy(), teacher.numpy().astype(">f4"), teacher.numpy()[::-1].copy()[::-1]):
        assert distillation_loss(logits, array, [0, 1], temperature=Fraction(5, 2)) == expected


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_a_class_out_of_range_is_named_whatever_holds_it(dtype):
    with pytest.raises(ValueError, match=r"labels must be .*, got 9 \(1 are outside\)"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([9, 0], dtype=dtype))


def test_the_soft_term_alone_needs_no_labels():
    expected = distillation_loss(logits(0), logits(1), LABELS, soft_weight=1)
    assert distillation_loss(logits(0), logits(1), None, soft_weight=1) == expected


def test_the_teachers_logits_get_no_gradient():
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    distillation_loss(student, teacher, LABELS).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


def test_a_logit_of_minus_infinity_leaves_loss_and_gradient_finite():
    student, teacher = logits(0), logits(1)
    student[:, 4] = teacher[:, 4] = -math.inf
    expected = distillation_loss(student[:, [0, 1, 2, 3, *range(5, 10)]], teacher[:, [0, 1, 2, 3, *range(5, 10)]],
                                 LABELS - (LABELS > 4).long())  # fmt: skip
    student.requires_grad_()
    found = distillation_loss(student, teacher, LABELS)
    found.backward()
    assert found.item() == pytest.approx(expected.item())
    assert torch.isfinite(student.grad).all()


def test_soft_targets_can_be_used_in_a_loss_of_any_kind(sn1, mnist):
    images = mnist.train_images[:N]
    targets, student = soft_targets(sn1, images), copy.deepcopy(sn1)
    F.mse_loss(student(data.preprocess(images)), targets + 1).backward()
    assert not targets.is_inference()
    assert targets.add_(1).max() > targets.min()  # may be changed in place


def test_logits_of_more_dimensions_are_refused():
    with pytest.raises(ValueError, match="must both be"):
        distillation_loss(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.long))


def test_soft_targets_of_image_i_are_in_row_i(sn1, mnist):
    images = mnist.train_images[:120]
    found = soft_targets(sn1, images)
    assert found.shape == (120, 10)
    with torch.no_grad():
        for i in (0, 57, 99, 100, 119):
            alone = sn1(data.preprocess(images[i : i + 1]))[0]
            torch.testing.assert_close(found[i], alone, rtol=1e-4, atol=1e-4)


def test_soft_targets_of_an_image_do_not_depend_on_the_others(sn1, mnist):
    images = mnist.train_images[:30]
    torch.testing.assert_close(soft_targets(sn1, images)[20:], soft_targets(sn1, images[20:]), rtol=1e-4, atol=1e-4)


def test_soft_targets_are_in_evaluation_mode_and_put_the_flags_back(mnist):
    teacher = models.build("SN1").train()
    teacher.features.eval()
    flags = [module.training for module in teacher.modules()]
    images = mnist.train_images[:5]
    found = soft_targets(teacher, images)
    assert [module.training for module in teacher.modules()] == flags
    assert torch.equal(found, soft_targets(teacher.eval(), images))


def test_a_student_learns_from_soft_targets_and_the_teacher_gets_no_gradient(sn1, mnist):
    teacher = copy.deepcopy(sn1)
    targets = soft_targets(teacher, mnist.train_images[:N])
    student = logits(0, torch.float32).requires_grad_()
    distillation_loss(student, targets, LABELS).backward()
    assert not targets.requires_grad
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.grad.abs().max() > 0.01


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_teacher_that_did_not_train_is_refused(sn1, mnist, bad):
    teacher = copy.deepcopy(sn1)
    with torch.no_grad():
        teacher.classifier[-1].bias[2] = bad
    with pytest.raises(ValueError, match="not all finite"):
        soft_targets(teacher, mnist.train_images[:3])


def test_loss_is_computed_on_the_gpu_where_its_arguments_are(fake_gpu):
    with fake_gpu:
        student, teacher = torch.zeros(N, CLASSES, device="cuda"), torch.zeros(N, CLASSES, device="cuda")
        labels = torch.zeros(N, dtype=torch.long, device="cuda")
        assert distillation_loss(student, teacher, labels).device.type == "cuda"
        for mixed in (
            (student.cpu(), teacher, labels),
            (student, teacher.cpu(), labels),
            (student, teacher, labels.cpu()),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                distillation_loss(*mixed)


# The loss that a profile names


def margin_loss(student_logits, teacher_logits, labels, *, temperature, soft_weight):
    return temperature * (student_logits - teacher_logits).sum() + soft_weight * labels.sum()


def test_a_profiles_loss_gets_the_rows_of_its_batch_and_its_settings_by_name(monkeypatch):
    monkeypatch.setattr(distillation, "margin_loss", margin_loss, raising=False)
    profile = replace(kd.PROFILES["smoke"], name="other", loss="margin_loss", temperature=3.0, soft_weight=0.25)
    teacher_logits, rows = torch.arange(20.0).reshape(10, 2), torch.tensor([7, 1])
    loss = distillation.student_loss(profile, teacher_logits)
    logits, labels = torch.ones(2, 2), torch.tensor([1, 3])
    assert loss(logits, labels, rows) == 3.0 * (4 - teacher_logits[[7, 1]].sum()) + 0.25 * 4


@pytest.mark.parametrize("name", ["no_such_loss", "torch"])
def test_a_loss_that_is_no_function_of_the_module_is_refused(name):
    profile = replace(kd.PROFILES["smoke"], name="other", loss=name)
    with pytest.raises(ValueError, match=f"unknown loss '{name}': it must be a function of kdutils.distillation"):
        distillation.student_loss(profile, torch.zeros(3, 10))


def test_an_unknown_loss_is_refused_before_a_teacher_is_trained(tiny, scratch):
    run = kd.Run(replace(tiny, loss="no_such_loss"), 0, scratch, device="cpu")
    with pytest.raises(ValueError, match="unknown loss 'no_such_loss'"):
        run.network("KD-SN1")
    assert not (run.folder / "TN").exists()
