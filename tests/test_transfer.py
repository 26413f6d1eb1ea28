import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kdutils.transfer import (
    constant_predictor_mupe,
    kl_divergence,
    mupe,
    mupe_parts,
    skill,
    top1_agreement,
)
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, mean_squared_error

pytestmark = pytest.mark.filterwarnings("error")

TEACHER, STUDENT = np.array([0.9, 0.5, 1.0, 0.6]), np.array([0.8, 0.9, 1.0, 0.3])
PAIR_MEASURES = (mupe, mupe_parts, skill)


@st.composite
def confidence_pairs(draw):
    n = draw(st.integers(1, 50))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    confidence = hnp.arrays(dtype, n, elements=st.floats(0, 1, width=np.dtype(dtype).itemsize * 8))
    return draw(confidence), draw(confidence)


def random_probabilities(n, seed, sharpness=2.0):
    logits = sharpness * np.random.default_rng(seed).normal(size=(n, 10))
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(1, keepdims=True)


def test_mupe_by_hand():
    assert mupe(TEACHER, STUDENT) == pytest.approx((0.01 + 0.16 + 0 + 0.09) / 4)


@given(confidence_pairs())
def test_mupe_agrees_with_scikit_learn(pair):
    teacher, student = pair
    expected = mean_squared_error(teacher.astype(float), student.astype(float))
    assert mupe(teacher, student) == pytest.approx(expected, rel=1e-12)


@given(confidence_pairs())
def test_the_parts_sum_to_mupe_and_none_is_negative(pair):
    parts = mupe_parts(*pair)
    assert sum(parts) == pytest.approx(mupe(*pair), abs=1e-12)
    assert min(parts) >= -1e-12


def test_each_part_by_hand():
    parts = mupe_parts(TEACHER, STUDENT)
    rho = np.corrcoef(TEACHER, STUDENT)[0, 1]
    assert parts.mean_gap_squared == pytest.approx((TEACHER.mean() - STUDENT.mean()) ** 2, abs=1e-15)
    assert parts.sd_gap_squared == pytest.approx((TEACHER.std() - STUDENT.std()) ** 2)
    assert parts.decorrelation == pytest.approx(2 * TEACHER.std() * STUDENT.std() * (1 - rho))


@pytest.mark.parametrize(
    ("student", "part"),
    [
        (TEACHER - 0.2, "mean_gap_squared"),
        (0.75 + (TEACHER - 0.75) / 2, "sd_gap_squared"),
        (1.5 - TEACHER, "decorrelation"),
    ],
)
def test_level_spread_and_order_each_go_into_a_part_of_their_own(student, part):
    parts = mupe_parts(TEACHER, student)
    assert getattr(parts, part) == pytest.approx(mupe(TEACHER, student))
    assert getattr(parts, part) > 0.01


def test_the_constant_predictor_has_the_variance_as_its_mupe():
    assert constant_predictor_mupe(TEACHER) == pytest.approx(np.var(TEACHER))
    assert constant_predictor_mupe(TEACHER) == pytest.approx(mupe(TEACHER, np.full(4, TEACHER.mean())))


def test_skill_is_1_for_a_copy_0_for_the_mean_and_negative_for_worse():
    assert skill(TEACHER, TEACHER) == 1
    assert skill(TEACHER, np.full(4, TEACHER.mean())) == pytest.approx(0, abs=1e-12)
    assert skill(TEACHER, STUDENT) == pytest.approx(1 - 0.065 / np.var(TEACHER))
    assert skill(TEACHER, STUDENT) < 0


@pytest.mark.parametrize("teacher", [np.ones(4), np.array([0.9, 0.9001, 0.9, 0.9001])])
def test_skill_is_nan_where_the_teacher_hardly_varies(teacher):
    assert np.isnan(skill(teacher, STUDENT))


@pytest.mark.parametrize("seed", range(3))
def test_kl_agrees_with_scipy_and_torch(seed):
    teacher, student = random_probabilities(40, seed), random_probabilities(40, seed + 10)
    ours = kl_divergence(teacher, student)
    assert ours == pytest.approx(entropy(teacher, student, axis=1).mean(), rel=1e-12)
    torchs = torch.nn.KLDivLoss(reduction="batchmean")(torch.from_numpy(np.log(student)), torch.from_numpy(teacher))
    assert ours == pytest.approx(torchs.item(), rel=1e-12)


def test_kl_by_hand_is_from_the_teacher_to_the_student():
    teacher, student = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    assert kl_divergence(teacher, student) == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))
    assert kl_divergence(student, teacher) == pytest.approx(0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5))


def test_kl_with_zeros():
    sure, unsure = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    assert kl_divergence(sure, unsure) == pytest.approx(np.log(2))
    assert kl_divergence(unsure, sure) == np.inf
    assert kl_divergence(sure, sure) == 0
    assert kl_divergence(sure, 1 - sure) == np.inf


def test_top1_agreement_is_about_the_largest_entry_alone():
    teacher = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    student = np.array([[0.9, 0.0, 0.1], [0.5, 0.2, 0.3], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1]])
    assert top1_agreement(teacher, student) == 0.5
    teacher, student = random_probabilities(100, 0), random_probabilities(100, 1)
    assert top1_agreement(teacher, student) == accuracy_score(teacher.argmax(1), student.argmax(1))


@pytest.mark.parametrize("measure", PAIR_MEASURES)
@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ([0.5, 0.6], [0.5], "must be of one shape"),
        ([0.5], [0.5, 0.6], "must be of one shape"),
        ([], [], "teacher_confidence must be a non-empty"),
        ([0.5, np.nan], [0.5, 0.6], "teacher_confidence must be in .* got nan at index 1"),
        ([0.5, 0.6], [0.5, 1.0000001], "student_confidence must be in .* got 1.0000001 at index 1"),
        ([0.5, 0.6], [-0.1, 0.6], "student_confidence must be in .* got -0.1 at index 0"),
        ([[0.5, 0.5]], [[0.5, 0.5]], "teacher_confidence must be a non-empty"),
        (["a"], [0.5], "teacher_confidence must be numbers"),
    ],
)
def test_wrong_confidences_are_refused(measure, teacher, student, message):
    with pytest.raises(ValueError, match=message):
        measure(teacher, student)


@pytest.mark.parametrize("wrong", [[], [np.nan], [1.5], 0.5])
def test_the_constant_predictor_refuses_wrong_confidences(wrong):
    with pytest.raises(ValueError, match="teacher_confidence"):
        constant_predictor_mupe(wrong)


@pytest.mark.parametrize("measure", [kl_divergence, top1_agreement])
@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ([[0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]], "must be of one shape"),
        ([[0.5, 0.5]], [[0.5, 0.3, 0.2]], "must be of one shape"),
        ([0.5, 0.5], [0.5, 0.5], "teacher_probabilities must be a non-empty"),
        (np.empty((0, 2)), np.empty((0, 2)), "teacher_probabilities must be a non-empty"),
        ([[0.5, 0.4]], [[0.5, 0.5]], "each row of teacher_probabilities must sum to 1, row 0 sums to 0.9"),
        ([[0.5, 0.5]], [[np.nan, 0.5]], "student_probabilities must be in .* got nan"),
        ([[0.5, 0.5]], [[1.5, -0.5]], "student_probabilities must be in .* got 1.5"),
    ],
)
def test_wrong_probabilities_are_refused(measure, teacher, student, message):
    with pytest.raises(ValueError, match=message):
        measure(teacher, student)


@pytest.mark.parametrize("measure", [mupe, mupe_parts, skill])
def test_confidence_measures_leave_their_arrays_alone(measure):
    teacher, student = TEACHER.copy(), STUDENT.copy()
    measure(teacher, student)
    np.testing.assert_array_equal(teacher, TEACHER)
    np.testing.assert_array_equal(student, STUDENT)


@pytest.mark.parametrize("measure", [kl_divergence, top1_agreement])
def test_probability_measures_leave_their_arrays_alone(measure):
    teacher, student = random_probabilities(5, 0), random_probabilities(5, 1)
    measure(teacher, student)
    np.testing.assert_array_equal(teacher, random_probabilities(5, 0))
    np.testing.assert_array_equal(student, random_probabilities(5, 1))
