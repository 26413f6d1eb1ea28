"""How much of the teacher's confidence a student has taken over. NumPy only."""

from typing import NamedTuple

import numpy as np

from .plumbing.checks import check_confidence, check_probabilities

SMALLEST_VARIANCE = 1e-8  # of the teacher's confidence; below it skill means nothing


def _pair(teacher, student, check, what):
    teacher = check(f"teacher_{what}", teacher).astype(float)
    student = check(f"student_{what}", student).astype(float)
    if teacher.shape != student.shape:
        raise ValueError(
            f"teacher_{what} and student_{what} must be of one shape, got {teacher.shape} and {student.shape}"
        )
    return teacher, student


def mupe(teacher_confidence, student_confidence):
    """Mean uncertainty prediction error: mean (c_T − c_S)² (Amara & Clark 2020).

    Both (n,) in [0, 1], of the same images in the same order. Raises ValueError otherwise.
    """
    teacher, student = _pair(teacher_confidence, student_confidence, check_confidence, "confidence")
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
    teacher, student = _pair(teacher_confidence, student_confidence, check_confidence, "confidence")
    covariance = ((teacher - teacher.mean()) * (student - student.mean())).mean()
    return MUPEParts(
        float((teacher.mean() - student.mean()) ** 2),
        float((teacher.std() - student.std()) ** 2),
        float(2 * (teacher.std() * student.std() - covariance)),
    )


def top1_agreement(teacher_probabilities, student_probabilities):
    """Fraction of images for which both (n, classes) name the same class (Stanton et al. 2021)."""
    teacher, student = _pair(teacher_probabilities, student_probabilities, check_probabilities, "probabilities")
    return float((teacher.argmax(1) == student.argmax(1)).mean())


def kl_divergence(teacher_probabilities, student_probabilities):
    """Mean KL(teacher ‖ student) in nats (Stanton et al. 2021). Both (n, classes).

    Infinite where the student gives probability 0 to a class that the teacher allows.
    """
    teacher, student = _pair(teacher_probabilities, student_probabilities, check_probabilities, "probabilities")
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(teacher > 0, teacher * (np.log(teacher) - np.log(student)), 0.0)
    return float(terms.sum(1).mean())
