"""Intervals over seeds and test images, chance, and permutation tests.

All intervals are conditional on the one split into training and test images.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy import stats

from . import calibration


class Estimate(NamedTuple):
    """A mean over seeds, its standard error, and the degrees of freedom of its t distribution."""

    mean: float
    error: float
    degrees: float

    def __neg__(self):
        return Estimate(-self.mean, self.error, self.degrees)

    def interval(self, level=0.95):
        """(low, high) with coverage `level`; infinite with a single seed."""
        if self.degrees < 1:
            return -np.inf, np.inf
        half = stats.t.ppf(0.5 + level / 2, self.degrees) * self.error
        return self.mean - half, self.mean + half

    def bounds(self, level=0.95):
        """The interval as a list, as JSON holds it; None with a single seed."""
        return list(self.interval(level)) if self.degrees >= 1 else None

    def record(self, level=0.95):
        """{"mean", "interval"}, as JSON holds it."""
        return {"mean": self.mean, "interval": self.bounds(level)}

    def text(self, digits=4, level=0.95):
        """It in words, as `interval_text`."""
        return interval_text(self.mean, self.bounds(level), digits)

    def p_above(self, bound):
        """One-sided p-value against "the mean is at most `bound`"; 1 with a single seed."""
        if self.degrees < 1:
            return 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.nan_to_num(np.divide(self.mean - bound, self.error), nan=0.0, posinf=np.inf, neginf=-np.inf)
        return float(stats.t.sf(t, self.degrees))


def interval_text(mean, bounds, digits=4):
    """ "mean [low, high]"; "mean" if there are no bounds (None). What rounds to 0 has no sign."""
    found = [f"{value:z.{digits}f}" for value in (mean, *(bounds or ()))]
    return found[0] + (f" [{found[1]}, {found[2]}]" if bounds else "")


def image_weights(n, resamples=2000, seed=0):
    """Weights (resamples, n), float32, rows summing to 1: the bootstrap's test sets, the same for all networks."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return (drawn / n).astype(np.float32)


def weighted_means(values, weights):
    """Means (resamples, seeds) of values (seeds, n) over each resampled test set."""
    return weights @ np.asarray(values, np.float32).T


def weighted_eces(confidence, correct, weights, n_bins=10, equal_mass=False):
    """ECEs (resamples, seeds) of confidence and correct (seeds, n) on each resampled test set, in the same bins."""
    columns = []
    for c, right in zip(confidence, correct, strict=True):
        index = calibration.bin_index(c, n_bins, equal_mass)
        gaps = np.zeros((len(c), n_bins), np.float32)
        gaps[np.arange(len(c)), index] = right - c
        columns.append(np.abs(weights @ gaps).sum(1))
    return np.stack(columns, axis=1)


def two_level(values, resampled):
    """Estimate of the mean over seeds, for other seeds and other test images at once.

    values (seeds,): the measure of each seed. resampled (resamples, seeds): the same on resampled test sets, a row on
    one set of images. The variance has three parts: the spread over seeds, s² / R; plus the variance of the mean over
    the resampled test sets; minus what both count, the part of the images' variance that differs from seed to seed.
    (Drawing seeds and images together counts that part three times; Owen 2007, Theorem 1.) Degrees of freedom after
    Satterthwaite (1946): R − 1 where the seeds dominate, more where the images do.
    """
    values, resampled = np.asarray(values, float), np.asarray(resampled, float)
    count = len(values)
    if count == 1:
        return Estimate(float(values[0]), float("nan"), 0)
    seeds, images = values.var(ddof=1) / count, resampled.mean(1).var(ddof=1)
    twice = (resampled.var(0, ddof=1).mean() - images) / (count - 1)
    variance = seeds + max(images - twice, 0.0)
    degrees = (count - 1) * (variance / seeds) ** 2 if seeds > 0 else np.inf
    return Estimate(float(values.mean()), float(np.sqrt(variance)), float(degrees))


def seeds_only(values):
    """Estimate from the spread over seeds alone, where resampling images is not regular, as for |ECE difference|."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return Estimate(float(values.mean()), float(error), len(values) - 1)


def jackknife(statistic, *rows, groups=50, seed=1):
    """Estimate of a number that is no mean over seeds, for other seeds and other test images at once.

    statistic(*rows): the number. rows: arrays (seeds, n). It is computed again without each seed, and without each of
    `groups` groups of images, drawn by `seed`. The two jackknife variances are added, which counts the images' part
    that differs from seed to seed twice: cautious. Degrees of freedom: R − 1. Needs three seeds.
    """
    count, n = np.shape(rows[0])
    whole, variance = float(statistic(*rows)), 0.0
    parts = np.array_split(np.random.default_rng(seed).permutation(n), groups)
    for axis, left_out in ((0, range(count)), (1, parts)):
        values = np.array([statistic(*(np.delete(own, part, axis) for own in rows)) for part in left_out])
        variance += (len(values) - 1) * values.var()
    return Estimate(whole, float(np.sqrt(variance)), count - 1)


def calibration_null(confidence, draws=1000, n_bins=10, seed=0):
    """(eces (draws,), accuracies (draws, n_bins)) of a perfectly calibrated network with these confidences (n,).

    Whether an image is classified correctly is redrawn with its confidence as the probability (Bröcker & Smith 2007).
    Accuracies of empty bins are NaN.
    """
    confidence = calibration.check_confidence("confidence", confidence)
    index, rng = calibration.bin_index(confidence, n_bins), np.random.default_rng(seed)
    count = np.bincount(index, minlength=n_bins)
    sums = np.bincount(index, confidence, minlength=n_bins)
    order = np.argsort(index, kind="stable")
    filled = np.flatnonzero(count)
    starts = np.searchsorted(index[order], filled)
    right = np.zeros((draws, n_bins))
    for row in range(draws):
        right[row, filled] = np.add.reduceat(rng.random(len(order)) < confidence[order], starts, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.abs(right - sums).sum(1) / len(confidence), np.where(count > 0, right / count, np.nan)


def isotonic_null(confidence, draws=500, seed=0):
    """Isotonic accuracies (draws, k) of a perfectly calibrated network with these confidences (n,).

    Redrawn as in `calibration_null`, and fitted by `calibration.isotonic`, at whose k points they stand. Quantiles over
    the draws are the consistency region of Dimitriadis, Gneiting & Jordan (2021).
    """
    confidence = calibration.check_confidence("confidence", confidence)
    rng = np.random.default_rng(seed)
    redrawn = (rng.random(len(confidence)) < confidence for _ in range(draws))
    return np.stack([calibration.isotonic(confidence, correct)[1] for correct in redrawn])


def specificity(student_confidence, teacher_confidence):
    """Log-MUPE (seeds, seeds) of student i against teacher j. Both (seeds, n), or (seeds, n, classes)."""
    pairs = np.array([[np.mean((s - t) ** 2) for t in teacher_confidence] for s in student_confidence])
    return np.log(pairs)


def specificity_test(matrix, resamples=10_000, seed=0):
    """(statistic, p): do students resemble their own teachers? Mean off the diagonal − mean on it, teachers permuted.

    All permutations up to 7 seeds, so that p is at least 1 / R!; else `resamples` random ones and the given one.
    """
    count = len(matrix)
    if count < 2:
        return float("nan"), 1.0
    if count <= 7:
        orders = np.array(list(permutations(range(count))))
    else:
        orders = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (resamples, 1)), axis=1)
        orders = np.vstack([np.arange(count), orders])
    own = matrix[np.arange(count), orders].mean(1)
    apart = (matrix.sum() / count - own) / (count - 1) - own
    return float(apart[0]), float((apart >= apart[0] - 1e-12).mean())


def rank_correlations(teacher, students):
    """Spearman's ρ of each row of `students` (seeds, n) with the same row of `teacher` (seeds, n)."""
    return np.array([stats.spearmanr(t, s).statistic for t, s in zip(teacher, students, strict=True)])


def holm(p_values):
    """Holm-adjusted p-values, in the given order."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1]
