import calibration as uncertainty_calibration
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kdutils import predictions, transfer
from kdutils.calibration import (
    bin_index,
    brier_score,
    debiased_squared_error,
    expected_calibration_error,
    isotonic,
    ks_error,
    negative_log_likelihood,
    reliability_bins,
    signed_gap,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

pytestmark = pytest.mark.filterwarnings("error")

CURVE_MEASURES = (reliability_bins, expected_calibration_error, signed_gap)


@st.composite
def answers(draw):
    """(confidence, correct) of 1 to 60 images; edges of bins come up often, in single and double precision."""
    n = draw(st.integers(1, 60))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    width = np.dtype(dtype).itemsize * 8
    value = st.floats(0, 1, width=width) | st.integers(0, 10).map(lambda k: float(dtype(k / 10)))
    return draw(hnp.arrays(dtype, n, elements=value)), draw(hnp.arrays(bool, n))


def random_probabilities(n, classes=10, seed=0, sharpness=3.0):
    logits = sharpness * np.random.default_rng(seed).normal(size=(n, classes))
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(1, keepdims=True)


def ece_by_definition(confidence, correct, n_bins):
    n, ece = len(confidence), 0.0
    for b in range(n_bins):
        lower, upper = b / n_bins, (b + 1) / n_bins
        members = [i for i in range(n) if lower < confidence[i] <= upper or (b == 0 and confidence[i] == 0)]
        if members:
            accuracy = sum(bool(correct[i]) for i in members) / len(members)
            mean_confidence = sum(float(confidence[i]) for i in members) / len(members)
            ece += len(members) / n * abs(accuracy - mean_confidence)
    return ece


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("confidence", "bin_number"), [(0, 0), (0.1, 0), (0.2, 1), (0.3, 2), (0.6, 5), (0.7, 6), (0.9, 8), (1, 9)]
)
def test_an_edge_belongs_to_the_bin_that_ends_there(confidence, bin_number, dtype):
    bins = reliability_bins(np.array([confidence], dtype), [True])
    assert np.flatnonzero(bins.count).tolist() == [bin_number]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("edge", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_just_above_an_edge_belongs_to_the_next_bin(edge, dtype):
    above = np.nextafter(dtype(edge), dtype(1))
    assert np.flatnonzero(reliability_bins([above], [True]).count).tolist() == [round(edge * 10)]


def test_a_curve_by_hand():
    bins = reliability_bins(np.array([0, 0.1, 0.3, 0.6, 0.7, 1]), np.array([1, 0, 1, 0, 1, 1], bool))
    nan = np.nan
    np.testing.assert_array_equal(bins.count, [2, 0, 1, 0, 0, 1, 1, 0, 0, 1])
    np.testing.assert_allclose(bins.mean_confidence, [0.05, nan, 0.3, nan, nan, 0.6, 0.7, nan, nan, 1])
    np.testing.assert_allclose(bins.accuracy, [0.5, nan, 1, nan, nan, 0, 1, nan, nan, 1])
    np.testing.assert_allclose(bins.lower, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    np.testing.assert_allclose(bins.upper, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])


def test_ece_and_signed_gap_by_hand():
    confidence, correct = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert signed_gap(confidence, correct) == pytest.approx(0.75 - 0.75)
    assert signed_gap(confidence, ~correct) == pytest.approx(0.75 - 0.25)


@pytest.mark.parametrize("n_bins", [1, 7, 10, 15])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ece_is_its_definition(n_bins, dtype):
    rng = np.random.default_rng(1)
    confidence = rng.beta(5, 1, 500).astype(dtype)
    correct = rng.random(500) < confidence**2
    expected = ece_by_definition(confidence, correct, n_bins)
    assert expected > 0.05
    assert expected_calibration_error(confidence, correct, n_bins) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_ece_agrees_with_uncertainty_calibration(seed):
    probabilities = random_probabilities(1_000, seed=seed)
    labels = np.random.default_rng(seed + 100).integers(0, 10, 1_000)
    labels[::2] = probabilities.argmax(1)[::2]
    ours = expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
    assert ours == pytest.approx(uncertainty_calibration.get_ece(probabilities, labels, num_bins=10), abs=1e-12)


@given(answers(), st.integers(1, 20))
def test_bins_hold_every_image_once_and_give_back_the_averages(answers, n_bins):
    confidence, correct = answers
    bins = reliability_bins(confidence, correct, n_bins)
    full = bins.count > 0
    assert bins.count.sum() == len(confidence)
    assert np.isnan(bins.accuracy[~full]).all()
    assert np.isnan(bins.mean_confidence[~full]).all()
    share = bins.count[full] / len(confidence)
    assert (share * bins.accuracy[full]).sum() == pytest.approx(correct.mean())
    assert (share * bins.mean_confidence[full]).sum() == pytest.approx(confidence.astype(float).mean(), abs=1e-9)


@given(answers(), st.integers(1, 20))
def test_ece_is_in_0_to_1_and_no_less_than_the_gap(answers, n_bins):
    confidence, correct = answers
    ece = expected_calibration_error(confidence, correct, n_bins)
    assert 0 <= ece <= 1
    assert ece >= abs(signed_gap(confidence, correct)) - 1e-12


@given(answers())
def test_ece_of_one_bin_is_the_absolute_gap(answers):
    assert expected_calibration_error(*answers, n_bins=1) == pytest.approx(abs(signed_gap(*answers)), abs=1e-12)


@given(answers(), st.integers(1, 6), st.integers(2, 4))
def test_ece_of_finer_bins_is_no_less(answers, n_bins, factor):
    confidence, correct = answers[0].astype(float), answers[1]
    coarse = expected_calibration_error(confidence, correct, n_bins)
    assert expected_calibration_error(confidence, correct, n_bins * factor) >= coarse - 1e-12


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(answers, random):
    confidence, correct = answers
    order = random.sample(range(len(confidence)), len(confidence))
    for measure in (expected_calibration_error, signed_gap):
        assert measure(confidence[order], correct[order]) == pytest.approx(measure(confidence, correct), abs=1e-12)


@pytest.mark.parametrize("measure", CURVE_MEASURES)
@pytest.mark.parametrize(
    ("confidence", "message"),
    [
        ([], "confidence must be a non-empty"),
        (0.5, "confidence must be a non-empty"),
        ([[0.5, 0.5]], "confidence must be a non-empty"),
        ([0.5, np.nan], "got nan at index 1"),
        ([0.5, 1.0000001], r"in \[0, 1\], got 1.0000001 at index 1"),
        ([-0.1, 0.5], r"in \[0, 1\], got -0.1 at index 0"),
        ([np.inf, 0.5], "got inf at index 0"),
        (["0.5", "0.6"], "must be numbers"),
        ([True, False], "must be numbers"),
    ],
)
def test_a_wrong_confidence_is_refused(measure, confidence, message):
    with pytest.raises(ValueError, match=message):
        measure(confidence, np.ones(np.size(confidence), bool))


@pytest.mark.parametrize("measure", CURVE_MEASURES)
@pytest.mark.parametrize(
    "correct", [[True], [True] * 3, [[True, False]], True, [0.5, 1], [2, 1], [np.nan, 1], ["a", "b"]]
)
def test_a_wrong_correct_is_refused(measure, correct):
    with pytest.raises(ValueError, match="correct must be"):
        measure([0.5, 0.6], correct)


@pytest.mark.parametrize("measure", [reliability_bins, expected_calibration_error])
@pytest.mark.parametrize("n_bins", [0, -1, 2.5, 10.0, True, "10", None])
def test_a_wrong_number_of_bins_is_refused(measure, n_bins):
    with pytest.raises(ValueError, match="n_bins must be a whole number"):
        measure([0.5], [True], n_bins)


TAKEN = {
    "list": list,
    "tensor": torch.tensor,
    "tensor with a gradient": lambda c: torch.tensor(c, requires_grad=True),
    "bfloat16": lambda c: torch.tensor(c).bfloat16(),
    "float16": lambda c: c.astype(np.float16),
    "long double": lambda c: c.astype(np.longdouble),
    "column": lambda c: pd.Series(c, index=[9, 3, 1, 0]),
}
REFUSED = {
    "masked": (np.ma.array([0.5, 0.25, 0.75, 1], mask=[1, 0, 0, 0]), "not be masked, got 1 masked values"),
    "missing": (pd.Series([0.5, None, 0.75, 1]), "got nan at index 1"),
    "texts": (["0.5"] * 4, "be numbers in"),
    "ragged": ([[0.5], [0.25, 0.75]], "be an array or a list of numbers, got a list"),
    "complex": (np.ones(4) + 0j, "be numbers in"),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_numbers_of_every_kind_are_taken(kind):
    confidence = np.array([0.5, 0.25, 0.75, 1])
    taken, correct = TAKEN[kind](confidence), [True, False, True, True]
    assert expected_calibration_error(taken, correct) == expected_calibration_error(confidence, correct)
    assert transfer.mupe(taken, confidence) == 0
    np.testing.assert_allclose(predictions.entropy(taken), predictions.entropy(confidence), rtol=1e-3)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_numbers_is_refused_by_its_name(kind):
    refused, said = REFUSED[kind]
    for measure in (
        lambda values: expected_calibration_error(values, [1, 0, 1, 1]),
        lambda values: transfer.mupe(values, [0.5] * 4),
        predictions.entropy,
    ):
        with pytest.raises(ValueError, match=rf"^(teacher_)?(confidence|probabilities) .*{said}"):
            measure(refused)


@pytest.mark.parametrize("correct", [pd.array([True, None, False, True]), np.array(["a"] * 4)], ids=["missing", "text"])
def test_a_correct_that_is_unknown_is_refused(correct):
    with pytest.raises(ValueError, match=r"^correct must"):
        expected_calibration_error([0.5] * 4, correct)


@pytest.mark.parametrize("measure", CURVE_MEASURES)
def test_correct_may_be_ones_and_zeros(measure):
    confidence = [0.35, 0.95]
    np.testing.assert_equal(vars_of(measure(confidence, [1, 0])), vars_of(measure(confidence, [True, False])))


def vars_of(result):
    return result if isinstance(result, float) else vars(result)


@pytest.mark.parametrize("measure", CURVE_MEASURES)
def test_curve_measures_leave_their_arrays_alone(measure):
    confidence, correct = np.array([1, 0.3, 0]), np.array([True, False, True])
    measure(confidence, correct)
    assert confidence.tolist() == [1, 0.3, 0]
    assert correct.tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 10])
def test_brier_and_nll_agree_with_scikit_learn(seed, classes):
    probabilities = random_probabilities(200, classes, seed)
    labels = np.random.default_rng(seed).integers(0, classes, 200)
    brier = brier_score_loss(labels, probabilities, labels=range(classes), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(brier, rel=1e-12)
    nll = log_loss(labels, probabilities, labels=range(classes))
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(nll, rel=1e-12)


def test_brier_and_nll_by_hand():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    assert brier_score(probabilities, [0, 2]) == pytest.approx((0 + 0.04 + 0.25 + 0.49) / 2)
    assert negative_log_likelihood(probabilities, [0, 2]) == pytest.approx(-np.log(0.3) / 2)
    assert brier_score([[1.0, 0.0]], [1]) == 2
    assert negative_log_likelihood([[1.0, 0.0]], [1]) == np.inf


@pytest.mark.parametrize("measure", [brier_score, negative_log_likelihood])
@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.empty((0, 3)), [], "probabilities must be a non-empty"),
        ([0.5, 0.5], [0, 1], "probabilities must be a non-empty"),
        ([[0.5, 0.4]], [0], "row 0 sums to 0.9"),
        ([[1.0, np.nan]], [0], "got nan"),
        ([[1.5, -0.5]], [0], "got 1.5"),
        ([[0.5, 0.5]], [0, 1], r"labels must be \(1,\)"),
        ([[0.5, 0.5]], [2], "from 0 to 1"),
        ([[0.5, 0.5]], [-1], "from 0 to 1"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        ([[0.5, 0.5]], [True], "whole numbers"),
    ],
)
def test_wrong_probabilities_or_labels_are_refused(measure, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(probabilities, labels)


@pytest.mark.parametrize("measure", [brier_score, negative_log_likelihood])
def test_scores_leave_their_arrays_alone(measure):
    probabilities, labels = random_probabilities(5), np.arange(5)
    before = probabilities.copy()
    measure(probabilities, labels)
    np.testing.assert_array_equal(probabilities, before)
    assert labels.tolist() == [0, 1, 2, 3, 4]


# Without the choice of equal bins


@pytest.mark.parametrize("seed", range(3))
def test_ece_of_equally_many_images_agrees_with_uncertainty_calibration(seed):
    """Its bins split the sorted confidences as ours do where the number of images is a multiple of theirs."""
    rng = np.random.default_rng(seed)
    confidence = rng.permutation(np.linspace(0.5, 1, 600))
    correct = rng.random(600) < confidence**2
    theirs = uncertainty_calibration.get_ece_em(confidence, correct.astype(int), num_bins=15)
    assert expected_calibration_error(confidence, correct, 15, equal_mass=True) == pytest.approx(theirs, rel=1e-6)


def test_bins_of_equally_many_images_differ_by_one_at_most():
    confidence = np.random.default_rng(0).random(102)
    index = bin_index(confidence, 10, equal_mass=True)
    count = np.bincount(index)
    assert len(count) == 10
    assert count.max() - count.min() == 1
    assert confidence[index == 0].max() < confidence[index == 9].min()


@pytest.mark.parametrize("order", ["sorted by label", "shuffled"])
@pytest.mark.parametrize("n_bins", [1, 3, 10, 15])
def test_equal_confidences_are_not_torn_apart_by_the_order_of_the_images(order, n_bins):
    confidence, correct = np.full(1000, 0.5), np.repeat([False, True], 500)
    if order == "shuffled":
        correct = np.random.default_rng(0).permutation(correct)
    assert expected_calibration_error(confidence, correct, n_bins, equal_mass=True) == 0
    assert debiased_squared_error(confidence, correct, n_bins) == pytest.approx(-0.25 / 999)


@given(answers(), st.integers(1, 12), st.randoms(use_true_random=False))
def test_bins_of_equally_many_images_do_not_depend_on_their_order(answers, n_bins, random):
    confidence = answers[0].round(1)
    order = random.sample(range(len(confidence)), len(confidence))
    index = bin_index(confidence, n_bins, equal_mass=True)
    np.testing.assert_array_equal(bin_index(confidence[order], n_bins, equal_mass=True), index[order])
    in_order = np.argsort(confidence, kind="stable")
    assert (np.diff(index[in_order]) >= 0).all()
    assert all(len(set(index[confidence == value])) == 1 for value in confidence)
    if len(confidence) >= 2 * n_bins:
        assert np.isfinite(debiased_squared_error(confidence, answers[1], n_bins))


@pytest.mark.parametrize("seed", range(3))
def test_debiased_squared_error_agrees_with_uncertainty_calibration(seed):
    rng = np.random.default_rng(seed)
    confidence = rng.permutation(np.linspace(0.5, 1, 600))
    correct = rng.random(600) < confidence**2
    theirs = uncertainty_calibration.get_calibration_error(
        np.stack([1 - confidence, confidence], 1)[:, 1], correct.astype(int), p=2, debias=True, mode="top-label"
    )
    assert debiased_squared_error(confidence, correct, 15) == pytest.approx(theirs**2, rel=1e-6)


def test_debiased_squared_error_is_0_on_average_for_a_calibrated_network_and_unclipped():
    rng = np.random.default_rng(0)
    confidence = rng.beta(8, 1, 1000)
    found = [debiased_squared_error(confidence, rng.random(1000) < confidence) for _ in range(400)]
    assert min(found) < 0
    assert abs(np.mean(found)) < 4 * np.std(found) / 20


def test_debiased_squared_error_needs_two_images_a_bin():
    with pytest.raises(ValueError, match="at least 30 images for 15 bins, got 29"):
        debiased_squared_error(np.full(29, 0.5), np.ones(29))


@given(answers())
def test_ks_error_is_the_largest_gap_below_any_confidence(answers):
    confidence, correct = answers
    gaps = [abs((correct - confidence)[confidence <= c].sum()) / len(confidence) for c in confidence]
    assert ks_error(confidence, correct) == pytest.approx(max(gaps), abs=1e-6)


def test_ks_error_by_hand():
    assert ks_error([0.2, 0.6, 0.9], [0, 1, 1]) == pytest.approx(0.1)  # 0.2, then 0.2 − 0.4, then − 0.1: 0.3 / 3


# Without bins


@given(answers())
def test_the_isotonic_curve_is_scikit_learns(answers):
    confidence, correct = answers[0].astype(float).round(6), answers[1]  # scikit-learn joins what differs by less
    points, levels = isotonic(confidence, correct)
    assert points.tolist() == sorted(set(confidence.tolist()))
    theirs = IsotonicRegression().fit(confidence, correct)
    np.testing.assert_allclose(levels, theirs.predict(points), atol=1e-12)


def test_violators_are_pooled_and_equal_confidences_stay_together():
    points, levels = isotonic([0.5, 0.9, 0.7, 0.9], [True, False, False, True])
    assert points.tolist() == [0.5, 0.7, 0.9]
    np.testing.assert_allclose(levels, [0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("target", "named"), [([1, 0, 1], r"shape \(2,\) like confidence, got \(3,\)"), ([2, 0], "target must be in")]
)
def test_another_target_is_refused(target, named):
    with pytest.raises(ValueError, match=named):
        isotonic([0.5, 0.9], target)
