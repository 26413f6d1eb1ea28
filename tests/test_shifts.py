import hashlib

import kdutils as kd
import numpy as np
import pytest
from kdutils import data, predictions, shifts, transfer
from kdutils.mc_dropout import MCPrediction
from scipy.stats import entropy

ROTATIONS = [name for name in shifts.NAMES if name.startswith("rotation")]
NOISE = [name for name in shifts.NAMES if name.startswith("noise")]


@pytest.fixture(scope="module")
def test_part(mnist):
    return data.Part(mnist.test_images, mnist.test_labels)


@pytest.fixture
def fashion(monkeypatch):
    """Fashion-MNIST is replaced by random images."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5_000, 1, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, 5_000, dtype=np.uint8)
    monkeypatch.setattr(data, "load_fashion_mnist", lambda: data.MNIST(images[:9], labels[:9], images, labels))
    return images, labels


# The images


def test_the_names_are_these():
    assert (
        *("rotation-15", "rotation-30", "rotation-45", "rotation-60", "rotation-75", "rotation-90"),
        *("noise-0.2", "noise-0.4", "noise-0.6", "noise-0.8", "mixtures", "digits", "fashion"),
    ) == shifts.NAMES


@pytest.mark.parametrize("name", shifts.NAMES)
@pytest.mark.parametrize(("size", "expected"), [(10_000, 1_000), (1_000, 1_000), (50, 50)])
def test_a_shift_has_a_thousand_images_or_as_many_as_there_are(test_part, fashion, name, size, expected):
    part = shifts.part(name, data.Part(test_part.images[:size], test_part.labels[:size]))
    assert (part.images.shape, part.images.dtype) == ((expected, 1, 28, 28), np.uint8)
    assert (part.labels.shape, part.labels.dtype) == ((expected,), np.uint8)
    assert part.images.max() > 200
    assert (part.images.reshape(expected, -1) != test_part.images[:expected].reshape(expected, -1)).any(1).all()


def test_test_images_are_those_themselves(test_part):
    assert shifts.part("test", test_part) is test_part


@pytest.mark.parametrize("name", shifts.NAMES)
def test_a_shift_is_the_same_whenever_it_is_made(test_part, fashion, name):
    before = hashlib.sha256(test_part.images.tobytes()).hexdigest()
    np.random.seed(1)  # noqa: NPY002
    first = shifts.part(name, test_part)
    np.random.seed(2)  # noqa: NPY002
    again = shifts.part(name, test_part)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert hashlib.sha256(test_part.images.tobytes()).hexdigest() == before


@pytest.mark.parametrize("name", [*ROTATIONS, *NOISE, "mixtures"])
def test_labels_are_those_of_the_test_images(test_part, name):
    np.testing.assert_array_equal(shifts.part(name, test_part).labels, test_part.labels[:1_000])


@pytest.mark.parametrize("name", ["rotation-20", "rotation", "noise", "Fashion", "", None, 3])
def test_unknown_names_are_refused_with_the_known_ones(test_part, name):
    for use in (lambda: shifts.part(name, test_part), lambda: shifts.file(name)):
        with pytest.raises(ValueError, match=r"unknown images .*: known are test, rotation-15, .*, digits, fashion"):
            use()


def test_a_picture_is_turned_anticlockwise_by_hand():
    picture = np.array([[[[9, 0, 0, 0], [8, 7, 0, 0], [0, 0, 6, 0], [5, 0, 0, 4]]]], np.uint8) * 20
    turned = np.array([[[[0, 0, 0, 4], [0, 0, 6, 0], [0, 7, 0, 0], [9, 8, 0, 5]]]], np.uint8) * 20
    np.testing.assert_array_equal(shifts.rotated(picture, 0), picture)
    np.testing.assert_array_equal(shifts.rotated(picture, 90), turned)


def test_a_turn_by_45_degrees_is_bilinear_and_black_beyond():
    """The four corners fall outside. The centre of four equal pixels stays; each other pixel mixes its neighbours."""
    white = np.full((1, 1, 2, 2), 255, np.uint8)
    assert (shifts.rotated(white, 45) < 255).all()
    wide = np.zeros((1, 1, 9, 9), np.uint8)
    wide[..., 4, :] = 200  # a line through the centre becomes a diagonal one
    found = shifts.rotated(wide, 45)[0, 0]
    assert found[4, 4] == 200
    side = 1 / np.sqrt(2)  # how far pixels beside the diagonal lie from the line
    np.testing.assert_array_equal(found.T, found)
    for offset, weight in [(0, 1), (1, 1 - side), (2, 0)]:
        np.testing.assert_array_equal(np.diagonal(found[::-1], offset)[2:-2], round(200 * weight))


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (1, 1, 8, 20), (1, 2, 32, 17)])
def test_turning_keeps_other_shapes_apart_from_their_directions(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(shifts.rotated(images, 180), images[..., ::-1, ::-1])
    if shape[2] == shape[3]:
        np.testing.assert_array_equal(shifts.rotated(images, 90), np.rot90(images, axes=(2, 3)))


def test_a_line_in_a_wide_image_stays_as_long_and_as_thick():
    upright, flat = np.zeros((2, 1, 1, 8, 20), np.uint8)
    upright[..., 9:11] = 255
    flat[..., 3:5, 6:14] = 255
    np.testing.assert_array_equal(shifts.rotated(upright, 90), flat)


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_rotation_is_that_angle(test_part, name):
    found = shifts.part(name, test_part).images
    np.testing.assert_array_equal(found, shifts.rotated(test_part.images[:1_000], float(name.split("-")[1])))


@pytest.mark.parametrize("name", NOISE)
def test_noise_has_its_standard_deviation(test_part, name):
    grey = data.Part(np.full((200, 1, 28, 28), 127, np.uint8), np.zeros(200, np.uint8))
    deviation = 255 * float(name.split("-")[1])
    found = shifts.part(name, grey).images.astype(float)
    uncut = (found > 0) & (found < 255)
    expected = {0.2: 0.9876, 0.4: 0.7887, 0.6: 0.5953, 0.8: 0.4680}[float(name.split("-")[1])]  # normal within 127.5
    assert abs(uncut.mean() - expected) < 0.01
    if deviation < 60:
        assert abs(found.std() / deviation - 1) < 0.02
    assert abs(found.mean() - 127.5) < 1
    pairs = np.corrcoef(found[::2].ravel(), found[1::2].ravel())[0, 1]
    assert abs(pairs) < 0.02  # each image has noise of its own


def test_noise_is_independent_between_strengths(test_part):
    grey = data.Part(np.full((200, 1, 28, 28), 127, np.uint8), np.zeros(200, np.uint8))
    found = [shifts.part(name, grey).images.ravel() for name in NOISE]
    assert np.abs(np.corrcoef(found) - np.eye(4)).max() < 0.02


def test_a_mixture_is_the_mean_of_its_image_and_one_of_another_class(test_part):
    part, images = shifts.part("mixtures", test_part), test_part.images[:1_000].astype(int)
    labels, partners = test_part.labels[:1_000], []
    for i in range(100):
        others = np.abs(2 * part.images[i].astype(int) - images[i] - images)
        fits = np.flatnonzero(others.reshape(1_000, -1).max(1) <= 1)
        assert len(fits) == 1
        partners.append(fits[0])
    assert (labels[partners] != labels[:100]).all()
    assert len(set(partners)) > 80
    assert len(set(labels[partners])) == 10


def test_the_other_digits_are_those_of_scikit_learn(test_part):
    from sklearn.datasets import load_digits

    part, digits = shifts.part("digits", test_part), load_digits()
    np.testing.assert_array_equal(part.labels, digits.target[:1_000])
    small = digits.images[:1_000] * 255 / 16
    centres = part.images[:, 0, 5:23, 5:23].astype(float)  # averages keep, except at the border
    assert abs(centres.mean() / small[:, 1:7, 1:7].mean() - 1) < 0.1
    flat = [part.images[:, 0, ::4, ::4][:, :7, :7].reshape(1_000, -1), small[:, :7, :7].reshape(1_000, -1)]
    assert np.corrcoef(flat[0].ravel(), flat[1].ravel())[0, 1] > 0.9


def test_what_is_no_digit_are_fashion_mnists_first_test_images(test_part, fashion):
    part = shifts.part("fashion", test_part)
    np.testing.assert_array_equal(part.images, fashion[0][:1_000])
    np.testing.assert_array_equal(part.labels, fashion[1][:1_000])


def test_other_data_are_shifted_in_their_own_shape():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 30), dtype=np.uint8)
    own = data.Part(images, np.arange(20, dtype=np.uint8) % 10)
    for name in [*ROTATIONS, *NOISE, "mixtures"]:
        assert shifts.part(name, own).images.shape == images.shape


# What is stored of predictions


@pytest.fixture(scope="module")
def made():
    """An MCPrediction whose confidences reach from 0.1 to 1 − 1e-10, and are 1 at last."""
    generator = np.random.default_rng(0)
    scale = np.append(np.linspace(0, 25, 4_000), 1e4)
    logits = generator.normal(size=(2, 4_001, 10)) + scale[:, None] * np.eye(10)[generator.integers(0, 10, 4_001)]
    shifted = np.exp(logits - logits.max(2, keepdims=True))
    mean, deterministic = shifted / shifted.sum(2, keepdims=True)
    share = generator.random(4_001)
    return MCPrediction(mean, mean * 0, entropy(mean, axis=1) * (1 - share**4), mean.max(1), deterministic)


@pytest.fixture(scope="module")
def unpacked(made):
    return predictions.unpack_shift(predictions.pack_shift(made, np.arange(4_001) % 10))


def test_classes_come_back_as_they_were(made, unpacked):
    labels = np.arange(4_001) % 10
    np.testing.assert_array_equal(unpacked.labels, labels)
    np.testing.assert_array_equal(unpacked.predicted, made.predicted)
    np.testing.assert_array_equal(unpacked.deterministic_predicted, made.deterministic.argmax(1))
    np.testing.assert_array_equal(unpacked.correct, made.predicted == labels)
    np.testing.assert_array_equal(unpacked.deterministic_correct, made.deterministic.argmax(1) == labels)
    assert unpacked.correct.dtype == bool


@pytest.mark.parametrize("which", ["confidence", "deterministic_confidence"])
def test_a_confidence_and_its_distance_to_1_are_near_what_they_were(made, unpacked, which):
    exact = {"confidence": made.confidence, "deterministic_confidence": made.deterministic.max(1)}[which]
    found = getattr(unpacked, which)
    assert exact.min() < 0.2
    assert exact[-1] == 1
    assert np.abs(found - exact).max() < 1e-3
    relative = np.abs((1 - found) / np.where(exact < 1, 1 - exact, np.nan) - 1)
    assert np.nanmax(relative[1 - exact > 4e-9]) < 1.1e-3
    assert np.abs(found - exact)[1 - exact <= 4e-9].max() < 1e-9
    assert (1 - exact <= 4e-9).sum() > 100
    assert found.min() >= 0
    assert found.max() == 1


@pytest.mark.parametrize("which", ["entropy", "mutual_information", "deterministic_entropy"])
def test_entropies_are_within_a_thousandth(made, unpacked, which):
    exact = entropy(made.deterministic, axis=1) if which == "deterministic_entropy" else getattr(made, which)
    found = getattr(unpacked, which)
    large = exact > 4e-9
    assert np.abs(found[large] / exact[large] - 1).max() < 1.1e-3
    assert np.abs(found - exact)[~large].max() < 1e-9
    assert large.sum() > 3_000
    assert (found >= 0).all()


def test_the_expected_entropy_is_what_is_left(made, unpacked):
    np.testing.assert_allclose(unpacked.expected_entropy, made.expected_entropy, atol=2e-3 * made.entropy.max())
    np.testing.assert_array_equal(unpacked.expected_entropy, unpacked.entropy - unpacked.mutual_information)


def test_a_mutual_information_that_rounding_made_negative_is_zero(made):
    below = MCPrediction(made.mean, made.variance, made.entropy + 1e-15, made.expected_max, made.deterministic)
    assert not predictions.unpack_shift(predictions.pack_shift(below, np.zeros(4_001))).mutual_information.any()


def test_all_of_a_seed_are_below_two_megabytes(made):
    """Of 13 networks; the random digits below compress worse than a network's."""
    generator = np.random.default_rng(0)
    chosen = generator.permutation(3_000)[:1_000]
    thousand = MCPrediction(*(array[chosen] for array in vars(made).values()))
    size = len(predictions.pack_shift(thousand, generator.integers(0, 10, 1_000)))
    assert size * len(shifts.NAMES) * 13 < 2_000_000


def test_names_of_properties_are_those_of_predictions(finished_run, unpacked):
    both = ["labels", "confidence", "correct", "entropy", "expected_entropy", "mutual_information"]
    both += ["deterministic_confidence", "deterministic_correct"]
    whole = finished_run.predictions("SN1")
    for name in both:
        assert getattr(whole, name).shape == (50,)
        assert getattr(whole, name).dtype.kind == getattr(unpacked, name).dtype.kind


# What is measured with them


def test_auroc_tells_one_set_of_images_from_another():
    """Confidence of both sets, one after the other; "correct": is of the first set. By hand: 7 of 8 pairs."""
    test, other = np.array([0.9, 0.8, 0.6, 1.0]), np.array([0.5, 0.7])
    of_test = np.arange(6) < 4
    assert transfer.auroc(np.concatenate([test, other]), of_test) == 7 / 8
    scores = 1 - np.concatenate([[0.1, 0.2, 0.5, 0], [1.1, 0.4]]) / np.log(10)  # of entropies, in [0, 1]
    assert transfer.auroc(scores, of_test) == 7 / 8


def test_the_measures_of_transfer_take_predictions_on_shifts(unpacked):
    error = transfer.mupe(unpacked.confidence, unpacked.deterministic_confidence)
    variance = transfer.constant_predictor_mupe(unpacked.confidence)
    assert transfer.skill(unpacked.confidence, unpacked.deterministic_confidence) == 1 - error / variance
    assert 0 < transfer.auroc(unpacked.confidence, unpacked.correct) < 1
    assert kd.calibration.expected_calibration_error(unpacked.confidence, unpacked.correct) > 0
