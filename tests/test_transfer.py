import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kdutils.transfer import (
    auroc,
    constant_predictor_mupe,
    images_that_carry,
    kl_divergence,
    kl_of_images,
    left_by_difficulty,
    log_odds,
    mupe,
    mupe_parts,
    own_teacher_ranks,
    own_teacher_share,
    own_teacher_shares,
    recalibrated,
    skill,
    strata,
    top1_agreement,
)
from scipy.stats import entropy, spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score

pytestmark = pytest.mark.filterwarnings("error")

TEACHER, STUDENT = np.array([0.9, 0.5, 1.0, 0.6]), np.array([0.8, 0.9, 1.0, 0.3])
PAIR_MEASURES = (mupe, mupe_parts, skill, images_that_carry)


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
    np.testing.assert_allclose(kl_of_images(teacher, student), entropy(teacher, student, axis=1), rtol=1e-12)


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


@pytest.mark.parametrize("measure", [*PAIR_MEASURES, lambda teacher, student: recalibrated(student, teacher, 2)])
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


# Recalibration


def test_recalibration_by_hand():
    """As many folds as images: each is mapped by the other three, wherever the permutation puts it."""
    student, teacher = [0.2, 0.4, 0.6, 0.8], [0.1, 0.5, 0.3, 0.9]
    np.testing.assert_allclose(recalibrated(student, teacher, folds=4), [0.4, 0.2, 0.7, 0.4])


def test_images_of_equal_confidence_are_mapped_to_their_mean():
    found = recalibrated([0.5, 0.5, 0.5, 0.9], [0.2, 0.4, 0.9, 1.0], folds=4)
    np.testing.assert_allclose(found, [0.65, 0.55, 0.3, 0.5])


def folds_of(n, folds=5, seed=1):
    """Written a second way: a mask of the images held out."""
    order = np.random.default_rng(seed).permutation(n)
    return [np.isin(np.arange(n), part) for part in np.array_split(order, folds)]


@pytest.mark.parametrize(("folds", "seed", "digits"), [(5, 1, 16), (3, 4, 2), (2, 1, 1)])
def test_recalibration_agrees_with_scikit_learn(folds, seed, digits):
    rng = np.random.default_rng(seed)
    student = rng.random(400).round(digits)
    teacher = (student**2 + rng.normal(0, 0.2, 400)).clip(0, 1)
    expected = np.empty(400)
    for out in folds_of(400, folds, seed):
        peer = IsotonicRegression(out_of_bounds="clip").fit(student[~out], teacher[~out])
        expected[out] = peer.predict(student[out])
    np.testing.assert_allclose(recalibrated(student, teacher, folds, seed), expected, atol=1e-12)


def test_recalibration_finds_no_agreement_where_there_is_none():
    """Fitted to the images that it maps, it would: MUPE below the variance."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(50):
        student, teacher = rng.random((2, 100))
        errors.append(mupe(teacher, recalibrated(student, teacher)) / teacher.var())
    assert np.mean(errors) > 1.02


def test_recalibration_undoes_any_increasing_function():
    rng = np.random.default_rng(1)
    teacher = rng.random(3000)
    assert mupe(teacher, recalibrated(teacher**5, teacher)) < 1e-6
    student = (teacher + rng.normal(0, 0.1, 3000)).clip(0, 1)
    same = mupe(teacher, recalibrated(student, teacher))
    assert mupe(teacher, recalibrated(student**3 / 2, teacher)) == pytest.approx(same, rel=0.01)


@pytest.mark.parametrize(
    ("student", "teacher", "options", "message"),
    [
        ([0.5, 1.5], [0.5, 0.5], {}, "student must be in .* got 1.5 at index 1"),
        ([0.5, 0.5], [np.nan, 0.5], {}, "teacher must be in .* got nan at index 0"),
        ([0.5, 0.5], [0.5], {}, "teacher and student must be of one shape"),
        ([0.5, 0.5], [0.5, 0.5], {"folds": 1}, "folds must be a whole number of at least 2"),
        ([0.5, 0.5], [0.5, 0.5], {"folds": 3}, "folds must be at most the number of images, 2, got 3"),
        ([0.5, 0.5], [0.5, 0.5], {"folds": 2, "seed": -1}, "seed must be"),
    ],
)
def test_recalibration_refuses_wrong_arguments(student, teacher, options, message):
    with pytest.raises(ValueError, match=message):
        recalibrated(student, teacher, **options)


# The own teacher's share


def test_the_own_teacher_share_by_hand():
    """Centred, the teachers are (−0.4, 0, 0.4) and (0, −0.4, 0.4): variance 0.32 / 3, covariance 0.16 / 3."""
    teachers = np.array([[0.1, 0.5, 0.9], [0.5, 0.1, 0.9]])
    first = teachers[[0, 0]]  # both students copy the first teacher
    np.testing.assert_allclose(own_teacher_shares(first, teachers), [1, -1])
    assert own_teacher_share(first, teachers) == pytest.approx(0)
    assert own_teacher_share(teachers, teachers) == pytest.approx(1)
    assert own_teacher_share(teachers[::-1], teachers) == pytest.approx(-1)
    assert own_teacher_share(0.3 + teachers / 4, teachers) == pytest.approx(0.25)


def copies(share, seeds=6, images=20_000):
    """(students, teachers): `share` of each teacher's own part, beside what all know and noise of the students'."""
    rng = np.random.default_rng(3)
    common = 0.7 + rng.normal(0, 0.03, images)
    own, noise = rng.normal(0, 0.02, (2, seeds, images))
    return common + share * own + noise + np.linspace(-0.1, 0.1, seeds)[:, None], common + own


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_own_teacher_share_is_the_share_that_was_copied(share):
    students, teachers = copies(share)
    assert own_teacher_share(students, teachers) == pytest.approx(share, abs=0.02)
    np.testing.assert_allclose(own_teacher_shares(students, teachers), share, atol=0.05)


def test_the_own_teacher_share_is_nan_where_the_teachers_hardly_differ():
    students, teachers = copies(0.3, images=100)
    assert np.isnan(own_teacher_share(students, teachers[[0] * 6]))


@pytest.mark.parametrize(
    ("students", "teachers", "message"),
    [
        ([[0.5, 0.6]], [[0.5, 0.6]], "students must be .seeds, n. with at least two seeds, got shape .1, 2."),
        ([0.5, 0.6], [0.5, 0.6], "students must be .seeds, n."),
        (np.full((2, 3), 0.5), np.full((3, 3), 0.5), "students and teachers must be of one shape"),
        (np.full((2, 3), 0.5), np.full((2, 3), np.nan), "teachers must be in"),
        (np.full((2, 3), 1.5), np.full((2, 3), 0.5), "students must be in"),
        (np.empty((2, 0)), np.empty((2, 0)), "students must be a non-empty"),
    ],
)
def test_the_own_teacher_share_refuses_wrong_confidences(students, teachers, message):
    with pytest.raises(ValueError, match=message):
        own_teacher_share(students, teachers)


def test_ranks_with_the_own_teacher_are_spearmans_less_those_with_the_others():
    students, teachers = copies(0.3, images=500)
    rho = np.array([[spearmanr(student, teacher)[0] for teacher in teachers] for student in students])
    by_hand = [rho[i, i] - np.delete(rho[i], i).mean() for i in range(len(rho))]
    np.testing.assert_allclose(own_teacher_ranks(students, teachers), by_hand)
    np.testing.assert_allclose(own_teacher_ranks(7 * students**3, teachers), by_hand)  # any increasing scale
    assert np.isnan(own_teacher_ranks(np.ones_like(teachers), teachers)).all()


@pytest.mark.parametrize(
    ("students", "message"),
    [
        (np.ones((1, 3)), "with at least two seeds, got .1, 3. and .2, 3."),
        (np.ones(3), r"must be .seeds, n. alike"),
        ([[0, 1, np.nan], [0, 1, 2]], "must be finite"),
    ],
)
def test_ranks_with_the_own_teacher_refuse_wrong_rows(students, message):
    with pytest.raises(ValueError, match=message):
        own_teacher_ranks(students, [[1, 2, 3], [2, 1, 3]])


# Beyond common difficulty


def test_log_odds_by_hand_and_by_scipy():
    c = np.array([[0.0, 0.2, 0.5], [0.8, 0.999, 1.0]])
    cap = np.log(0.99 / 0.01)
    expected = [[-cap, np.log(0.25), 0], [np.log(4), cap, cap]]
    np.testing.assert_allclose(log_odds(c, 0.99), expected, atol=1e-12)
    np.testing.assert_allclose(log_odds(c[:, 1], 0.9999), scipy.special.logit(c[:, 1]))


@pytest.mark.parametrize("surest", [0.5, 1, 1.5, np.nan])
def test_log_odds_need_a_cap_between_a_half_and_1(surest):
    with pytest.raises(ValueError, match=r"surest must be above 0\.5 and below 1"):
        log_odds([0.5], surest)


def test_log_odds_refuse_what_is_no_confidence():
    with pytest.raises(ValueError, match="confidence must be in"):
        log_odds([1.1], 0.99)


@pytest.fixture
def known_difficulty():
    """(teacher, panel, student): the student has 0.4 of the teacher's own part, and noise as large as that part."""
    rng = np.random.default_rng(5)
    common = rng.uniform(0.6, 0.9, 20_000)
    own, noise = rng.normal(0, 0.02, (2, 20_000))
    panel = np.stack([common + rng.normal(0, 0.01, (6, 20_000)), 0.9 * common + rng.normal(0, 0.01, (6, 20_000))])
    return common + own, panel, common + 0.4 * own + noise


def test_a_student_knows_beyond_difficulty_what_it_copied(known_difficulty):
    """Of the teacher's own part it explains 0.4² / (0.4² + 1)."""
    teacher, panel, student = known_difficulty
    left = left_by_difficulty(teacher, panel).mean()
    assert left == pytest.approx(0.02**2, rel=0.05)
    share = 1 - left_by_difficulty(teacher, panel, student).mean() / left
    assert share == pytest.approx(0.16 / 1.16, abs=0.015)
    assert left_by_difficulty(teacher, panel, teacher).max() < 1e-20


def test_a_student_that_never_met_the_teacher_knows_nothing_beyond_difficulty(known_difficulty):
    teacher, panel, _ = known_difficulty
    stranger = panel[0, 0] + np.random.default_rng(6).normal(0, 0.02, len(teacher))
    left, less = left_by_difficulty(teacher, panel).mean(), left_by_difficulty(teacher, panel, stranger).mean()
    assert abs(1 - less / left) < 0.002


def test_what_difficulty_leaves_agrees_with_scikit_learn(known_difficulty):
    teacher, panel, student = (array[..., :300] for array in known_difficulty)
    logits = scipy.special.logit(panel)
    x = np.column_stack([panel[0].mean(0), panel[1].mean(0), logits[0].mean(0), logits[1].mean(0), student])
    expected = np.empty(300)
    for out in folds_of(300):
        expected[out] = (teacher[out] - LinearRegression().fit(x[~out], teacher[~out]).predict(x[out])) ** 2
    np.testing.assert_allclose(left_by_difficulty(teacher, panel, student), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("teacher", "panel", "student", "message"),
    [
        ([0.5] * 5, np.full((2, 5), 0.5), None, "panel must be .kinds, networks, 5. like teacher, got shape .2, 5."),
        ([0.5] * 5, np.full((1, 2, 4), 0.5), None, "panel must be .kinds, networks, 5."),
        ([0.5] * 5, np.empty((1, 0, 5)), None, "panel must be .kinds, networks, 5."),
        ([0.5] * 5, np.full((1, 2, 5), 2.0), None, "panel must be in"),
        ([2.0] * 5, np.full((1, 2, 5), 0.5), None, "teacher must be in"),
        ([0.5] * 5, np.full((1, 2, 5), 0.5), [0.5], "teacher and student must be of one shape"),
        ([0.5] * 4, np.full((1, 2, 4), 0.5), None, "folds must be at most"),
    ],
)
def test_beyond_difficulty_refuses_wrong_arrays(teacher, panel, student, message):
    with pytest.raises(ValueError, match=message):
        left_by_difficulty(teacher, panel, student)


# Where, and the teacher's errors


def test_strata_end_with_their_upper_edge():
    np.testing.assert_array_equal(strata([0.0, 0.9, 0.9001, 0.99, 0.9901, 1.0]), [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="teacher_confidence must be in"):
        strata([1.1])


def test_images_that_carry_by_hand():
    """The squares are 0.01, 0.16, 0 and 0.09; nine tenths of their sum is 0.234."""
    assert images_that_carry(TEACHER, STUDENT) == 2
    found = [images_that_carry(TEACHER, STUDENT, share) for share in (0, 0.6, 0.7, 0.97, 1)]
    assert found == [0, 1, 2, 3, 3]
    assert images_that_carry(TEACHER, TEACHER) == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_images_that_carry_need_a_share(share):
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\]"):
        images_that_carry(TEACHER, STUDENT, share)


def test_auroc_by_hand_counts_ties_half():
    """First: of six pairs of a right and a wrong image, the right one is surer in five, and one is a tie."""
    assert auroc([0.9, 0.6, 0.5, 0.6, 0.7], [True, True, False, False, True]) == pytest.approx(5.5 / 6)
    assert auroc([0.9, 0.6, 0.5, 0.6, 0.7], [False, True, False, False, True]) == pytest.approx(3.5 / 6)


@pytest.mark.parametrize("digits", [1, 3, 16])
def test_auroc_agrees_with_scikit_learn(digits):
    rng = np.random.default_rng(7)
    c = rng.random(300).round(digits)
    right = rng.random(300) < c
    assert auroc(c, right) == pytest.approx(roc_auc_score(right, c), rel=1e-12)


def test_auroc_is_nan_where_all_images_are_alike_and_refuses_wrong_arrays():
    assert np.isnan(auroc([0.5, 0.6], [True, True]))
    assert np.isnan(auroc([0.5, 0.6], [False, False]))
    with pytest.raises(ValueError, match="confidence must be in"):
        auroc([1.5, 0.6], [True, False])
    with pytest.raises(ValueError, match="correct must be"):
        auroc([0.5, 0.6], [True])
