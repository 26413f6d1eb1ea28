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


def as_array(name, values):
    """`values`, an array, a list, a column, or a tensor of any precision, as an array; ValueError if it is none."""
    try:
        if hasattr(values, "detach"):  # a tensor, which may need a gradient or be on a GPU
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} must be an array or a list of numbers, got a {type(values).__name__}: {error}"
        ) from None
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must not be masked, got {np.ma.count_masked(values)} masked values")
    return array.astype(float) if array.dtype == np.longdouble else array


def check_confidence(name, confidence):
    """`confidence` as a non-empty one-dimensional array of floats in [0, 1]; ValueError naming `name` otherwise."""
    confidence = as_array(name, confidence)
    if confidence.ndim != 1 or len(confidence) == 0:
        raise ValueError(f"{name} must be a non-empty (n,) array, got shape {confidence.shape}")
    return check_range(name, confidence)


def check_range(name, values):
    """`values` as an array of floats in [0, 1], of any shape; ValueError naming `name` otherwise."""
    values = as_array(name, values)
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers in [0, 1], got {values.dtype}")
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        raise ValueError(
            f"{name} must be in [0, 1], got {values[bad][0]} at index {np.flatnonzero(bad)[0]} "
            f"({bad.sum()} of {values.size} are outside)"
        )
    return values if values.dtype.kind == "f" else values.astype(float)


def check_correct(correct, n):
    """`correct` as floats 0 or 1 (n,); ValueError otherwise."""
    correct = as_array("correct", correct)
    if correct.shape != (n,):
        raise ValueError(f"correct must be ({n},) like confidence, got {correct.shape}")
    if correct.dtype.kind not in "biuf" or not np.isin(correct, (0, 1)).all():
        raise ValueError("correct must be True or False (or 1 and 0) for each image")
    return correct.astype(float)


def check_probabilities(name, probabilities):
    """`probabilities` as a float64 array (n, classes), rows summing to 1 within 1e-3; ValueError otherwise."""
    probabilities = as_array(name, probabilities)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(f"{name} must be a non-empty (n, classes) array, got shape {probabilities.shape}")
    probabilities = check_range(name, probabilities).astype(float)
    sums = probabilities.sum(1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"each row of {name} must sum to 1, row {worst} sums to {sums[worst]:.4f}")
    return probabilities


def check_labels(name, labels, n, classes):
    """`labels` as an array (n,) of whole numbers below `classes`; ValueError naming `name` otherwise."""
    labels = as_array(name, labels)
    wanted = f"{name} must be ({n},) whole numbers from 0 to {classes - 1}"
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        hint = "; of one-hot rows, labels.argmax(1)" if labels.shape == (n, classes) else ""
        raise ValueError(f"{wanted}, got {labels.shape} {labels.dtype}{hint}")
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise ValueError(f"{wanted}, got {outside[0]} ({len(outside)} are outside)")
    return labels
