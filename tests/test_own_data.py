"""Other images, other classes and other networks, from training to transfer, by the public functions alone."""

import dataclasses
import json
import shutil

import kdutils as kd
import numpy as np
import pytest
import torch
from kdutils.plumbing import store
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


# A Run


@pytest.fixture(scope="module")
def three(tmp_path_factory, tiny):
    """A function: the Run of three classes of colour images, or of other labels for the same ones."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("three")
    sizes = {"train": tiny.train_images, "validation": tiny.validation_images, "test": tiny.test_images}
    images = {name: rng.integers(0, 256, (n, 3, 8, 8), np.uint8) for name, n in sizes.items()}

    def run(classes=3, profile=tiny, **options):
        parts = {name: kd.data.Part(own, np.arange(len(own)) % classes) for name, own in images.items()}
        recipe = kd.recipes.Recipe(views=1, steps=6)
        return kd.Run(profile, 0, root, device="cpu", parts=parts, recipe=recipe, **options)

    yield run
    shutil.rmtree(root)


@pytest.mark.parametrize("name", ["TN", "KD-SN1", "ONE-SN1", "ONE-SN1-off", "ONE-SN1-labels", "KD-SN1-views"])
def test_a_run_has_as_many_outputs_as_its_data_have_classes(three, name):
    made = three().predictions(name)
    assert made.mc_mean.shape == made.deterministic.shape == (50, 3)
    assert three().network(name).classifier[-1].out_features == 3
    assert three().manifest(name)["classes"] == 3
    again = three(read_only=True).predictions(name)
    np.testing.assert_array_equal(again.mc_mean, made.mc_mean)
    assert three().predictions(name, "rotation-45").predicted.max() <= 2


def test_soft_targets_have_the_classes_of_the_data(three):
    assert three().soft_targets().shape == (30, 3)


@pytest.mark.parametrize("read_only", [False, True])
def test_what_other_classes_made_is_refused(three, read_only):
    three().network("SN1")
    with pytest.raises(ValueError, match="SN1 was made with other settings: classes is 3, asked for is 2"):
        three(2, read_only=read_only).history("SN1")


@pytest.mark.parametrize(("classes", "accepted"), [(10, True), (3, False)])
def test_older_manifests_without_classes_had_ten(three, tiny, classes, accepted):
    older = dataclasses.replace(tiny, name=f"older-{classes}", epochs=1)
    run = three(classes, older)
    run.network("SN1")
    path = run.folder / "SN1" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["classes"], manifest["sha256"]
    path.write_bytes(store.to_json(manifest | {"sha256": store.sha256(store.to_json(manifest))}))
    if accepted:
        assert three(classes, older, read_only=True).history("SN1")
    else:
        with pytest.raises(ValueError, match="classes is 10, asked for is 3"):
            three(classes, older, read_only=True).history("SN1")


def test_a_run_of_mnist_records_no_classes(finished_run):
    assert "classes" not in finished_run.manifest("SN1")


WRONG = {
    "floats": ("train", lambda x, y: (x / 255, y), r"images of train must be uint8 .* got float64 \(30, 3, 8, 8\)"),
    "no channels": ("test", lambda x, y: (x[:, 0], y), r"images of test must be uint8 .* got uint8 \(50, 8, 8\)"),
    "too large": ("test", lambda x, y: (x.repeat(5, 3), y), r"at most 32, got uint8 \(50, 3, 8, 40\)"),
    "one channel": ("test", lambda x, y: (x[:, :1], y), r"same number of channels .*'train': 3.*'test': 1"),
    "fewer images": ("test", lambda x, y: (x[1:], y), r"labels of test must be \(49,\) whole numbers from 0, got int"),
    "one-hot": ("train", lambda x, y: (x, np.eye(3)[y]), r"labels of train must be .*, got float64 \(30, 3\)"),
    "from -1": ("validation", lambda x, y: (x, y - 1), r"labels of validation must be .*: \[-1 +0 +1\]"),
    "one class": ("train", lambda x, y: (x, 0 * y), r"must have two classes or more, and all of the others'"),
    "a further class": ("test", lambda x, y: (x, y + 1), r"all of the others', got up to .*'train': 2.*'test': 3"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_parts_that_do_not_fit_are_refused_at_once(three, wrong):
    name, change, message = WRONG[wrong]
    run = three()
    part = run.parts[name]
    with pytest.raises(ValueError, match=message):
        kd.Run(run.profile, 0, parts=run.parts | {name: kd.data.Part(*change(part.images, part.labels))})


def test_parts_may_be_tensors_and_lists(three):
    run = three()
    parts = {name: kd.data.Part(torch.as_tensor(part.images), part.labels.tolist()) for name, part in run.parts.items()}
    assert kd.Run(run.profile, 0, run.root, device="cpu", parts=parts).inputs("SN1") == run.inputs("SN1")


@pytest.mark.parametrize("shift", ["digits", "fashion"])
def test_images_of_another_shape_are_no_shift_of_these(three, shift):
    with pytest.raises(ValueError, match=rf"{shift} are images \(n, 1, 28, 28\), the test images are \(50, 3, 8, 8\)"):
        three().predictions("SN1", shift)


def test_a_mixture_needs_two_classes(three):
    test = three().parts["test"]
    with pytest.raises(ValueError, match="mixtures need two classes among the first 50 test images"):
        kd.shifts.part("mixtures", kd.data.Part(test.images, 0 * test.labels))


@pytest.mark.parametrize(("classes", "bytes_each"), [(256, 1), (300, 2)])
def test_a_shift_keeps_any_number_of_classes(classes, bytes_each):
    mean = np.full((2, classes), 0.5 / (classes - 1))
    mean[:, -1] = 0.5
    made = kd.mc_dropout.MCPrediction(mean, mean, np.zeros(2), np.zeros(2), mean)
    content = kd.predictions.pack_shift(made, np.array([0, classes - 1]))
    found = kd.predictions.unpack_shift(content)
    assert found.predicted.tolist() == [classes - 1] * 2
    assert found.labels.tolist() == [0, classes - 1]
    assert store.from_npz(content)["classes"].itemsize == bytes_each


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_channels_are_shown(channels):
    image = np.arange(channels * 48, dtype=np.uint8).reshape(1, channels, 6, 8)
    shown = kd.plots.show_digits(image, ["a"]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.moveaxis(shown, -1, 0) if channels == 3 else shown[None], image[0])


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


def trained(train_part, validation_part, tiny, **options):
    """(history, weights) of a perceptron of three classes."""
    model = network(0, 8)
    history, _ = kd.training.train(
        model, train_part, validation_part, tiny, seed=0, name="x", dtype=torch.float32, **options
    )
    return history, [parameter.tolist() for parameter in model.parameters()]


@pytest.fixture
def floats():
    """A Part of 30 images (30, 1, 8, 8), float32, of three classes."""
    images = np.random.default_rng(0).random((30, 1, 8, 8), np.float32)
    return kd.data.Part(images, np.arange(30) % 3)


LABELS = {
    "floats": (lambda y: y * 1.0, r"got \(30,\) float64$"),
    "-100": (lambda y: y - 100, r"got -100 \(30 are outside\)$"),
    "a fourth class": (lambda y: y + 1, r"got 3 \(10 are outside\)$"),
    "too few": (lambda y: y[1:], r"got \(29,\) int64$"),
    "a column": (lambda y: y[:, None], r"got \(30, 1\) int64$"),
    "one-hot": (lambda y: np.eye(3)[y], r"got \(30, 3\) float64; of one-hot rows, labels.argmax\(1\)$"),
    "one-hot tensor": (lambda y: torch.eye(3).long()[y], r"got \(30, 3\) int64; of one-hot rows, labels.argmax\(1\)$"),
    "truth": (lambda y: y > 0, r"got \(30,\) bool$"),
    "words": (lambda y: ["a"] * 30, r"got \(30,\) <U1$"),
    "nothing": (lambda y: None, r"got \(\) object$"),
    "a generator": (iter, r"got \(\) object$"),
}


@pytest.mark.parametrize("wrong", LABELS)
@pytest.mark.parametrize("which", ["train_part", "validation_part"])
def test_labels_that_are_no_classes_are_refused_before_training(wrong, which, floats, tiny, scratch):
    change, said = LABELS[wrong]
    parts = {"train_part": floats, "validation_part": floats} | {
        which: kd.data.Part(floats.images, change(floats.labels))
    }
    with pytest.raises(ValueError, match=rf"^{which}\.labels must be \(30,\) whole numbers from 0 to 2, {said}"):
        trained(**parts, tiny=tiny, checkpoint=scratch / "checkpoint")
    assert not (scratch / "checkpoint").exists()
    if which == "train_part":
        with pytest.raises(ValueError, match=rf"^labels must be \(30,\) whole numbers from 0 to 2, {said}"):
            kd.training.accuracy(torch.zeros(30, 3), change(floats.labels))


@pytest.mark.parametrize("kind", ["DataLoader", "TensorDataset", "tuple", "dict", "generator", "NoneType"])
@pytest.mark.parametrize("which", ["train_part", "validation_part"])
def test_what_is_no_part_is_refused_before_training(kind, which, floats, tiny):
    pairs = torch.utils.data.TensorDataset(torch.tensor(floats.images), torch.tensor(floats.labels))
    loader = torch.utils.data.DataLoader(pairs, 7)
    given = {"DataLoader": loader, "TensorDataset": pairs, "tuple": pairs.tensors, "dict": vars(floats)}
    given = (given | {"generator": (pair for pair in pairs)}).get(kind)
    with pytest.raises(ValueError, match=rf"^{which} must be a data\.Part of images and labels, got a {kind}; "):
        trained(**{"train_part": floats, "validation_part": floats} | {which: given}, tiny=tiny)


def test_a_part_of_a_data_loader(floats, tiny):
    """As the error says."""
    pairs = torch.utils.data.TensorDataset(torch.tensor(floats.images), torch.tensor(floats.labels))
    part = kd.data.Part(*map(torch.cat, zip(*torch.utils.data.DataLoader(pairs, 7), strict=True)))
    assert trained(part, part, tiny) == trained(floats, floats, tiny)


@pytest.mark.parametrize("dtype", [">i8", ">i4", np.uint16, np.uint64, "reversed", "list"])
def test_a_part_may_have_any_byte_order_and_layout(dtype, floats, tiny):
    images, labels = np.ascontiguousarray(floats.images[::-1])[::-1], floats.labels[::-1].copy()[::-1]
    if dtype != "reversed":
        images, labels = floats.images.astype(">f4"), labels.tolist() if dtype == "list" else labels.astype(dtype)
    part = kd.data.Part(images, labels)
    assert trained(part, part, tiny) == trained(floats, floats, tiny)


def test_a_function_that_works_in_place_leaves_the_images_alone(floats, tiny):
    before = floats.images.copy()
    trained(floats, floats, tiny, preprocess=lambda images: images.mul_(2))
    np.testing.assert_array_equal(floats.images, before)


def test_images_that_the_network_does_not_take_are_refused_before_training(floats, tiny, scratch):
    other = kd.data.Part(floats.images[..., 1:], floats.labels)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trained(floats, other, tiny, checkpoint=scratch / "checkpoint")
    assert not (scratch / "checkpoint").exists()


def test_a_runs_parts_may_have_any_byte_order_and_layout(three):
    run = three()
    parts = {
        name: kd.data.Part(np.ascontiguousarray(part.images[..., ::-1])[..., ::-1], part.labels.astype(">i4"))
        for name, part in run.parts.items()
    }
    other = kd.Run(run.profile, 0, run.root, device="cpu", parts=parts, recipe=run.recipe)
    for name, part in other.parts.items():
        np.testing.assert_array_equal(part.images, run.parts[name].images)
        assert torch.equal(torch.from_numpy(part.images), torch.from_numpy(run.parts[name].images))
    mirrored = parts["test"].images
    expected = np.ascontiguousarray(mirrored)
    np.testing.assert_array_equal(kd.shifts.rotated(mirrored, 30), kd.shifts.rotated(expected, 30))
    views = [kd.one_pass.views(images, 1, seed=0) for images in (mirrored, expected)]
    np.testing.assert_array_equal(*views)


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
