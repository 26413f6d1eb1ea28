"""Calibration: does a confidence of 90 % mean right nine times in ten? NumPy and SciPy."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from .plumbing.checks import check_confidence, check_correct, check_labels, check_probabilities, whole_number


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


def bin_index(confidence, n_bins, equal_mass=False):
    """The number (n,) of each confidence's bin, from 0: equal bins (lower, upper], or bins of equally many images.

    Of these each would end where its number of images is reached. Equal confidences stay together, in the bin of their
    middle image; so the order of the images has no effect, and a bin may be smaller, or empty.
    """
    if equal_mass:
        _, value, count = np.unique(confidence, return_inverse=True, return_counts=True)
        middle = np.cumsum(count) - (count + 1) // 2  # place of a value's middle image in order of confidence
        sizes = [len(part) for part in np.array_split(confidence, n_bins)]
        return np.repeat(np.arange(n_bins), sizes)[middle][value]
    edges = (np.arange(n_bins + 1) / n_bins).astype(confidence.dtype)
    return (np.searchsorted(edges, confidence, side="left") - 1).clip(min=0)  # 0 belongs to the first bin


def _sums(confidence, correct, n_bins, equal_mass=False):
    """Per bin (n_bins,), the count, the sum of confidences and the number correct.

    Edges are compared in the confidence's own precision: a 32-bit 0.3 is 0.3, in the bin that ends there.
    """
    n_bins = whole_number("n_bins", n_bins, minimum=1)
    confidence = check_confidence("confidence", confidence)
    correct = check_correct(correct, len(confidence))
    index = bin_index(confidence, n_bins, equal_mass)
    return [np.bincount(index, w, minlength=n_bins) for w in (None, confidence, correct)]


def reliability_bins(confidence, correct, n_bins=10):
    """The calibration curve as ReliabilityBins: accuracy against mean confidence in `n_bins` equal bins.

    confidence (n,) in [0, 1]; correct (n,) bool. Bins are (lower, upper] as in Guo et al. (2017); the paper's
    Figures 1-3 have 10. Raises ValueError for empty arrays, unequal lengths, NaN, or numbers out of range.
    """
    count, confident, right = _sums(confidence, correct, n_bins)
    edges = np.arange(n_bins + 1) / n_bins
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin: NaN
        return ReliabilityBins(edges[:-1], edges[1:], count, confident / count, right / count)


def isotonic(confidence, target):
    """(points (k,), levels (k,)): the increasing function of confidence nearest to `target`, without bins.

    points are the distinct confidences, in order; levels minimise Σ_i (target_i − level(c_i))², by pooling adjacent
    violators (PAV; Barlow et al. 1972). With target = correct it is the calibration curve of Dimitriadis, Gneiting &
    Jordan (2021). confidence (n,) in [0, 1]; target (n,) bool or in [0, 1]. Raises ValueError otherwise.
    """
    confidence = check_confidence("confidence", confidence)
    target = check_confidence("target", np.asarray(target, float))
    if target.shape != confidence.shape:
        raise ValueError(f"target must have shape {confidence.shape} like confidence, got {target.shape}")
    points, index, count = np.unique(confidence, return_inverse=True, return_counts=True)
    return points, isotonic_regression(np.bincount(index, target) / count, weights=count).x


def expected_calibration_error(confidence, correct, n_bins=10, *, equal_mass=False):
    """ECE = Σ_b (n_b / n) · |accuracy_b − confidence_b|, in [0, 1] (Amara & Clark 2020; Guo et al. 2017, eq. 3).

    Arguments and errors as for `reliability_bins`; equal_mass: bins of equally many images instead of equal width.
    """
    count, confident, right = _sums(confidence, correct, n_bins, equal_mass)
    return float(np.abs(right - confident).sum() / count.sum())


def debiased_squared_error(confidence, correct, n_bins=15):
    """Σ_b (n_b / n) · [(acc_b − conf_b)² − acc_b (1 − acc_b) / (n_b − 1)] over bins of equally many images.

    The second term takes off what chance adds (Kumar, Liang & Ma 2019); so it may be below 0, and is not clipped.
    Arguments as for `reliability_bins`, with at least two images a bin on average; a bin that equal confidences left
    with one has no second term.
    """
    n_bins = whole_number("n_bins", n_bins, minimum=1)
    confidence = check_confidence("confidence", confidence)
    correct = check_correct(correct, len(confidence))
    if len(confidence) < 2 * n_bins:
        raise ValueError(f"confidence must hold at least {2 * n_bins} images for {n_bins} bins, got {len(confidence)}")
    count, confident, right = _sums(confidence, correct, n_bins, equal_mass=True)
    some = np.maximum(count, 1)
    accuracy, gap = right / some, (right - confident) / some
    chance = accuracy * (1 - accuracy) / np.maximum(count - 1, 1)
    return float((count * (gap**2 - chance)).sum() / len(confidence))


def ks_error(confidence, correct):
    """max_k |Σ_{i ≤ k} (correct_i − c_i)| / n, images in order of confidence: without bins (Gupta et al. 2021).

    Images of equal confidence count together. Arguments as for `reliability_bins`.
    """
    confidence = check_confidence("confidence", confidence)
    correct = check_correct(correct, len(confidence))
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
    labels = check_labels("labels", labels, *probabilities.shape)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def brier_score(probabilities, labels):
    """Mean Σ_k (p_k − y_k)², in [0, 2] (Brier 1950). probabilities (n, classes), labels (n,)."""
    probabilities = check_probabilities("probabilities", probabilities)
    labels = check_labels("labels", labels, *probabilities.shape)
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean())
