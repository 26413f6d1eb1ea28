"""How much of the teacher's confidence a student has taken over, and what that is. NumPy and SciPy only."""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from .calibration import isotonic
from .plumbing.checks import (
    as_array,
    check_confidence,
    check_correct,
    check_probabilities,
    check_range,
    check_seed,
    whole_number,
)

SMALLEST_VARIANCE = 1e-8  # of the teacher's confidence; below it skill and the own-teacher share mean nothing
STRATA = (0.9, 0.99)  # where the strata of the teacher's confidence end: (0, 0.9], (0.9, 0.99], (0.99, 1]
SUREST = 0.9999  # log-odds of the difficulty panel are those of confidences up to this


def _pair(teacher, student, check, what=""):
    teacher = check(f"teacher{what}", teacher).astype(float)
    student = check(f"student{what}", student).astype(float)
    if teacher.shape != student.shape:
        raise ValueError(
            f"teacher{what} and student{what} must be of one shape, got {teacher.shape} and {student.shape}"
        )
    return teacher, student


def mupe(teacher_confidence, student_confidence):
    """Mean uncertainty prediction error: mean (c_T − c_S)² (Amara & Clark 2020).

    Both (n,) in [0, 1], of the same images in the same order. Raises ValueError otherwise.
    """
    teacher, student = _pair(teacher_confidence, student_confidence, check_confidence, "_confidence")
    return float(((teacher - student) ** 2).mean())


def constant_predictor_mupe(teacher_confidence):
    """Var(c_T): the MUPE of predicting the teacher's mean confidence for every image. teacher_confidence (n,)."""
    return float(check_confidence("teacher_confidence", teacher_confidence).astype(float).var())


def skill(teacher_confidence, student_confidence):
    """1 − MUPE / Var(c_T): 1 is a perfect copy, 0 as good as a constant, below 0 worse.

    NaN where the teacher's confidence varies too little to predict (variance below 1e-8).
    """
    error = mupe(teacher_confidence, student_confidence)
    variance = constant_predictor_mupe(teacher_confidence)
    return 1 - error / variance if variance >= SMALLEST_VARIANCE else float("nan")


class MUPEParts(NamedTuple):
    """MUPE = mean_gap_squared + sd_gap_squared + decorrelation (Murphy 1988's decomposition of a squared error)."""

    mean_gap_squared: float  # (mean c_T − mean c_S)²
    sd_gap_squared: float  # (sd c_T − sd c_S)²
    decorrelation: float  # 2 · sd c_T · sd c_S · (1 − ρ)


def mupe_parts(teacher_confidence, student_confidence):
    """MUPE taken apart into MUPEParts: how much is level, how much is spread, how much is order."""
    teacher, student = _pair(teacher_confidence, student_confidence, check_confidence, "_confidence")
    covariance = ((teacher - teacher.mean()) * (student - student.mean())).mean()
    return MUPEParts(
        float((teacher.mean() - student.mean()) ** 2),
        float((teacher.std() - student.std()) ** 2),
        float(2 * (teacher.std() * student.std() - covariance)),
    )


def top1_agreement(teacher_probabilities, student_probabilities):
    """Fraction of images for which both (n, classes) name the same class (Stanton et al. 2021)."""
    teacher, student = _pair(teacher_probabilities, student_probabilities, check_probabilities, "_probabilities")
    return float((teacher.argmax(1) == student.argmax(1)).mean())


def kl_of_images(teacher_probabilities, student_probabilities):
    """KL(teacher ‖ student) of each image (n,), in nats. Both (n, classes); raises ValueError otherwise.

    Infinite where the student gives probability 0 to a class that the teacher allows.
    """
    teacher, student = _pair(teacher_probabilities, student_probabilities, check_probabilities, "_probabilities")
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(teacher > 0, teacher * (np.log(teacher) - np.log(student)), 0.0)
    return terms.sum(1)


def kl_divergence(teacher_probabilities, student_probabilities):
    """Mean KL(teacher ‖ student) in nats (Stanton et al. 2021). Arguments and errors as for `kl_of_images`."""
    return float(kl_of_images(teacher_probabilities, student_probabilities).mean())


def _folds(n, folds, seed):
    """[(images to fit, images held out)]: a permutation of n images in `folds` parts, each held out once."""
    if whole_number("folds", folds, minimum=2) > n:
        raise ValueError(f"folds must be at most the number of images, {n}, got {folds}")
    parts = np.array_split(np.random.default_rng(check_seed(seed)).permutation(n), folds)
    return [(np.delete(np.arange(n), part), part) for part in parts]


def recalibrated(student, teacher, folds=5, seed=1):
    """The student's confidence (n,), mapped to the teacher's by the best increasing function.

    student, teacher: confidences (n,) in [0, 1]. Isotonic regression (Barlow et al. 1972), cross-fitted: each fold is
    mapped by the function fitted to the other folds. `seed` draws the folds. Linear between fitted points, flat beyond.
    Raises ValueError for other arrays, and for fewer than two folds or more than images.
    """
    teacher, student = _pair(teacher, student, check_confidence)
    mapped = np.empty_like(student)
    for fitted, held_out in _folds(len(student), folds, seed):
        mapped[held_out] = np.interp(student[held_out], *isotonic(student[fitted], teacher[fitted]))
    return mapped


def _of_seeds(name, confidences):
    """Confidences (seeds, n) of at least two seeds as floats; ValueError naming them otherwise."""
    confidences = as_array(name, confidences)
    if confidences.ndim != 2 or len(confidences) < 2:
        raise ValueError(f"{name} must be (seeds, n) with at least two seeds, got shape {confidences.shape}")
    check_confidence(name, confidences.ravel())
    return confidences.astype(float)


def _own_part(rows, teachers):
    """(seeds,): cov(row r, T_r) − mean over j ≠ r of cov(row r, T_j), over images. Both (seeds, n)."""
    rows, teachers = (values - values.mean(1, keepdims=True) for values in (rows, teachers))
    covariances = rows @ teachers.T / rows.shape[1]  # (seeds, seeds)
    own = np.diag(covariances)
    return own - (covariances.sum(1) - own) / (len(rows) - 1)


def own_teacher_shares(students, teachers):
    """The part (seeds,) of each seed in the own-teacher share κ, which is their mean.

    students, teachers: confidences (seeds, n); student r was distilled from teacher r. Raises ValueError otherwise.
    NaN where the teachers hardly differ (below 1e-8).
    """
    students, teachers = _of_seeds("students", students), _of_seeds("teachers", teachers)
    if students.shape != teachers.shape:
        raise ValueError(f"students and teachers must be of one shape, got {students.shape} and {teachers.shape}")
    whole = _own_part(teachers, teachers).mean()
    return _own_part(students, teachers) / whole if whole >= SMALLEST_VARIANCE else np.full(len(students), np.nan)


def own_teacher_share(students, teachers):
    """κ: which share of what is peculiar to its teacher a student has. 1 for a copy, 0 if they never met.

    [mean_r cov(S_r, T_r) − mean_{r≠j} cov(S_r, T_j)] / [mean_r var(T_r) − mean_{r≠j} cov(T_r, T_j)], over images.
    Arguments and errors as for `own_teacher_shares`.
    """
    return float(own_teacher_shares(students, teachers).mean())


def own_teacher_ranks(students, teachers):
    """By how much Spearman's ρ with the own teacher lies above the mean of those with the others: (seeds,).

    students, teachers: any measure of uncertainty, such as mutual information, (seeds, n); student r was distilled from
    teacher r. Raises ValueError for other shapes and numbers. NaN where a network says the same of every image.
    """
    students, teachers = as_array("students", students), as_array("teachers", teachers)
    if students.ndim != 2 or len(students) < 2 or students.shape != teachers.shape:
        shapes = f"{students.shape} and {teachers.shape}"
        raise ValueError(f"students and teachers must be (seeds, n) alike with at least two seeds, got {shapes}")
    if not (np.isfinite(students).all() and np.isfinite(teachers).all()):
        raise ValueError("students and teachers must be finite, got NaN or infinity")
    ranks = (rankdata(rows, axis=1) for rows in (students, teachers))
    with np.errstate(invalid="ignore"):
        return _own_part(*((own - own.mean(1, keepdims=True)) / own.std(1, keepdims=True) for own in ranks))


def log_odds(confidence, surest):
    """log(c / (1 − c)) of confidences c (any shape), each first moved into [1 − surest, surest].

    Without such a cap the few largest log-odds decide a mean square. Raises ValueError unless 0.5 < surest < 1.
    """
    if not 0.5 < surest < 1:
        raise ValueError(f"surest must be above 0.5 and below 1, got {surest!r}")
    capped = check_range("confidence", confidence).astype(float).clip(1 - surest, surest)
    return np.log(capped) - np.log1p(-capped)


def left_by_difficulty(teacher, panel, student=None, folds=5, seed=1):
    """Squared errors (n,) of the teacher's confidence, predicted linearly from how difficult an image is.

    teacher (n,). panel: confidences (kinds, networks, n) of networks that never met this teacher. Predictors are the
    mean confidence and the mean log-odds of each kind and, if given, the student's confidence (n,). Cross-fitted, with
    folds as for `recalibrated`. The student knows this share beyond common difficulty: 1 − mean with it / mean without.
    Kinds stay apart, since what is difficult depends on the architecture. Raises ValueError for other arrays.
    """
    teacher, panel = check_confidence("teacher", teacher).astype(float), as_array("panel", panel)
    if panel.ndim != 3 or 0 in panel.shape or panel.shape[-1] != len(teacher):
        raise ValueError(f"panel must be (kinds, networks, {len(teacher)}) like teacher, got shape {panel.shape}")
    check_confidence("panel", panel.ravel())
    predictors = [np.ones(len(teacher)), *panel.mean(1), *log_odds(panel, SUREST).mean(1)]
    if student is not None:
        predictors.append(_pair(teacher, student, check_confidence)[1])
    design, errors = np.stack(predictors, axis=1), np.empty(len(teacher))
    for fitted, held_out in _folds(len(teacher), folds, seed):
        weights = np.linalg.lstsq(design[fitted], teacher[fitted])[0]
        errors[held_out] = teacher[held_out] - design[held_out] @ weights
    return errors**2


def strata(teacher_confidence):
    """The stratum (n,) of each confidence (n,): 0 in (0, 0.9], 1 in (0.9, 0.99], 2 in (0.99, 1]."""
    return np.digitize(check_confidence("teacher_confidence", teacher_confidence), STRATA, right=True)


def images_that_carry(teacher_confidence, student_confidence, share=0.9):
    """The fewest images whose (c_T − c_S)² sum to at least `share`, in [0, 1], of that of all images.

    Confidences and errors as for `mupe`.
    """
    teacher, student = _pair(teacher_confidence, student_confidence, check_confidence, "_confidence")
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share!r}")
    sums = np.cumsum(np.append(0, np.sort((teacher - student) ** 2)[::-1]))
    return int((sums < share * sums[-1]).sum())


def auroc(confidence, correct):
    """How well low confidence finds wrong images: the probability that a right one is surer than a wrong one.

    The area under the ROC curve by ranks, ties counted half (Hanley & McNeil 1982). confidence (n,) in [0, 1]; correct
    (n,) bool, of the same or of another network. NaN if all are right or all are wrong. Raises ValueError otherwise.
    """
    confidence = check_confidence("confidence", confidence)
    right = check_correct(correct, len(confidence)).astype(bool)
    count = int(right.sum())
    if count in (0, len(right)):
        return float("nan")
    return float((rankdata(confidence)[right].mean() - (count + 1) / 2) / (len(right) - count))
