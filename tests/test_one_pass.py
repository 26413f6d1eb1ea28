import copy
import hashlib
import json
import math
import shutil
import time
from dataclasses import asdict, replace

import kdutils as kd
import numpy as np
import pytest
import torch
from checkout import ROOT
from kdutils import data, models, one_pass, recipes, training
from kdutils.plumbing import store
from kdutils.predictions import entropy
from kdutils.profiles import derive_seed
from kdutils.recipes import ONE_PASS, Recipe
from scipy.special import digamma

SMALL = Recipe(views=2, steps=24, batch_size=12)  # 3 epochs over 30 images and 60 views


@pytest.fixture(scope="session")
def images(mnist):
    return mnist.train_images[:40]


@pytest.fixture
def begun(finished_run, scratch):
    """A function: a Run with a copy of the finished run's teacher, and of what `begun` made before."""

    def begin(recipe=SMALL, **options):
        if not (scratch / "tiny").exists():
            shutil.copytree(finished_run.folder / "TN", scratch / "tiny" / "seed-0" / "TN")
        return kd.Run(finished_run.profile, 0, scratch, device="cpu", recipe=recipe, **options)

    return begin


@pytest.fixture(scope="module")
def one(finished_run, tmp_path_factory):
    """A Run with predictions of ONE-SN1; a test that changes it begins its own."""
    root = tmp_path_factory.mktemp("one")
    shutil.copytree(finished_run.folder / "TN", root / "tiny" / "seed-0" / "TN")
    run = kd.Run(finished_run.profile, 0, root, device="cpu", recipe=SMALL)
    run.predictions("ONE-SN1")
    yield run
    shutil.rmtree(root)


def read(run, name, file="manifest.json"):
    return json.loads((run.folder / name / file).read_text(encoding="utf-8"))


def edit_manifest(run, name, **changes):
    changed = read(run, name) | changes
    del changed["sha256"]
    changed = {key: value for key, value in changed.items() if value is not None}
    record = changed | {"sha256": hashlib.sha256(store.to_json(changed)).hexdigest()}
    (run.folder / name / "manifest.json").write_bytes(store.to_json(record))


def numbers(*values):
    return [torch.tensor([value]) for value in values]


# Views


def test_what_is_not_moved_stays(images):
    floats = torch.from_numpy(images).float()
    n = len(images)
    still = one_pass.warp(floats, torch.zeros(n), torch.ones(n), torch.zeros(n), torch.zeros(n, 2))
    np.testing.assert_array_equal(still.round(), floats)
    np.testing.assert_array_equal(one_pass.views(images, 2, seed=0, kinds=()), [images, images])


def test_a_quarter_turn_a_doubling_and_a_shift_by_hand(images):
    image = torch.from_numpy(images[:1]).float()
    zero, still = torch.zeros(1), torch.zeros(1, 2)
    turned = one_pass.warp(image, torch.full((1,), math.pi / 2), torch.ones(1), zero, still)
    torch.testing.assert_close(turned, torch.rot90(image, dims=(2, 3)), atol=1e-2, rtol=0)
    moved = one_pass.warp(image, zero, torch.ones(1), zero, torch.tensor([[6 / 28, 4 / 28]]))
    torch.testing.assert_close(moved[..., :26, :25], image[..., 2:, 3:], atol=1e-2, rtol=0)
    square = torch.zeros(1, 1, 28, 28)
    square[..., 10:18, 10:18] = 255
    larger = one_pass.warp(square, zero, torch.full((1,), 1.5), zero, still)
    assert (larger > 127).sum() == 12**2
    leaning = one_pass.warp(square, zero, torch.ones(1), torch.full((1,), 0.5), still)
    rows, columns = torch.nonzero(leaning[0, 0] > 127, as_tuple=True)
    assert (rows - 13.5).double().mul(columns - 13.5).mean() < -5  # it is drawn out along the other diagonal
    assert leaning.sum() / square.sum() == pytest.approx(1 / (1 - 0.5**2), rel=0.05)
    torch.testing.assert_close(leaning, leaning.transpose(2, 3))  # no rotation


def test_a_seed_gives_the_same_views_and_another_others(images):
    views = one_pass.views(images, 3, seed=0)
    assert views.shape == (3, *images.shape)
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(views, one_pass.views(images, 3, seed=0))
    np.testing.assert_array_equal(views[:1], one_pass.views(images, 1, seed=0))
    pictures = [*views, images, *one_pass.views(images, 1, seed=1)]
    assert all(np.abs(a.astype(int) - b).mean() > 5 for i, a in enumerate(pictures) for b in pictures[:i])
    assert one_pass.views(np.zeros((5, 3, 8, 8), np.uint8), 1, seed=0).shape == (1, 5, 3, 8, 8)


def test_views_stay_within_what_they_may(images, monkeypatch):
    drawn = []
    monkeypatch.setattr(one_pass, "warp", lambda own, *drawn_now: drawn.append(drawn_now) or own)
    one_pass.views(np.repeat(images, 100, 0), 2, seed=0)
    for i, (middle, widest) in enumerate([(0, math.radians(25)), (1, 0.2), (0, 0.15), (0, 0.2)]):
        apart = torch.cat([found[i] for found in drawn]) - middle
        assert 0.98 * widest < apart.max() <= widest * (1 + 1e-6)
        assert -0.98 * widest > apart.min() >= -widest * (1 + 1e-6)


def test_a_mixture_is_mostly_its_own_image():
    plain = np.repeat(np.array([0, 200], np.uint8), 200).reshape(400, 1, 1, 1) * np.ones((28, 28), np.uint8)
    (mixed,) = one_pass.views(plain, 1, seed=0, kinds=("mixture",))
    value = mixed[:, 0, 0, 0].astype(int)
    assert (mixed == mixed[:, :, :1, :1]).all()
    assert 90 < value[:200].max() <= 100 <= value[200:].min() < 110
    changed = (value != plain[:, 0, 0, 0]).mean()
    assert 0.15 < changed < 0.35  # half are mixed, half of these with the other kind


def test_noise_has_the_spread_that_it_may():
    grey = np.full((300, 1, 28, 28), 127, np.uint8)
    (noisy,) = one_pass.views(grey, 1, seed=0, kinds=("noise",))
    spread = noisy.astype(float).std((1, 2, 3)) / 255
    assert 0.25 < spread.max() < 0.3 * 1.1
    assert spread.min() < 0.02
    assert np.abs(noisy.mean((1, 2, 3)) - 127).max() < 20


def test_many_images_are_warped_in_parts(images, monkeypatch):
    monkeypatch.setattr(one_pass, "CHUNK", 7)
    np.testing.assert_array_equal(one_pass.views(images, 1, seed=0, kinds=())[0], images)
    assert one_pass.views(images, 1, seed=0).shape == (1, *images.shape)


# The Dirichlet distribution


@pytest.mark.parametrize("logits", [[1.0, 0.0, -1.0], [3.0, 3.0, 0.5], [-2.0, -3.0, -1.0]])
def test_mutual_information_is_that_of_draws(logits):
    mean, precision = one_pass.dirichlet(torch.tensor([logits], dtype=torch.float64))
    np.testing.assert_allclose(mean[0], np.exp(logits) / np.exp(logits).sum())
    assert precision.item() == pytest.approx(np.exp(np.mean(logits)))
    found = one_pass.mutual_information(mean, precision).item()
    p, s = mean[0].numpy(), precision.item()
    draws = np.random.default_rng(0).dirichlet(s * p, 200_000)
    assert found == pytest.approx(entropy(draws.mean(0)) - entropy(draws).mean(), abs=3e-3)
    assert found == pytest.approx(entropy(p) + (p * (digamma(s * p + 1) - digamma(s + 1))).sum(), rel=1e-12)


def test_mutual_information_lies_between_0_and_the_entropy():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(1000, 10, generator=generator, dtype=torch.float64).mul(6).softmax(1)
    found = one_pass.mutual_information(mean, torch.linspace(-20, 20, 1000, dtype=torch.float64).exp()[:, None])
    found = found.numpy()
    assert (found > -1e-12).all()
    assert (found <= entropy(mean.numpy()) + 1e-12).all()


@pytest.mark.parametrize("shift", [-200.0, 19.0, 90.0, 1e4])
def test_extreme_logits_have_finite_losses_and_gradients(shift):
    logits = (torch.arange(20.0).view(2, 10) + shift).requires_grad_()
    found = one_pass.brier(logits, torch.full((2, 10), 0.1), torch.tensor([0.0, 0.3]))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(logits.grad).all()
    information = one_pass.mutual_information(*one_pass.dirichlet(logits.detach()))
    uncertain = entropy(logits.detach().softmax(1).numpy())
    np.testing.assert_allclose(information, 0 * uncertain if shift > 0 else uncertain, atol=1e-4)


def test_mutual_information_is_learned_by_the_precision_alone():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.1, 0.0]], requires_grad=True)
    one_pass.disagreement(logits, torch.tensor([0.1, 0.2])).backward()
    torch.testing.assert_close(logits.grad, logits.grad[:, :1].expand(2, 3))
    assert (logits.grad.abs() > 1e-3).all()


# What is learned


def test_losses_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    mean, information = torch.tensor([[0.9, 0.1], [0.5, 0.5]]), torch.tensor([0.02, 0.3])
    probabilities = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    own = one_pass.mutual_information(*one_pass.dirichlet(logits)).tolist()
    apart = [5 * (own[0] ** 0.5 - 0.02**0.5) ** 2, 5 * (own[1] ** 0.5 - 0.3**0.5) ** 2]
    squares = [2 * (probabilities[0] - 0.9) ** 2, 2 * (probabilities[1] - 0.5) ** 2]
    expected = (sum(squares) + sum(apart)) / 2
    assert one_pass.brier(logits, mean, information).item() == pytest.approx(expected, rel=1e-4)
    pairs = zip(mean[:, 0].tolist(), probabilities, strict=True)
    crossed = [-t * math.log(p) - (1 - t) * math.log(1 - p) for t, p in pairs]
    expected = (sum(crossed) + sum(apart)) / 2
    assert one_pass.cross_entropy(logits, mean, information).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", recipes.LOSSES)
def test_the_loss_of_a_batch_is_that_of_its_rows(loss):
    mean, information = torch.rand(6, 10).softmax(1), torch.rand(6)
    logits, rows = torch.randn(3, 10), torch.tensor([4, 0, 2])
    found = one_pass.student_loss(Recipe(loss=loss), mean, information)(logits, None, rows)
    assert found == getattr(one_pass, loss)(logits, mean[rows], information[rows])


def test_what_each_kind_of_answer_teaches(finished_run):
    teacher = [finished_run.predictions("SN1"), finished_run.predictions("KD-SN1")]
    labels = np.concatenate([own.labels for own in teacher])
    mean, information = one_pass.targets("mc", labels, teacher, 10)
    np.testing.assert_array_equal(mean, np.concatenate([own.mc_mean for own in teacher]))
    np.testing.assert_array_equal(information, np.maximum([own.mutual_information for own in teacher], 0).ravel())
    assert information.max() > 0
    for answers, expected in {
        "off": np.concatenate([own.deterministic for own in teacher]),
        "distillation": np.concatenate([own.deterministic for own in teacher]),
        "labels": np.eye(10)[labels],
    }.items():
        mean, information = one_pass.targets(answers, labels, teacher, 10)
        np.testing.assert_array_equal(mean, expected)
        np.testing.assert_array_equal(information, np.zeros(100))


@pytest.mark.parametrize("name", [name for name in ONE_PASS if "SN1" in name])
def test_a_students_images_and_answers_fit(begun, monkeypatch, name):
    run, handed = begun(), {}

    def stop(model, part, validation, profile, *, loss, **_):
        handed.update(part=part, loss=loss, profile=profile, validation=validation)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        run.network(name)
    part, train, student = handed["part"], run.parts["train"], ONE_PASS[name]
    views = (
        one_pass.views(train.images, 2, seed=derive_seed(0, "views"), kinds=SMALL.kinds.split())
        if student.views
        else []
    )
    pictures = [train.images, *views]
    np.testing.assert_array_equal(part.images, np.concatenate(pictures))
    np.testing.assert_array_equal(part.labels, np.concatenate([train.labels] * len(pictures)))
    assert handed["validation"] is run.parts["validation"]
    assert handed["profile"].epochs * -(-len(part) // 12) == 24
    rows = torch.randperm(len(part))
    labels, logits = torch.from_numpy(part.labels).long()[rows], torch.randn(len(part), 10)
    teacher = [run.answers("TN", data.Part(own, train.labels)) for own in pictures]
    mc, off = (torch.from_numpy(np.concatenate([getattr(own, key) for own in teacher])).float()[rows] for key in KEYS)
    information = torch.from_numpy(np.concatenate([own.mutual_information for own in teacher])).float()[rows]
    none = torch.zeros(len(part))
    expected = {
        "mc": lambda: one_pass.brier(logits, mc, information.clamp_min(0)),
        "off": lambda: one_pass.brier(logits, off, none),
        "labels": lambda: one_pass.brier(logits, torch.eye(10)[labels], none),
        "distillation": lambda: kd.distillation.distillation_loss(logits, off.log(), labels),
    }[student.answers]()
    torch.testing.assert_close(handed["loss"](logits, labels, rows), expected)


KEYS = ("mc_mean", "deterministic")


# The recipe


def test_each_control_differs_in_one_thing():
    for architecture in ("SN1", "SN2"):
        student = ONE_PASS[f"ONE-{architecture}"]
        assert student == (architecture, "mc", True)
        for suffix in ("clean", "off", "labels"):
            control = ONE_PASS[f"ONE-{architecture}-{suffix}"]
            assert sum(a != b for a, b in zip(student, control, strict=True)) == 1
        assert ONE_PASS[f"KD-{architecture}-views"] == (architecture, "distillation", True)
        assert ONE_PASS[f"KD-{architecture}-steps"] == (architecture, "distillation", False)
    assert not ONE_PASS.keys() & kd.runs.NETWORKS.keys()


@pytest.mark.parametrize(
    ("name", "profile", "epochs", "steps", "rate"),
    [
        ("ONE-SN1", "quick", 16, 5_008, 2e-3),
        ("ONE-SN1-clean", "quick", 79, 4_977, 2e-3),
        ("KD-SN1-views", "quick", 16, 5_008, 5e-4),
        ("ONE-SN2", "paper", 4, 4_688, 2e-3),
        ("KD-SN2-steps", "paper", 12, 4_692, 1e-3),
    ],
)
def test_students_and_controls_take_about_as_many_steps(name, profile, epochs, steps, rate):
    profile = kd.PROFILES[profile]
    recipe = recipes.recipe_of(profile)
    found = recipe.schedule(name, profile)
    images = profile.train_images * (1 + recipe.views * ONE_PASS[name].views)
    assert (found.epochs, found.epochs * -(-images // found.batch_size)) == (epochs, steps)
    assert found == replace(profile, epochs=epochs, batch_size=128, peak_learning_rate=rate)
    assert recipe.schedule("KD-SN1", profile) is profile


def test_scales_share_all_but_views_and_steps():
    quick, paper = (asdict(recipes.recipe_of(kd.PROFILES[name])) for name in ("quick", "paper"))
    assert {key for key in quick if quick[key] != paper[key]} == {"views", "steps"}
    assert recipes.recipe_of(kd.profiles.resolve("paper-t8")) == recipes.recipe_of(kd.PROFILES["paper"])
    assert recipes.recipe_of(kd.Profile("own", 10, 10, 10, 1, 1, 0.1, 1)) == Recipe()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": 0}, "views must be a whole number of at least 1, got 0"),
        ({"steps": 1.5}, "steps must be a whole number of at least 1, got 1.5"),
        ({"kinds": "affine blur"}, "kinds must be words among affine, mixture, noise, got blur"),
        ({"loss": "label_loss"}, "loss must be one of brier, cross_entropy, got 'label_loss'"),
        ({"dropout": 0.5}, "dropout must be True or False, got 0.5"),
    ],
)
def test_a_wrong_recipe_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        Recipe(**changes)


# Through a Run


def test_a_one_pass_student_is_its_architecture_without_dropout(one):
    network, plain = one.network("ONE-SN1"), models.build("SN1", 0)
    assert not any(isinstance(module, torch.nn.Dropout) for module in network.modules())
    assert network.state_dict().keys() == plain.state_dict().keys()
    recorded = one.manifest("ONE-SN1")["origin"]["modules"]
    assert recorded == {key: text for key, text in models.description("SN1").items() if "Dropout" not in text}
    with pytest.raises(ValueError, match="has no active dropout"):
        kd.mc_dropout.split(network)


def test_predictions_are_of_one_pass(one):
    found, test = one.predictions("ONE-SN1"), one.parts["test"]
    logits = models.logits(one.network("ONE-SN1"), test.images).double()
    mean, information = logits.softmax(1).numpy(), one_pass.mutual_information(*one_pass.dirichlet(logits)).numpy()
    np.testing.assert_array_equal(found.labels, test.labels)
    np.testing.assert_allclose(found.mc_mean, mean, rtol=0.01, atol=1e-6)
    np.testing.assert_array_equal(found.deterministic, found.mc_mean)
    np.testing.assert_allclose(found.expected_entropy, entropy(mean) - information, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.expected_max, mean.max(1), rtol=1e-6)
    total = logits.mean(1).exp().numpy()
    np.testing.assert_allclose(found.mc_variance, mean.max(1) * (1 - mean.max(1)) / (1 + total), rtol=1e-5, atol=1e-12)
    assert (found.expected_entropy >= 0).all()


def test_one_pass_by_hand(sn1, mnist):
    network = one_pass.without_dropout(copy.deepcopy(sn1))
    with torch.no_grad():
        network.classifier[-1].weight.mul_(0.3)
        network.classifier[-1].bias.copy_(torch.linspace(0, 1, 10))
    found = one_pass.predict(network, mnist.test_images[:20])
    logits = models.logits(network, mnist.test_images[:20]).double()
    mean, precision = logits.softmax(1), logits.mean(1, keepdim=True).exp()
    information = one_pass.mutual_information(mean, precision).numpy()
    mean, precision = mean.numpy(), precision.numpy()
    assert (information > 0.01).all()
    np.testing.assert_allclose(found.mutual_information, information)
    np.testing.assert_allclose(found.expected_entropy, entropy(mean) - information)
    for array in (found.mean, found.deterministic):
        np.testing.assert_allclose(array, mean)
    draws = np.random.default_rng(0).dirichlet(precision[0] * mean[0], 200_000)
    np.testing.assert_allclose(found.variance[0], draws.var(0), rtol=0.03, atol=1e-5)
    np.testing.assert_allclose(found.expected_max, mean.max(1))


def test_a_manifest_says_by_which_recipe_and_of_which_teacher(one, finished_run):
    manifest = read(one, "ONE-SN1")
    assert manifest["recipe"] == {f"recipe_{key}": value for key, value in asdict(SMALL).items()}
    assert manifest["profile"] == asdict(finished_run.profile)
    assert manifest["inputs"]["teacher"] == read(one, "TN")["outputs"]["weights.safetensors"]
    assert {"modules", "loss", "training", "one_pass", "prediction"} == manifest["origin"].keys()
    for name in ("TN", "SN1", "KD-SN1"):
        found = read(finished_run, name)
        assert "recipe" not in found
        assert "one_pass" not in found["origin"]


def test_an_interrupted_student_resumes_to_the_same_bits(one, begun, interrupt, capsys):
    interrupt(begun(), "ONE-SN1", batch=10)
    assert read(begun(), "ONE-SN1")["outputs"] == {}
    answered = begun().predictions("ONE-SN1")
    assert "ONE-SN1: resumes after epoch 1 of 3" in capsys.readouterr().out
    assert read(begun(), "ONE-SN1")["outputs"] == read(one, "ONE-SN1")["outputs"]
    np.testing.assert_array_equal(answered.mc_mean, one.predictions("ONE-SN1").mc_mean)


def test_a_checkpoint_of_another_recipe_is_not_resumed(begun, interrupt, capsys):
    interrupt(begun(), "ONE-SN1", batch=10)
    time.sleep(1.1)  # the times in manifests are whole seconds
    begun(replace(SMALL, loss="cross_entropy"), force="ONE-SN1").network("ONE-SN1")
    assert "belongs to other settings: training starts from the beginning" in capsys.readouterr().out


def test_the_teachers_answers_are_made_once_and_survive_an_interrupt(begun, monkeypatch, capsys):
    predict, calls = kd.mc_dropout.predict, []

    def counted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(*arguments, **options)

    monkeypatch.setattr(kd.mc_dropout, "predict", counted)
    with pytest.raises(KeyboardInterrupt):
        begun().network("ONE-SN1")
    begun().network("ONE-SN1")
    assert len(calls) == 4  # of the images, of the first view twice, of the second
    begun(replace(SMALL, views=1)).network("ONE-SN1-off")
    begun(replace(SMALL, kinds="noise", views=1)).answers("TN", begun().parts["train"])
    assert len(calls) == 4
    begun(replace(SMALL, kinds="noise", views=1)).network("KD-SN1-views")
    assert len(calls) == 5


def test_answers_to_other_images_are_not_taken_for_these(one):
    train, test = one.parts["train"], one.parts["test"]
    made = one.answers("TN", train)
    assert made.mc_mean.shape == (30, 10)
    np.testing.assert_array_equal(made.labels, train.labels)
    reversed_part = data.Part(train.images[::-1].copy(), train.labels[::-1].copy())
    again = one.answers("TN", reversed_part)
    np.testing.assert_allclose(again.deterministic[::-1], made.deterministic, rtol=0.02, atol=1e-6)
    own = one.answers("ONE-SN1", test)
    np.testing.assert_array_equal(own.mc_mean, one.predictions("ONE-SN1").mc_mean)


@pytest.mark.parametrize("ask", ["network", "predictions", "history", "manifest"])
@pytest.mark.parametrize("changed", [{"views": 1}, {"loss": "cross_entropy"}, {"kinds": "affine"}, {"dropout": True}])
def test_a_student_of_another_recipe_is_refused(one, finished_run, ask, changed):
    run = kd.Run(finished_run.profile, 0, one.root, device="cpu", recipe=replace(SMALL, **changed))
    (key,) = changed
    with pytest.raises(ValueError, match=f"ONE-SN1 was made with other settings: .*recipe_{key} is .* asked for is"):
        getattr(run, ask)("ONE-SN1")


@pytest.mark.parametrize("ask", ["network", "predictions", "history"])
def test_a_student_of_another_teacher_is_refused(one, begun, ask):
    run = begun()
    shutil.copytree(one.folder / "ONE-SN1", run.folder / "ONE-SN1")
    getattr(run, ask)("ONE-SN1")
    edit_manifest(run, "TN", outputs={"weights.safetensors": "0" * 64})
    with pytest.raises(ValueError, match="ONE-SN1 was distilled from another TN"):
        getattr(run, ask)("ONE-SN1")


def test_a_student_of_another_loss_is_refused(one, monkeypatch):
    monkeypatch.setattr(one_pass, "brier", lambda logits, mean, information: logits.mean())
    with pytest.raises(ValueError, match="ONE-SN1 was made with other settings: the code of its loss is another"):
        one.predictions("ONE-SN1")


def test_labels_alone_need_no_teacher(tiny, scratch):
    run = kd.Run(tiny, 0, scratch, device="cpu", recipe=SMALL)
    run.network("ONE-SN1-labels")
    assert [path.name for path in run.folder.iterdir()] == ["ONE-SN1-labels"]
    assert "teacher" not in read(run, "ONE-SN1-labels")["inputs"]


def test_the_papers_distillation_on_views_keeps_its_dropout_and_passes(begun):
    run = begun()
    found = run.predictions("KD-SN1-views")
    assert (found.mc_variance > 0).all()
    assert not np.array_equal(found.mc_mean, found.deterministic)
    assert run.manifest("KD-SN1-views")["origin"]["modules"] == models.description("SN1")


def test_dropout_of_the_recipe_is_for_training_alone(begun):
    run = begun(replace(SMALL, dropout=True, views=1))
    found = run.predictions("ONE-SN1")
    assert any(isinstance(module, torch.nn.Dropout) for module in run.network("ONE-SN1").modules())
    np.testing.assert_array_equal(found.mc_mean, found.deterministic)


def test_with_the_teacher_go_its_one_pass_students(finished_run):
    run = kd.Run(finished_run.profile, 0, finished_run.root, force="TN")
    names = run._forced & ONE_PASS.keys()
    assert names == {name for name in ONE_PASS if not name.endswith("labels")}


# What was made before


def test_a_recipe_without_a_field_has_what_held_then(one, begun):
    run = begun()
    shutil.copytree(one.folder / "ONE-SN1", run.folder / "ONE-SN1")
    recipe = {key: value for key, value in read(run, "ONE-SN1")["recipe"].items() if key != "recipe_dropout"}
    edit_manifest(run, "ONE-SN1", recipe=recipe)
    run.predictions("ONE-SN1")
    with pytest.raises(ValueError, match="recipe_dropout is False, asked for is True"):
        begun(replace(SMALL, dropout=True)).predictions("ONE-SN1")
    del recipe["recipe_views"]
    edit_manifest(run, "ONE-SN1", recipe=recipe)
    with pytest.raises(ValueError, match="recipe_views is 4, asked for is 2"):
        begun().predictions("ONE-SN1")


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_committed_networks_are_read_as_before(profile):
    run = kd.Run(profile, 0, ROOT / "results", read_only=True)
    for name in kd.runs.NETWORKS:
        assert run.predictions(name).mc_mean.shape == (10_000, 10)
