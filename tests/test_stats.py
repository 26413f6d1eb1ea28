import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from kdutils import calibration, stats, transfer
from kdutils.stats import Estimate

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("coverage", ROOT / "tests" / "benchmarks" / "coverage.py")
coverage = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(coverage)


@pytest.fixture(scope="module")
def weights():
    return stats.image_weights(400, resamples=400)


# Intervals


def test_an_interval_is_students():
    values = np.random.default_rng(0).normal(3, 2, 8)
    estimate = stats.seeds_only(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(estimate.interval(0.9), expected)


@pytest.mark.parametrize("bound", [-1.0, 0.0, 2.9])
def test_a_p_value_is_students(bound):
    values = np.random.default_rng(0).normal(3, 2, 8)
    expected = scipy.stats.ttest_1samp(values, bound, alternative="greater").pvalue
    assert stats.seeds_only(values).p_above(bound) == pytest.approx(expected)


def test_a_single_seed_says_nothing_about_others():
    for estimate in (stats.seeds_only([1.0]), stats.two_level([1.0], np.ones((5, 1)))):
        assert estimate.mean == 1
        assert estimate.interval() == (-np.inf, np.inf)
        assert estimate.p_above(0) == 1


def test_no_spread_is_no_doubt():
    assert Estimate(1.0, 0.0, 9).p_above(0) == 0
    assert Estimate(-1.0, 0.0, 9).p_above(0) == 1
    assert Estimate(0.0, 0.0, 9).p_above(0) == 0.5


@pytest.mark.parametrize(("value", "told"), [(-4e-5, "0.0000"), (-0.0, "0.0000"), (-6e-5, "-0.0001")])
def test_what_rounds_to_zero_has_no_sign(value, told):
    assert stats.interval_text(value, (value, 1.0)) == f"{told} [{told}, 1.0000]"


def test_image_weights_are_a_bootstrap(weights):
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    counts = weights * 400
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
    assert counts.mean() == pytest.approx(1, rel=1e-4)
    assert counts.var() == pytest.approx(1, rel=0.02)
    assert np.array_equal(weights, stats.image_weights(400, resamples=400))


def test_resampled_means_and_eces_are_those_of_the_resampled_sets(weights):
    rng = np.random.default_rng(1)
    c, right = rng.random((3, 400)), rng.random((3, 400)) < 0.7
    means, eces = stats.weighted_means(right, weights), stats.weighted_eces(c, right, weights)
    for row, seed in itertools.product((0, 7), range(3)):
        drawn = np.repeat(np.arange(400), (weights[row] * 400).round().astype(int))
        assert means[row, seed] == pytest.approx(right[seed, drawn].mean(), abs=1e-6)
        expected = calibration.expected_calibration_error(c[seed, drawn], right[seed, drawn])
        assert eces[row, seed] == pytest.approx(expected, abs=1e-5)


def test_resampled_eces_keep_their_bins(weights):
    """Also those of equally many images: equally many before resampling."""
    rng = np.random.default_rng(1)
    c, right = rng.random((1, 400)), rng.random((1, 400)) < 0.7
    eces = stats.weighted_eces(c, right, weights, 7, equal_mass=True)
    order = np.argsort(c[0])
    gaps = [weights[3][part] @ (right[0] - c[0])[part] for part in np.array_split(order, 7)]
    assert eces[3, 0] == pytest.approx(np.abs(gaps).sum(), abs=1e-5)
    whole = stats.weighted_eces(c, right, np.full((1, 400), 1 / 400, np.float32), 7, equal_mass=True)
    expected = calibration.expected_calibration_error(c[0], right[0], 7, equal_mass=True)
    assert whole[0, 0] == pytest.approx(expected, abs=1e-6)


def test_two_levels_are_the_analysis_of_variance():
    """For a mean, the three parts have a closed form (seeds, images, and what differs from seed to seed)."""
    rng = np.random.default_rng(2)
    seeds, images = 10, 400
    x = rng.normal(size=(seeds, 1)) + 3 * rng.normal(size=(1, images)) + rng.normal(size=(seeds, images))
    rows, columns = x.mean(1), x.mean(0)
    rest = ((x - rows[:, None] - columns + x.mean()) ** 2).sum() / (seeds - 1) / (images - 1)
    expected = rows.var(ddof=1) / seeds + columns.var(ddof=1) / images - rest / seeds / images
    resampled = stats.weighted_means(x, stats.image_weights(images, 10_000))
    estimate = stats.two_level(rows, resampled)
    assert estimate.error**2 == pytest.approx(expected, rel=0.03)
    assert estimate.degrees == pytest.approx(9 * (expected / (rows.var(ddof=1) / seeds)) ** 2, rel=0.1)


def test_with_one_level_alone_it_is_that_levels_error():
    rng = np.random.default_rng(2)
    values = rng.normal(size=10)
    only_seeds = stats.two_level(values, np.tile(values, (50, 1)))
    assert only_seeds == pytest.approx(stats.seeds_only(values))
    images = rng.normal(0, 0.3, 20_000)
    only_images = stats.two_level(np.zeros(10), np.tile(images[:, None], 10))
    assert only_images.error == pytest.approx(0.3, rel=0.02)
    assert only_images.interval()[1] == pytest.approx(1.96 * only_images.error, rel=1e-3)


def test_the_jackknife_of_a_mean_has_the_variances_of_its_seeds_and_its_groups():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 6, 400)) + rng.normal(size=(6, 1))
    estimate = stats.jackknife(lambda x, y: (x - 2 * y).mean(), x, y, groups=40)
    difference = x - 2 * y
    order = np.random.default_rng(1).permutation(400).reshape(40, 10)
    groups = difference.mean(0)[order].mean(1)
    variance = difference.mean(1).var(ddof=1) / 6 + groups.var(ddof=1) / 40
    assert estimate == pytest.approx((difference.mean(), np.sqrt(variance), 5))


@pytest.mark.parametrize("kind", ["accuracy", "log-ratio", "ECE difference", "gain, other teachers"])
def test_ninety_five_percent_intervals_cover_as_often(kind):
    """Few studies here; the file below has many."""
    found = coverage.coverage(kind, 10, 150)
    assert abs(found - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 150)


def test_the_intervals_of_own_teacher_shares_cover_at_least_as_often():
    """Their two variances are added, which is cautious."""
    assert coverage.coverage("own-teacher share", 5, 60) >= 0.95


def test_the_long_simulation_found_coverage_few_false_verdicts_and_power():
    record = json.loads((ROOT / "results" / "coverage.json").read_text(encoding="utf-8"))
    assert record["studies"] >= 2000
    assert all(0.93 <= by_seeds["10"] <= 0.97 for by_seeds in record["coverage"].values())
    assert max(record["false_verdicts"].values()) <= 0.05
    assert record["specificity"]["copied 0.0"] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert record["specificity"]["copied 0.1"] > 0.9
    assert max(record["power"].values()) > 0.8
    transfer = record["transfer"]
    assert transfer["studies"] >= 2000
    assert all(0.93 <= covered <= 0.97 for covered in transfer["coverage"]["gain, other teachers"].values())
    assert all(covered >= 0.95 for covered in transfer["coverage"]["own-teacher share"].values())


# Chance


def test_the_null_of_calibration_is_that_of_redrawn_labels():
    c = np.random.default_rng(3).beta(8, 1, 500)
    eces, accuracies = stats.calibration_null(c, draws=400)
    rng = np.random.default_rng(4)
    naive = [calibration.expected_calibration_error(c, rng.random(500) < c) for _ in range(400)]
    assert scipy.stats.ks_2samp(eces, naive).pvalue > 0.001
    bins = calibration.reliability_bins(c, np.ones(500, bool))
    np.testing.assert_array_equal(np.isnan(accuracies).all(0), bins.count == 0)
    full = bins.count > 50
    np.testing.assert_allclose(accuracies.mean(0)[full], bins.mean_confidence[full], atol=0.02)


def share_outside(bent):
    """Of 60 networks with 400 images: on which share their isotonic curve lies outside the region of chance (95 %)."""
    rng, outside = np.random.default_rng(0), []
    for _ in range(60):
        confidence = rng.beta(8, 1, 400)
        _, levels = calibration.isotonic(confidence, rng.random(400) < bent(confidence))
        low, high = np.quantile(stats.isotonic_null(confidence, draws=200), (0.025, 0.975), axis=0)
        outside.append(((levels < low) | (levels > high)).mean())
    return np.mean(outside)


def test_a_calibrated_network_stays_inside_its_region_as_often_as_it_should():
    """A little more often, since an accuracy of 1 cannot lie above a region that ends there."""
    assert 0.02 < share_outside(lambda confidence: confidence) < 0.06


def test_an_overconfident_network_leaves_its_region():
    assert share_outside(lambda confidence: confidence - 0.1) > 0.5


# Specificity


def test_specificity_is_the_log_of_mupe():
    rng = np.random.default_rng(5)
    students, teachers = rng.random((3, 50)), rng.random((3, 50))
    matrix = stats.specificity(students, teachers)
    assert matrix[0, 2] == pytest.approx(np.log(transfer.mupe(teachers[2], students[0])))


def test_all_permutations_are_tried_for_few_seeds():
    matrix = np.ones((3, 3)) - np.eye(3)
    assert stats.specificity_test(matrix) == (pytest.approx(1.0), pytest.approx(1 / 6))
    assert stats.specificity_test(matrix[::-1])[1] == pytest.approx(
        np.mean([stats.specificity_test(matrix[list(o)])[0] >= -0.5 for o in itertools.permutations(range(3))]), abs=0.5
    )
    assert stats.specificity_test(np.zeros((1, 1)))[1] == 1


@pytest.mark.parametrize("seeds", [4, 10])
def test_specificity_by_chance_is_found_no_more_often_than_five_percent(seeds):
    rng = np.random.default_rng(6)
    found = [stats.specificity_test(rng.normal(size=(seeds, seeds)), resamples=200)[1] <= 0.05 for _ in range(600)]
    assert np.mean(found) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_holm_by_hand():
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_holm_lowers_no_p_value_and_keeps_their_order():
    p_values = np.random.default_rng(0).random(10) ** 3
    adjusted = stats.holm(p_values)
    assert (adjusted >= p_values).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    assert adjusted.max() <= 1
