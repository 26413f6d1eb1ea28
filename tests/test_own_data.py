"""Other images, other classes and other networks, from training to transfer, by the public functions alone."""

import kdutils as kd
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn


@pytest.fixture(scope="module")
def digits():
    """Images (n, 1, 8, 8), uint8 from 0 to 16, and labels (n,) of scikit-learn's digits 0, 1 and 2."""
    digits = load_digits(n_class=3)
    return digits.images.astype(np.uint8)[:, None], digits.target


def network(seed, hidden):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 3))


def scaled(images):
    return images.float() / 16


@pytest.mark.parametrize("given", ["uint8 and a function", "float64"])
def test_digits_of_three_classes_go_all_the_way(digits, given):
    images, labels = digits
    floats = images / 16
    images, options = (images, {"preprocess": scaled}) if given.startswith("uint8") else (floats, {})
    rows = {"train": slice(300), "validation": slice(300, 400), "test": slice(400, None)}
    parts = {name: kd.data.Part(images[i], labels[i]) for name, i in rows.items()}
    size = {"epochs": 8, "batch_size": 20, "peak_learning_rate": 1e-2, "mc_passes": 50}
    profile = kd.Profile("digits", 300, 100, len(parts["test"]), **size)
    teacher, student = network(0, 64), network(1, 16)

    options |= {"seed": 0, "dtype": torch.float32}
    kd.training.train(teacher, parts["train"], parts["validation"], profile, name="TN", **options)
    targets = kd.distillation.soft_targets(teacher, floats[rows["train"]])
    loss = kd.distillation.student_loss(profile, targets)
    kd.training.train(student, parts["train"], parts["validation"], profile, name="KD", loss=loss, **options)

    right, confidence = parts["test"].labels, []
    for model in (teacher, student):
        made = kd.mc_dropout.predict(model, floats[rows["test"]], passes=profile.mc_passes)
        correct = made.predicted == right
        assert made.mean.shape == (len(right), 3)
        assert correct.mean() > 0.9
        assert kd.calibration.reliability_bins(made.confidence, correct).count.sum() == len(right)
        assert 0 < kd.calibration.expected_calibration_error(made.confidence, correct) < 0.3
        assert 0 < kd.calibration.brier_score(made.mean, right) < 0.3
        confidence.append(made.confidence)
    assert 0 < kd.transfer.mupe(*confidence) < 0.1
    assert kd.transfer.recalibrated(*confidence).shape == right.shape


@pytest.mark.parametrize("name", kd.models.ARCHITECTURES)
def test_every_architecture_takes_other_classes(name):
    network = kd.models.build(name, classes=3)
    assert kd.models.logits(network, torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape == (2, 3)
    last = list(kd.models.description(name, classes=3).values())[-1]
    assert "weight (3, " in last


@pytest.mark.parametrize("wrong", [0, 1, 2.5, True])
def test_a_network_has_at_least_two_classes(wrong):
    with pytest.raises(ValueError, match=f"classes must be a whole number of at least 2, got {wrong!r}"):
        kd.models.build("SN1", classes=wrong)


def test_token_ids_are_trained_on_and_predicted():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 9, (300, 6), generator=generator).numpy()
    part = kd.data.Part(ids, (ids == 1).any(1).astype(int))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(9, 16), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 2))
    profile = kd.Profile("tokens", 300, 300, 300, epochs=8, batch_size=20, peak_learning_rate=2e-2, mc_passes=20)
    history, _ = kd.training.train(model, part, part, profile, seed=0, name="tokens")
    assert history["epochs"][-1]["validation_accuracy"] > 0.85
    assert kd.mc_dropout.predict(model, ids.astype(np.int32), passes=20).mean.shape == (300, 2)


@pytest.mark.parametrize("labels", [[0.5] * 30, [-100] * 30, [0] * 29], ids=["floats", "-100", "too few"])
def test_labels_that_are_no_classes_are_refused_before_training(labels, parts, tiny, sn1):
    part = kd.data.Part(parts["train"].images, np.array(labels))
    with pytest.raises(ValueError, match=r"labels must be \(30,\) whole numbers from 0"):
        kd.training.train(sn1, part, parts["validation"], tiny, seed=0, name="SN1")


@pytest.mark.parametrize(
    ("classes", "accuracy", "learns"),
    [(2, 0.54, False), (2, 0.6, True), (10, 0.149, False), (10, 0.151, True), (100, 0.012, False), (100, 0.05, True)],
)
def test_what_guessing_reaches_depends_on_the_classes(classes, accuracy, learns, tiny):
    refuse = kd.training._refuse_failure
    if learns:
        refuse("SN1", 1.0, accuracy, classes, 1, 200, tiny)
    else:
        with pytest.raises(RuntimeError, match="does not learn"):
            refuse("SN1", 1.0, accuracy, classes, 1, 200, tiny)
