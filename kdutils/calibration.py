"""Calibration: does a confidence of 90 % mean right nine times in ten? NumPy only."""

from dataclasses import dataclass

import numpy as np

from .profiles import whole_number


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """A calibration curve: arrays (n_bins,). Bin b holds the confidences in (lower[b], upper[b]], the first 0 too.

    mean_confidence and accuracy are NaN where count is 0.
    """

    lower: np.ndarray
    upper: np.ndarray
    count: np.ndarray
    mean_confidence: np.ndarray
    accuracy: np.ndarray


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


def _check_correct(correct, n):
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


def _check_labels(labels, probabilities):
    labels = np.asarray(labels)
    n, classes = probabilities.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must be ({n},) whole numbers from 0 to {classes - 1}, got {labels.shape} {labels.dtype}"
        )
    return labels


def bin_index(confidence, n_bins, equal_mass=False):
    """The number (n,) of each confidence's bin, from 0: equal bins (lower, upper], or bins of equally many images."""
    if equal_mass:
        order, index = np.argsort(confidence, kind="stable"), np.empty(len(confidence), int)
        for b, inside in enumerate(np.array_split(order, n_bins)):
            index[inside] = b
        return index
    edges = (np.arange(n_bins + 1) / n_bins).astype(confidence.dtype)
    return (np.searchsorted(edges, confidence, side="left") - 1).clip(min=0)  # 0 belongs to the first bin


def _sums(confidence, correct, n_bins, equal_mass=False):
    """Per bin (n_bins,), the count, the sum of confidences and the number correct.

    Edges are compared in the confidence's own precision: a 32-bit 0.3 is 0.3, in the bin that ends there.
    """
    n_bins = whole_number("n_bins", n_bins, minimum=1)
    confidence = check_confidence("confidence", confidence)
    correct = _check_correct(correct, len(confidence))
    index = bin_index(confidence, n_bins, equal_mass)
    return [np.bincount(index, w, minlength=n_bins) for w in (None, confidence, correct)]


def reliability_bins(confidence, correct, n_bins=10):
    """The calibration curve as ReliabilityBins: accuracy against mean confidence in `n_bins` equal bins.

    confidence (n,) in [0, 1]; correct (n,) bool. ValueError if empty, of unequal length, NaN or out of range.
    Bins are (lower, upper] as in Guo et al. (2017); the paper's Figures 1-3 have 10.
    """
    count, confident, right = _sums(confidence, correct, n_bins)
    edges = np.arange(n_bins + 1) / n_bins
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin: NaN
        return ReliabilityBins(edges[:-1], edges[1:], count, confident / count, right / count)


def expected_calibration_error(confidence, correct, n_bins=10, *, equal_mass=False):
    """ECE = Σ_b (n_b / n) · |accuracy_b − confidence_b|, in [0, 1] (Amara & Clark 2020; Guo et al. 2017, eq. 3).

    Arguments and errors as for `reliability_bins`; equal_mass: bins of equally many images instead of equal width.
    """
    count, confident, right = _sums(confidence, correct, n_bins, equal_mass)
    return float(np.abs(right - confident).sum() / count.sum())


def debiased_squared_error(confidence, correct, n_bins=15):
    """Σ_b (n_b / n) · [(acc_b − conf_b)² − acc_b (1 − acc_b) / (n_b − 1)] over bins of equally many images.

    The second term takes off what chance adds (Kumar, Liang & Ma 2019); so it may be below 0, and is not clipped.
    Arguments as for `reliability_bins`, with at least two images a bin.
    """
    n_bins = whole_number("n_bins", n_bins, minimum=1)
    confidence = check_confidence("confidence", confidence)
    correct = _check_correct(correct, len(confidence))
    if len(confidence) < 2 * n_bins:
        raise ValueError(f"confidence must hold at least {2 * n_bins} images for {n_bins} bins, got {len(confidence)}")
    count, confident, right = _sums(confidence, correct, n_bins, equal_mass=True)
    accuracy, gap = right / count, (right - confident) / count
    return float((count * (gap**2 - accuracy * (1 - accuracy) / (count - 1))).sum() / len(confidence))


def ks_error(confidence, correct):
    """max_k |Σ_{i ≤ k} (correct_i − c_i)| / n, images in order of confidence: without bins (Gupta et al. 2021).

    Images of equal confidence count together. Arguments as for `reliability_bins`.
    """
    confidence = check_confidence("confidence", confidence)
    correct = _check_correct(correct, len(confidence))
    order = np.argsort(confidence, kind="stable")
    last = np.append(np.diff(confidence[order]) > 0, True)  # of its value
    return float(np.abs(np.cumsum(correct[order] - confidence[order])[last]).max() / len(confidence))


def signed_gap(confidence, correct):
    """Mean confidence − accuracy: above 0 for an overconfident network. Arguments as for `reliability_bins`."""
    count, confident, right = _sums(confidence, correct, 1)
    return float((confident.sum() - right.sum()) / count.sum())


def negative_log_likelihood(probabilities, labels):
    """Mean −log p(label), in nats; infinite if a label got probability 0. probabilities (n, classes), labels (n,)."""
    probabilities = check_probabilities("probabilities", probabilities)
    labels = _check_labels(labels, probabilities)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def brier_score(probabilities, labels):
    """Mean Σ_k (p_k − y_k)², in [0, 2] (Brier 1950). probabilities (n, classes), labels (n,)."""
    probabilities = check_probabilities("probabilities", probabilities)
    labels = _check_labels(labels, probabilities)
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean())
