import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from kdutils import data, models, training
from kdutils.distillation import distillation_loss, student_loss
from kdutils.plumbing.compute import precision
from kdutils.training import accuracy, train
from torch import nn
from torch.nn import functional as F

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher_logits():
    return 3 * torch.randn(30, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(parts, tiny):
    """A function that trains an SN1, by default on the tiny profile and by its labels: (network, history)."""

    def run(profile=tiny, *, seed=0, name="SN1", **options):
        network = models.build("SN1", seed)
        history, _ = train(network, parts["train"], parts["validation"], profile, seed=seed, name=name, **options)
        return network, history

    return run


@pytest.fixture
def batches(monkeypatch):
    """A list that fills with every batch of uint8 images that is trained on."""
    seen, preprocess = [], data.preprocess

    def spy(images):
        if torch.is_grad_enabled():
            seen.append(images.clone())
        return preprocess(images)

    monkeypatch.setattr(data, "preprocess", spy)
    return seen


def perceptron(seed=0):
    """Fast, and without dropout."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 32), nn.ReLU(), nn.Linear(32, 10))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return network


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_same_seed_same_weights_whatever_the_global_seed(trained):
    torch.manual_seed(1)
    first, first_history = trained()
    torch.manual_seed(2)
    again, again_history = trained()
    assert same_weights(first, again)
    assert first_history == again_history
    assert not same_weights(first, trained(seed=1)[0])


def test_history_has_loss_and_validation_accuracy_of_each_epoch(trained, parts, tiny, capsys):
    network, history = trained()
    assert [list(epoch) for epoch in history["epochs"]] == [["epoch", "loss", "validation_accuracy"]] * 2
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    output = models.logits(network, parts["validation"].images, dtype=precision(CPU))
    assert history["epochs"][-1]["validation_accuracy"] == accuracy(output, parts["validation"].labels)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["SN1 epoch 1/2", "SN1 epoch 2/2"]
    assert not any(module.training for module in network.modules())


def test_history_has_the_loss_of_every_step(trained, tiny):
    """Of batches of 12, 12 and 6 images: their mean, image by image, is the epoch's."""
    _, history = trained()
    losses = np.reshape(history["step_losses"], (2, 3))
    means = losses @ np.array([12, 12, 6]) / 30
    assert means.tolist() == pytest.approx([epoch["loss"] for epoch in history["epochs"]], abs=2e-5)
    assert losses[0, 0] != losses[0, 1]


def test_a_step_by_hand(parts, tiny):
    """Predict, loss, gradient, move: AdamW's first step at the one-cycle schedule's first rate."""
    network, by_hand = perceptron(), perceptron()
    images, labels = torch.from_numpy(parts["train"].images[:12]), torch.from_numpy(parts["train"].labels[:12]).long()
    loss = F.cross_entropy(by_hand(data.preprocess(images)), labels)
    loss.backward()
    optimiser = training.optimiser(network, tiny, steps=6)
    rate = optimiser.schedule.get_last_lr()[0]
    found = training.step(network, (images, labels, torch.arange(12)), training.label_loss, optimiser)
    assert found == loss
    assert not found.requires_grad
    assert optimiser.schedule.get_last_lr()[0] > rate
    for weight, other in zip(network.parameters(), by_hand.parameters(), strict=True):
        decayed = other * (1 - rate * tiny.weight_decay)
        expected = decayed - rate * other.grad / (other.grad.abs() + 1e-8)  # both moments are those of one gradient
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)


def test_a_loss_is_handed_the_rows_of_its_batch(parts, tiny):
    seen = []

    def loss(logits, labels, rows):
        seen.append((labels.tolist(), parts["train"].labels[rows].tolist()))
        return F.cross_entropy(logits, labels)

    train(perceptron(), parts["train"], parts["validation"], tiny, seed=0, name="SN1", loss=loss)
    assert len(seen) == 6
    assert all(labels == of_rows for labels, of_rows in seen)


def test_a_small_set_is_learned(parts, tiny):
    network = perceptron()
    profile = replace(tiny, name="longer", epochs=15, peak_learning_rate=0.01)
    history, seconds = train(network, parts["train"], parts["validation"], profile, seed=0, name="SN1")
    assert history["epochs"][0]["loss"] > 1.5
    assert history["epochs"][-1]["loss"] < 0.3
    assert accuracy(models.logits(network, parts["train"].images), parts["train"].labels) > 0.95
    assert history["epochs"][-1]["validation_accuracy"] > 0.35
    assert seconds > 0


def test_without_learning_the_loss_is_the_mean_over_all_images(parts, tiny):
    network, train_part = perceptron(), parts["train"]
    still = replace(tiny, name="still", peak_learning_rate=0)
    history, _ = train(network, train_part, parts["validation"], still, seed=0, name="SN1")
    assert same_weights(network, perceptron())
    output = models.logits(network, train_part.images, dtype=precision(CPU))
    expected = F.cross_entropy(output, torch.from_numpy(train_part.labels).long()).item()
    assert [epoch["loss"] for epoch in history["epochs"]] == pytest.approx([expected] * 2, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 2.0, "soft_weight": 0.9},
        {"temperature": 3.0, "soft_weight": 0.5, "scale_by_temperature_squared": False},
    ],
)
def test_distillation_uses_the_profiles_settings_and_the_logits_of_each_image(parts, tiny, teacher_logits, settings):
    network, train_part = perceptron(), parts["train"]
    still = replace(tiny, name="still", peak_learning_rate=0, **settings)
    loss = student_loss(still, teacher_logits)
    history, _ = train(network, train_part, parts["validation"], still, seed=0, name="KD-SN1", loss=loss)
    output = models.logits(network, train_part.images, dtype=precision(CPU))
    labels = torch.from_numpy(train_part.labels).long()
    expected = distillation_loss(output, teacher_logits, labels, **settings).item()
    assert [epoch["loss"] for epoch in history["epochs"]] == pytest.approx([expected] * 2, rel=1e-5)


def test_a_student_of_a_teacher_with_other_labels_learns_the_teachers(parts, tiny):
    train_part, network = parts["train"], perceptron()
    others = (train_part.labels + 3) % 10
    profile = replace(tiny, name="soft", epochs=15, peak_learning_rate=0.01, soft_weight=1.0)
    teacher_logits = 40 * F.one_hot(torch.from_numpy(others).long(), 10).float()
    loss = student_loss(profile, teacher_logits)
    train(network, train_part, parts["validation"], profile, seed=0, name="KD-SN1", loss=loss)
    output = models.logits(network, train_part.images)
    assert accuracy(output, others) > 0.95
    assert accuracy(output, train_part.labels) < 0.05


def test_every_epoch_sees_each_image_once_in_an_order_of_its_own(trained, batches, parts):
    trained()
    assert [len(batch) for batch in batches] == [12, 12, 6] * 2
    first, second = torch.cat(batches[:3]).numpy(), torch.cat(batches[3:]).numpy()
    everything = sorted(image.tobytes() for image in parts["train"].images)
    for epoch in (first, second):
        assert sorted(image.tobytes() for image in epoch) == everything
        assert not np.array_equal(epoch, parts["train"].images)
    assert not np.array_equal(first, second)


def test_with_and_without_distillation_see_the_same_batches(trained, batches, teacher_logits, tiny):
    plain, _ = trained(name="SN1")
    distilled, _ = trained(name="KD-SN1", loss=student_loss(tiny, teacher_logits))
    trained(name="SN1", seed=1)
    for a, b, other in zip(batches[:6], batches[6:12], batches[12:], strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, other)
    assert not same_weights(plain, distilled)


def test_tied_weights_have_a_checkpoint(parts, tiny, scratch, capsys):
    def tied():
        network = perceptron()
        network.append(nn.Linear(10, 10)).append(nn.Linear(10, 10))
        network[-1].weight = network[-2].weight
        return network

    one = replace(tiny, name="one", epochs=1)
    checkpoint, options = scratch / "checkpoint.safetensors", {"seed": 0, "name": "tied", "settings": 1}
    straight, resumed = tied(), tied()
    train(straight, parts["train"], parts["validation"], one, checkpoint=checkpoint, **options)
    train(resumed, parts["train"], parts["validation"], one, checkpoint=checkpoint, **options)
    assert "resumes after epoch 1 of 1" in capsys.readouterr().out
    assert same_weights(resumed, straight)
    assert resumed[-1].weight is resumed[-2].weight


@pytest.mark.parametrize("stop_in", ["the second epoch's training", "the second epoch's validation"])
@pytest.mark.parametrize("name", ["SN1", "KD-SN1"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    trained, tiny, scratch, monkeypatch, capsys, teacher_logits, name, stop_in
):
    options = {"name": name} | ({"loss": student_loss(tiny, teacher_logits)} if name == "KD-SN1" else {})
    straight, history = trained(**options)
    checkpoint = scratch / "checkpoint.safetensors"

    training = "training" in stop_in
    count = itertools.count(1)
    preprocess = data.preprocess

    def interrupted(images):
        if torch.is_grad_enabled() == training and next(count) == (5 if training else 4):
            raise KeyboardInterrupt
        return preprocess(images)

    with monkeypatch.context() as patch:
        patch.setattr(data, "preprocess", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=checkpoint, **options)
    assert [path.name for path in scratch.iterdir()] == ["checkpoint.safetensors"]

    capsys.readouterr()
    torch.manual_seed(123)
    resumed, resumed_history = trained(checkpoint=checkpoint, **options)
    printed = capsys.readouterr().out
    assert f"{name}: resumes after epoch 1 of 2" in printed
    assert "epoch 1/2" not in printed
    assert same_weights(resumed, straight)
    assert resumed_history == history


def test_a_checkpoint_of_all_epochs_is_not_trained_further(trained, scratch, batches):
    checkpoint = scratch / "checkpoint.safetensors"
    network, history = trained(checkpoint=checkpoint)
    batches.clear()
    again, again_history = trained(checkpoint=checkpoint)
    assert batches == []
    assert same_weights(again, network)
    assert again_history == history


def test_dropout_is_on_in_every_epochs_training_and_off_in_its_validation(parts, tiny):
    network = models.build("SN1").eval()
    flags = []
    network.classifier[3].register_forward_hook(lambda m, *_: flags.append((torch.is_grad_enabled(), m.training)))
    train(network, parts["train"], parts["validation"], tiny, seed=0, name="SN1")
    tried = [(False, False)] * 2  # on two images of each part
    assert flags == tried + ([(True, True)] * 3 + [(False, False)]) * 2


@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_no_longer_finite_ends_the_training(trained, tiny, scratch):
    checkpoint = scratch / "checkpoint.safetensors"
    with pytest.raises(FloatingPointError, match=r"SN1: the loss is (nan|inf) in epoch 1 .* 1e\+30: try a smaller"):
        trained(replace(tiny, name="wild", peak_learning_rate=1e30), checkpoint=checkpoint)
    assert not checkpoint.exists()


def test_the_global_random_state_is_put_back(parts, tiny):
    network = perceptron()
    torch.manual_seed(4)
    before = torch.get_rng_state()
    train(network, parts["train"], parts["validation"], tiny, seed=0, name="SN1")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_data_and_the_teachers_logits_are_left_alone(parts, tiny, teacher_logits):
    before = copy.deepcopy((parts["train"].images, parts["train"].labels)), teacher_logits.clone()
    loss = student_loss(tiny, teacher_logits)
    train(perceptron(), parts["train"], parts["validation"], tiny, seed=0, name="KD-SN1", loss=loss)
    np.testing.assert_array_equal(parts["train"].images, before[0][0])
    np.testing.assert_array_equal(parts["train"].labels, before[0][1])
    assert torch.equal(teacher_logits, before[1])


def test_accuracy_by_hand():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert accuracy(logits, np.array([1, 0, 0, 0], np.uint8)) == 0.75
    assert accuracy(logits[:3], [0, 1, 0]) == 0
