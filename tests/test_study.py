import numpy as np
import pytest
from kdutils import calibration, claims, stats, transfer
from kdutils.study import DEFINITIONS, Measure, Study
from studies import fake_study


@pytest.fixture(scope="module")
def weights():
    return stats.image_weights(400, resamples=400)


@pytest.fixture(scope="module")
def study(weights):
    return Study(fake_study(copying=0.8), weights)


def test_who_copies_their_own_teacher_is_specific_and_who_copies_none_is_not(weights):
    copying = Study(fake_study(copying=0.8), weights)
    _, apart, p = copying.specificity("KD-SN2")
    assert apart > 0
    assert p < 0.001
    assert copying.specificity("SN2")[2] > 0.01


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
    found = study.by(DEFINITIONS[label])
    summary, power = found.summary("KD-SN2"), ece.pop("of", 1)
    own, teacher = (study.predictions[name] for name in ("KD-SN2", "TN"))
    eces = [calibration.expected_calibration_error(p.confidence**power, p.correct, **ece) for p in own]
    assert summary["ECE"].mean == pytest.approx(np.mean(eces))
    mupes = [mupe(t.confidence, p.confidence).mean() for t, p in zip(teacher, own, strict=True)]
    assert summary["MUPE"].mean == pytest.approx(np.mean(mupes))
    matrix, _, p = found.specificity("KD-SN2")
    assert np.exp(np.diag(matrix)) == pytest.approx(np.array(mupes) / (2 if "ten" in label else 1))
    assert p < 0.05
    assert len(claims.verdicts(found)) == 10


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


def test_measures_are_subtracted_and_divided_part_by_part():
    one = Measure(np.array([4.0, 2.0]), np.array([[1.0, 6.0], [3.0, 8.0]]))
    other = Measure(np.array([1.0, 4.0]), np.array([[2.0, 2.0], [6.0, 2.0]]))
    difference, ratio = one - other, one.log_ratio(other)
    np.testing.assert_array_equal(difference.values, [3, -2])
    np.testing.assert_array_equal(difference.resampled, [[-1, 4], [-3, 6]])
    np.testing.assert_array_equal((-difference).values, [-3, 2])
    np.testing.assert_allclose(ratio.values, np.log([4, 0.5]))
    np.testing.assert_allclose(ratio.resampled, np.log([[0.5, 3], [0.5, 4]]))
    assert difference.estimate() == stats.two_level(difference.values, difference.resampled)


def test_differences_of_accuracy_are_of_one_network_minus_the_other(study):
    found = study.accuracy_difference("KD-SN2", "SN2").values
    pairs = zip(study.predictions["KD-SN2"], study.predictions["SN2"], strict=True)
    np.testing.assert_allclose(found, [one.correct.mean() - other.correct.mean() for one, other in pairs])
