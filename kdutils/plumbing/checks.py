"""Arguments: each check returns its argument as the caller needs it, or raises a ValueError that names it."""

import math
import numbers

import numpy as np


def whole_number(name, value, minimum):
    """`value` as an int; ValueError naming `name` unless it is a whole number of at least `minimum`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def check_seed(value):
    """`value` as an int; ValueError unless it is a whole number from 0 to 2**32 - 1."""
    if whole_number("seed", value, minimum=0) >= 2**32:
        raise ValueError(f"seed must be below 2**32, got {value}")
    return int(value)


def number(name, value, wanted, fits):
    """`value` as a float or an int; ValueError naming `name` and what is wanted unless it is a number that `fits`."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not fits(value):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def check_temperature(value):
    """`value` as a number; ValueError unless it is finite and above 0."""
    return number("temperature", value, "a finite number above 0", lambda value: 0 < value < math.inf)


def check_soft_weight(value):
    """`value` as a number; ValueError unless it is in [0, 1]."""
    return number("soft_weight", value, "a number in [0, 1]", lambda value: 0 <= value <= 1)


def check_confidence(name, confidence):
    """`confidence` as a non-empty one-dimensional array of floats in [0, 1]; ValueError naming `name` otherwise."""
    confidence = np.asarray(confidence)
    if confidence.ndim != 1 or len(confidence) == 0:
        raise ValueError(f"{name} must be a non-empty (n,) array, got shape {confidence.shape}")
    if confidence.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers in [0, 1], got {confidence.dtype}")
    bad = ~((confidence >= 0) & (confidence <= 1))
    if bad.any():
        raise ValueError(
            f"{name} must be in [0, 1], got {confidence[bad][0]} at index {np.flatnonzero(bad)[0]} "
            f"({bad.sum()} of {len(confidence)} are outside)"
        )
    return confidence if confidence.dtype.kind == "f" else confidence.astype(float)


def check_correct(correct, n):
    """`correct` as floats 0 or 1 (n,); ValueError otherwise."""
    correct = np.asarray(correct)
    if correct.shape != (n,):
        raise ValueError(f"correct must be ({n},) like confidence, got {correct.shape}")
    if not np.isin(correct, (0, 1)).all():
        raise ValueError("correct must be True or False (or 1 and 0) for each image")
    return correct.astype(float)


def check_probabilities(name, probabilities):
    """`probabilities` as a float64 array (n, classes), rows summing to 1 within 1e-3; ValueError otherwise."""
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(f"{name} must be a non-empty (n, classes) array, got shape {probabilities.shape}")
    check_confidence(name, probabilities.ravel())
    sums = probabilities.sum(1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"each row of {name} must sum to 1, row {worst} sums to {sums[worst]:.4f}")
    return probabilities


def check_labels(labels, probabilities):
    """`labels` as an array of whole numbers (n,), one a row of `probabilities` (n, classes); ValueError otherwise."""
    labels = np.asarray(labels)
    n, classes = probabilities.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must be ({n},) whole numbers from 0 to {classes - 1}, got {labels.shape} {labels.dtype}"
        )
    return labels
