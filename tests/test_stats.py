import importlib.util
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.weightstats import ttost_paired

from kdutils import calibration, stats, transfer
from kdutils.stats import Condition, Estimate

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("coverage", ROOT / "tests" / "benchmarks" / "coverage.py")
coverage = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(coverage)
NETWORKS = ("TN", "KD-SN1", "KD-SN2", "KD-SN3", "SN1", "SN2", "SN3")


def fake_study(seeds=10, images=400, *, copying=0.0, effects=None, seed=0):
    """{network: [Predictions, …]}: images of their own difficulty; students `copying` their teacher's confidence."""
    rng = np.random.default_rng(seed)
    difficulty = rng.beta(8, 1, images)
    teachers = [(difficulty + rng.normal(0, 0.05, images)).clip(0.1, 1) for _ in range(seeds)]
    study = {}
    for name in NETWORKS:
        study[name] = []
        for teacher in teachers:
            own = (difficulty + rng.normal(0, 0.05, images)).clip(0.1, 1)
            share = copying if name.startswith("KD-") else 0
            c = (
                teacher
                if name == "TN"
                else (share * teacher + (1 - share) * own + (effects or {}).get(name, 0)).clip(0, 1)
            )
            right = rng.random(images) < own
            study[name].append(
                SimpleNamespace(
                    confidence=c,
                    correct=right,
                    deterministic_confidence=c**2,
                    deterministic_correct=right,
                    expected_max=c**3,
                    mc_mean=np.stack([c, 1 - c], 1),
                    mc_sd=0.3 * c,
                )
            )
    return study


@pytest.fixture(scope="module")
def weights():
    return stats.image_weights(400, resamples=400)


@pytest.fixture(scope="module")
def study(weights):
    return stats.Study(fake_study(copying=0.8), weights)


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


@pytest.mark.parametrize("kind", ["accuracy", "log-ratio", "ECE difference"])
def test_ninety_five_percent_intervals_cover_as_often(kind):
    """Few studies here; the file below has many."""
    found = coverage.coverage(kind, 10, 150)
    assert abs(found - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 150)


def test_the_long_simulation_found_coverage_few_false_verdicts_and_power():
    record = json.loads((ROOT / "results" / "coverage.json").read_text())
    assert record["studies"] >= 2000
    assert all(0.93 <= by_seeds["10"] <= 0.97 for by_seeds in record["coverage"].values())
    assert max(record["false_verdicts"].values()) <= 0.05
    assert record["specificity"]["copied 0.0"] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert record["specificity"]["copied 0.1"] > 0.9
    assert max(record["power"].values()) > 0.8


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


# Specificity


def test_specificity_is_the_log_of_mupe():
    rng = np.random.default_rng(5)
    students, teachers = rng.random((3, 50)), rng.random((3, 50))
    matrix = stats.specificity(students, teachers)
    assert matrix[0, 2] == pytest.approx(np.log(transfer.mupe(teachers[2], students[0])))


def test_who_copies_their_own_teacher_is_specific_and_who_copies_none_is_not(weights):
    copying = stats.Study(fake_study(copying=0.8), weights)
    _, apart, p = copying.specificity("KD-SN2")
    assert apart > 0
    assert p < 0.001
    assert copying.specificity("SN2")[2] > 0.01


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


# Verdicts


def test_holm_by_hand():
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_holm_lowers_no_p_value_and_keeps_their_order():
    p_values = np.random.default_rng(0).random(10) ** 3
    adjusted = stats.holm(p_values)
    assert (adjusted >= p_values).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    assert adjusted.max() <= 1


BOUND = 0.2
CASES = [  # mean, error, holds, refuted: above the bound
    (1.0, 0.1, True, False),
    (0.3, 0.1, False, False),
    (0.0, 0.05, False, True),  # no difference that would matter
    (-1.0, 0.1, False, True),
    (-1.0, 1.0, False, False),
]


@pytest.mark.parametrize(("mean", "error", "holds", "refuted"), CASES)
def test_a_difference_holds_is_refuted_or_neither(mean, error, holds, refuted):
    condition = Condition("", Estimate(mean, error, 9), BOUND)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


@pytest.mark.parametrize(
    ("mean", "error", "holds", "refuted"),
    [(0.0, 0.05, True, False), (0.15, 0.05, False, False), (1.0, 0.1, False, True), (-1.0, 0.1, False, True)],
)
def test_an_equivalence_turns_the_rule_round(mean, error, holds, refuted):
    condition = Condition("", Estimate(mean, error, 9), BOUND, p=0.0, equivalence=True, level=0.9)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


@pytest.mark.parametrize(("gain", "holds", "refuted"), [(0.0, True, False), (0.2, False, False), (1.0, False, True)])
def test_an_upper_bound_on_a_gain(gain, holds, refuted):
    """C7: the upper bound of G(SN1) lies below log 1.25."""
    condition = Condition("", Estimate(-gain, 0.05, 9), -BOUND, level=0.9)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


def test_verdicts():
    good, bad, unclear = (Condition("", Estimate(mean, 0.1, 9), BOUND) for mean in (1.0, -1.0, 0.3))
    assert stats.verdict([good], 0.01, 10) == "reproduced"
    assert stats.verdict([good], 0.06, 10) == "inconclusive"
    assert stats.verdict([good, unclear], 0.01, 10) == "inconclusive"
    assert stats.verdict([good, bad], 0.01, 10) == "not reproduced"
    assert stats.verdict([good], 0.01, 9) == "inconclusive"
    assert stats.verdict([good, Condition("", None, p=0.2)], 0.01, 10) == "inconclusive"
    assert stats.verdict([good, Condition("", None, met=False)], 0.01, 10) == "inconclusive"
    assert stats.verdict([good, Condition("", None, met=True)], 0.01, 10) == "reproduced"


def test_the_ks_error_has_to_agree_with_the_ece(study):
    """C5: distillation lowers SN2's KS error, too."""
    own = study.predictions
    exchanged = own | {"SN2": own["KD-SN2"], "KD-SN2": own["SN2"]}
    lower = study.ks("SN2") > study.ks("KD-SN2")
    for predictions, agrees in ((own, lower), (exchanged, not lower)):
        _, ks = stats.Study(predictions, study.weights).calibration_conditions()["C5"]
        assert (ks.what, ks.met, ks.p_value()) == ("KS error agrees", agrees, float(not agrees))


PAPER = {
    "TN": {"accuracy": 0.9921, "ECE": 0.0027},
    "KD-SN1": {"accuracy": 0.9914, "ECE": 0.0064, "MUPE": 0.0037},
    "KD-SN2": {"accuracy": 0.9904, "ECE": 0.0019, "MUPE": 0.0019},
    "SN2": {"accuracy": 0.9951, "ECE": 0.0036},
    "KD-SN3": {"accuracy": 0.9836, "ECE": 0.0029, "MUPE": 0.0016},
}


def test_the_papers_own_values():
    found = stats.point_values(PAPER)
    assert {claim: bool(rule) for claim, (_, rule) in found.items() if rule is not None} == {
        "C1a": False,
        "C1b": False,
        "C2": True,
        "C3": True,
        "C4": True,
        "C5": True,
    }
    assert found["C6"] == (True, None)
    assert found["C7"] == (True, None)


def test_measures_of_a_study_are_those_of_the_package(study):
    own, teacher = (study.predictions[name] for name in ("KD-SN2", "TN"))
    summary = study.summary("KD-SN2")
    assert summary["accuracy"].mean == pytest.approx(np.mean([p.correct.mean() for p in own]))
    eces = [calibration.expected_calibration_error(p.confidence, p.correct) for p in own]
    assert summary["ECE"].mean == pytest.approx(np.mean(eces))
    mupes = [transfer.mupe(t.confidence, p.confidence) for t, p in zip(teacher, own, strict=True)]
    assert summary["MUPE"].mean == pytest.approx(np.mean(mupes))
    assert "MUPE" not in study.summary("TN")


@pytest.mark.parametrize(
    ("label", "ece", "mupe"),
    [
        ("dropout off", {"of": 2}, lambda t, s: (t**2 - s**2) ** 2),
        ("ECE in 15 bins", {"n_bins": 15}, lambda t, s: (t - s) ** 2),
        ("ECE in bins of equally many images", {"equal_mass": True}, lambda t, s: (t - s) ** 2),
        ("confidence: mean of the passes' maxima", {"of": 3}, lambda t, s: (t**3 - s**3) ** 2),
        ("MUPE of all ten probabilities", {}, lambda t, s: 2 * (t - s) ** 2),
        ("MUPE of the MC standard deviation", {}, lambda t, s: 0.09 * (t - s) ** 2),
    ],
)
def test_each_definition_is_what_it_says(study, label, ece, mupe):
    found = study.by(stats.DEFINITIONS[label])
    summary, power = found.summary("KD-SN2"), ece.pop("of", 1)
    own, teacher = (study.predictions[name] for name in ("KD-SN2", "TN"))
    eces = [calibration.expected_calibration_error(p.confidence**power, p.correct, **ece) for p in own]
    assert summary["ECE"].mean == pytest.approx(np.mean(eces))
    mupes = [mupe(t.confidence, p.confidence).mean() for t, p in zip(teacher, own, strict=True)]
    assert summary["MUPE"].mean == pytest.approx(np.mean(mupes))
    matrix, _, p = found.specificity("KD-SN2")
    assert np.exp(np.diag(matrix)) == pytest.approx(np.array(mupes) / (2 if "ten" in label else 1))
    assert p < 0.05
    assert len(found.verdicts()) == 10


def test_a_gain_is_the_log_of_what_distillation_divides_mupe_by(study):
    values, resampled = study.gain("SN2")
    pairs = zip(*(study.predictions[name] for name in ("TN", "SN2", "KD-SN2")), strict=True)
    expected = [
        np.log(np.mean((t.confidence - s.confidence) ** 2) / np.mean((t.confidence - k.confidence) ** 2))
        for t, s, k in pairs
    ]
    np.testing.assert_allclose(values, expected)
    assert values.mean() > 0
    assert resampled.shape == (400, 10)
    np.testing.assert_allclose(resampled.mean(0), values, atol=0.05)


def test_equivalence_is_statsmodels(study):
    condition = study.equally_accurate("KD-SN1", "TN")
    one, other = (study.rows(name, "correct").mean(1) for name in ("KD-SN1", "TN"))
    assert condition.p == pytest.approx(ttost_paired(one, other, -0.002, 0.002)[0])


def test_a_trend_is_pages(study):
    falling = {name: np.arange(10) / 100 - i for i, name in enumerate(stats.LADDER)}
    rising = {name: -values for name, values in falling.items()}
    assert study.trend(falling, "x").p < 0.001
    assert study.trend(rising, "x").p > 0.9


def test_students_that_copy_are_found_and_students_that_do_not_are_not(weights):
    def found(**options):
        return {
            (claim, reading): verdict
            for claim, reading, *_, verdict in stats.Study(fake_study(**options), weights).verdicts()
        }

    assert found(copying=0.8)["C6", ""] == "reproduced"
    assert found(copying=0.8)["C7", ""] == "not reproduced"
    assert found(copying=0.0)["C6", ""] == "not reproduced"
    assert found(copying=0.8, seeds=9)["C6", ""] == "inconclusive"
    assert set(found(copying=0.8, seeds=1).values()) == {"inconclusive"}


def test_mupe_that_falls_is_found(weights):
    effects = {"KD-SN1": -0.2, "KD-SN2": -0.1}
    verdicts = stats.Study(fake_study(copying=0.5, effects=effects), weights).verdicts()
    assert next(v for claim, *_, v in verdicts if claim == "C3") == "reproduced"


def test_without_controls_there_is_no_verdict_on_low_capacity(weights):
    predictions = fake_study(seeds=2)
    del predictions["SN1"], predictions["SN3"]
    assert "C7" not in stats.Study(predictions, weights).conditions()
