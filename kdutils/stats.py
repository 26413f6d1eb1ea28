"""From seeds to verdicts: two-level intervals, chance, permutation tests, and the paper's claims C1-C7.

A study is {network: [Predictions, one a seed]}, the same seeds and test images for every network. All intervals
are conditional on the one split into training and test images.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy import stats

from . import calibration

FEWEST_SEEDS = 10  # for a controlled verdict: below, intervals cover too little
DELTAS = {"accuracy": 0.002, "ECE": 0.001, "log-ratio": float(np.log(1.25))}  # fixed before the runs


class Estimate(NamedTuple):
    """A mean over seeds, its standard error, and the degrees of freedom of its t distribution."""

    mean: float
    error: float
    degrees: float

    def interval(self, level=0.95):
        """(low, high) with coverage `level`; infinite with a single seed."""
        if self.degrees < 1:
            return -np.inf, np.inf
        half = stats.t.ppf(0.5 + level / 2, self.degrees) * self.error
        return self.mean - half, self.mean + half

    def p_above(self, bound):
        """One-sided p-value against "the mean is at most `bound`"; 1 with a single seed."""
        if self.degrees < 1:
            return 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.nan_to_num(np.divide(self.mean - bound, self.error), nan=0.0, posinf=np.inf, neginf=-np.inf)
        return float(stats.t.sf(t, self.degrees))


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

    values (seeds,): the measure of each seed. resampled (resamples, seeds): the same on resampled test sets, a row
    on one set of images. Three parts: the spread over seeds, s² / R; the variance of the mean over the resampled
    test sets; less what both count, the part of the images' variance that differs from seed to seed. (Drawing seeds
    and images together counts that part three times; Owen 2007, Theorem 1.) Degrees of freedom after Satterthwaite
    (1946): R − 1 where the seeds dominate, more where the images do.
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


class Condition(NamedTuple):
    """One requirement of a claim: `estimate` lies above `bound`, or, for an equivalence, within ± `bound` of 0.

    p: of a test that takes the place of the t test; then there may be no estimate. level: of the interval.
    met: of a requirement that is met or not, without chance, estimate and p.
    """

    what: str
    estimate: Estimate | None
    bound: float = 0.0
    p: float | None = None
    equivalence: bool = False
    level: float = 0.95
    met: bool | None = None

    def p_value(self):
        if self.met is not None:
            return float(not self.met)
        return self.estimate.p_above(self.bound) if self.p is None else self.p

    def holds(self):
        """Whether the whole interval lies where the claim says (a test without estimate: p < 0.05)."""
        if self.estimate is None:
            return self.p_value() < 0.05
        low, high = self.estimate.interval(self.level)
        return bool(-self.bound < low and high < self.bound if self.equivalence else low > self.bound)

    def refuted(self):
        """Whether it lies wholly on the other side, or (90 % interval) no difference that would matter is shown."""
        if self.estimate is None:
            return False
        low, high = self.estimate.interval()
        if self.equivalence:
            return bool(low > self.bound or high < -self.bound)
        narrow = self.estimate.interval(0.9)
        return bool(high < min(0, self.bound) or (-self.bound < narrow[0] and narrow[1] < self.bound))


def verdict(conditions, adjusted_p, seeds):
    """ "reproduced", "not reproduced" or "inconclusive": the controlled verdict on a claim."""
    if seeds < FEWEST_SEEDS:
        return "inconclusive"
    if all(condition.holds() for condition in conditions) and adjusted_p < 0.05:
        return "reproduced"
    return "not reproduced" if any(condition.refuted() for condition in conditions) else "inconclusive"


LADDER = ("KD-SN1", "KD-SN2", "KD-SN3")  # students of growing size
CLAIMS = {
    "C1a": "the distilled students match the teacher's accuracy",
    "C1b": "SN2 is equally accurate with and without distillation",
    "C2": "the larger distilled students are less accurate here",
    "C3": "MUPE falls as the student grows",
    "C4": "KD-SN3's calibration is the closest to the teacher's",
    "C5": "distillation improves SN2's calibration",
    "C6": "the teacher's uncertainty is transferred",
    "C7": "a student of low capacity takes over none of it",
}


def point_values(values):
    """{claim: (the paper's ordering, the rule's thresholds)}: whether point values alone meet them.

    values: {network: {"accuracy", "ECE", "MUPE"}}, as the paper prints or means over seeds; None where not published.
    """
    accuracy, ece, mupe = ({name: row.get(key) for name, row in values.items()} for key in ("accuracy", "ECE", "MUPE"))
    one, two, three = LADDER
    delta, apart = DELTAS["accuracy"], {name: abs(ece[name] - ece["TN"]) for name in LADDER}
    similar = {name: abs(accuracy[name] - accuracy["TN"]) <= delta for name in LADDER}
    same = abs(accuracy["SN2"] - accuracy[two]) <= delta
    falls = {key: row[one] > row[two] > row[three] for key, row in (("accuracy", accuracy), ("MUPE", mupe))}
    closest = apart[three] < min(apart[one], apart[two])
    least = mupe[one] > max(mupe[two], mupe[three])
    return {
        "C1a": (all(similar.values()), all(similar.values())),
        "C1b": (same, same),
        "C2": (falls["accuracy"], falls["accuracy"] and accuracy[one] - accuracy[three] > delta),
        "C3": (falls["MUPE"], falls["MUPE"] and np.log(mupe[one] / mupe[three]) > DELTAS["log-ratio"]),
        "C4": (closest, closest),
        "C5": (ece["SN2"] > ece[two], ece["SN2"] - ece[two] > DELTAS["ECE"]),
        "C6": (least, None),
        "C7": (least and apart[one] > max(apart[two], apart[three]), None),
    }


class Definition(NamedTuple):
    """What ECE and MUPE are measures of: fields of Predictions, and the bins of ECE."""

    confidence: str = "confidence"
    correct: str = "correct"
    mupe_of: str = "confidence"  # (n,), or (n, classes): then the squares are summed over the classes
    n_bins: int = 10
    equal_mass: bool = False


DETERMINISTIC = Definition("deterministic_confidence", "deterministic_correct", "deterministic_confidence")
DEFINITIONS = {  # where the paper leaves open what is meant
    "as in Table 1": Definition(),
    "dropout off": DETERMINISTIC,
    "ECE in 15 bins": Definition(n_bins=15),
    "ECE in bins of equally many images": Definition(equal_mass=True),
    "confidence: mean of the passes' maxima": Definition(confidence="expected_max", mupe_of="expected_max"),
    "MUPE of all ten probabilities": Definition(mupe_of="mc_mean"),
    "MUPE of the MC standard deviation": Definition(mupe_of="mc_sd"),
}


class Study:
    """The measures of {network: [Predictions, one a seed]}, on the test images and on `weights` resampled sets."""

    def __init__(self, predictions, weights, definition=DEFINITIONS["as in Table 1"]):
        self.predictions, self.weights, self.definition = predictions, weights, definition
        self.seeds = len(predictions["TN"])

    def by(self, definition):
        """The same study by another Definition."""
        return Study(self.predictions, self.weights, definition)

    def rows(self, name, what):
        """(seeds, n), or (seeds, n, classes), of a network's "confidence", "correct" or "mupe_of"."""
        field = getattr(self.definition, what)
        return np.array([getattr(own, field) for own in self.predictions[name]])

    def squares(self, name):
        """(seeds, n): (c_T − c_S)², whose mean is MUPE."""
        squares = (self.rows("TN", "mupe_of") - self.rows(name, "mupe_of")) ** 2
        return squares if squares.ndim == 2 else squares.sum(-1)

    def mean(self, values):
        """Two-level Estimate of a mean over images of values (seeds, n)."""
        return two_level(values.mean(1), weighted_means(values, self.weights))

    def log_ratio(self, one, other):
        """(values (seeds,), resampled): log(MUPE of network `one` / MUPE of `other`)."""
        one, other = self.squares(one), self.squares(other)
        return np.log(one.mean(1) / other.mean(1)), np.log(
            weighted_means(one, self.weights) / weighted_means(other, self.weights)
        )

    def gain(self, architecture):
        """log_ratio of an architecture without to with distillation: G."""
        return self.log_ratio(architecture, f"KD-{architecture}")

    def ece_values(self, name):
        """ECE (seeds,)."""
        pairs = zip(self.rows(name, "confidence"), self.rows(name, "correct"), strict=True)
        n_bins, equal_mass = self.definition.n_bins, self.definition.equal_mass
        return np.array(
            [calibration.expected_calibration_error(*pair, n_bins, equal_mass=equal_mass) for pair in pairs]
        )

    def eces(self, name):
        """(values (seeds,), resampled): ECE."""
        c, right = self.rows(name, "confidence"), self.rows(name, "correct")
        bins = self.definition.n_bins, self.definition.equal_mass
        return self.ece_values(name), weighted_eces(c, right, self.weights, *bins)

    def ks(self, name):
        """Mean over seeds of the KS calibration error."""
        pairs = zip(self.rows(name, "confidence"), self.rows(name, "correct"), strict=True)
        return np.mean([calibration.ks_error(*pair) for pair in pairs])

    def summary(self, name):
        """{"accuracy", "ECE", "MUPE": Estimate}; no MUPE for TN itself."""
        found = {"accuracy": self.mean(self.rows(name, "correct")), "ECE": two_level(*self.eces(name))}
        return found | ({} if name == "TN" else {"MUPE": self.mean(self.squares(name))})

    def specificity(self, name):
        """(matrix, statistic, p) of `specificity` and its test, for a network against the teachers of all seeds."""
        matrix = specificity(self.rows(name, "mupe_of"), self.rows("TN", "mupe_of"))
        return matrix, *specificity_test(matrix)

    def equally_accurate(self, one, other):
        right = [self.rows(name, "correct").astype(float) for name in (one, other)]
        delta, p = DELTAS["accuracy"], 1.0
        if self.seeds > 1:
            from statsmodels.stats.weightstats import ttost_paired

            with np.errstate(divide="ignore", invalid="ignore"):
                p = float(np.nan_to_num(ttost_paired(*(rows.mean(1) for rows in right), -delta, delta)[0], nan=0.0))
        return Condition(f"accuracy {one} − {other}", self.mean(right[0] - right[1]), delta, p, True, 0.9)

    def trend(self, values, what):
        """Page's test that `values` {network: (seeds,)} falls along LADDER."""
        rising = np.stack([values[name] for name in reversed(LADDER)], 1)
        p = stats.page_trend_test(rising).pvalue if self.seeds > 1 else 1.0
        return Condition(f"{what} falls along {', '.join(LADDER)} (Page's trend)", None, p=float(p))

    def ece_difference(self, one, other):
        """Estimate of ECE of network `one` − ECE of `other`."""
        return two_level(*(a - b for a, b in zip(self.eces(one), self.eces(other), strict=True)))

    def calibration_conditions(self):
        """{"C4", "C5": [Condition]} of the controlled rule."""
        apart = {name: np.abs(self.ece_values(name) - self.ece_values("TN")) for name in LADDER}
        return {
            "C4": [
                Condition(f"|ECE − TN's|, {name} − KD-SN3", seeds_only(apart[name] - apart["KD-SN3"]))
                for name in LADDER[:2]
            ],
            "C5": [
                Condition("ECE SN2 − KD-SN2", self.ece_difference("SN2", "KD-SN2"), DELTAS["ECE"]),
                Condition("KS error agrees", None, met=bool(self.ks("SN2") > self.ks("KD-SN2"))),
            ],
        }

    def conditions(self):
        """{claim: [Condition]} of the controlled rule."""
        right = {name: self.rows(name, "correct").astype(float) for name in LADDER}
        ratio, accuracies = DELTAS["log-ratio"], {name: rows.mean(1) for name, rows in right.items()}
        mupes = {name: self.squares(name).mean(1) for name in LADDER}
        found = {
            "C1a": [self.equally_accurate(name, "TN") for name in LADDER],
            "C1b": [self.equally_accurate("KD-SN2", "SN2")],
            "C2": [
                self.trend(accuracies, "accuracy"),
                Condition("accuracy KD-SN1 − KD-SN3", self.mean(right["KD-SN1"] - right["KD-SN3"]), DELTAS["accuracy"]),
            ],
            "C3": [
                self.trend(mupes, "MUPE"),
                Condition("log MUPE KD-SN1 / KD-SN3", two_level(*self.log_ratio("KD-SN1", "KD-SN3")), ratio),
            ],
            **self.calibration_conditions(),
            "C6": [
                Condition("gain G(SN2)", two_level(*self.gain("SN2")), ratio),
                Condition("KD-SN2 resembles its own teacher", None, p=self.specificity("KD-SN2")[2]),
            ],
        }
        if "SN1" in self.predictions and "SN3" in self.predictions:
            gain1, gain3 = self.gain("SN1"), self.gain("SN3")
            more = two_level(*(b - a for a, b in zip(gain1, gain3, strict=True)))
            less = two_level(*(-part for part in gain1))
            found["C7"] = [Condition("−G(SN1)", less, -ratio, level=0.9), Condition("G(SN3) − G(SN1)", more)]
        return found

    def verdicts(self):
        """[(claim, reading, conditions, Holm-adjusted p, verdict)]; C4 and C5 in both readings, one family of tests."""
        deterministic = self.by(DETERMINISTIC).calibration_conditions()
        family = [(claim, "", conditions) for claim, conditions in self.conditions().items()]
        family += [(claim, "deterministic", deterministic[claim]) for claim in ("C4", "C5")]
        adjusted = holm([max(condition.p_value() for condition in conditions) for *_, conditions in family])
        return [
            (claim, reading, conditions, float(p), verdict(conditions, p, self.seeds))
            for (claim, reading, conditions), p in zip(family, adjusted, strict=True)
        ]
