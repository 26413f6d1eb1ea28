"""The measures of a study, by a definition: values of each seed, and the same on resampled test images."""

from typing import NamedTuple

import numpy as np

from . import calibration, stats


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


class Measure(NamedTuple):
    """A measure of each seed, values (seeds,), and the same on resampled test sets, resampled (resamples, seeds)."""

    values: np.ndarray
    resampled: np.ndarray

    def __sub__(self, other):
        return Measure(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def __neg__(self):
        return Measure(*(-part for part in self))

    def log_ratio(self, other):
        """log(self / other) as a Measure."""
        return Measure(*(np.log(mine / theirs) for mine, theirs in zip(self, other, strict=True)))

    def estimate(self):
        """The two-level Estimate of its mean."""
        return stats.two_level(*self)


class Study:
    """The measures of {network: [Predictions, one for each seed]}, with the same seeds and images for every network.

    weights (resamples, n): resampled test sets, of `stats.image_weights`.
    """

    def __init__(self, predictions, weights, definition=DEFINITIONS["as in Table 1"]):
        self.predictions, self.weights, self.definition = predictions, weights, definition
        self.seeds = len(predictions["TN"])

    def by(self, definition):
        """The same study by another Definition."""
        return Study(self.predictions, self.weights, definition)

    def field(self, name, field):
        """(seeds, n), or (seeds, n, classes), of a field of a network's Predictions."""
        return np.array([getattr(own, field) for own in self.predictions[name]])

    def rows(self, name, what):
        """(seeds, n), or (seeds, n, classes), of a network's "confidence", "correct" or "mupe_of"."""
        return self.field(name, getattr(self.definition, what))

    def mean(self, rows):
        """The Measure of a mean over images of rows (seeds, n)."""
        return Measure(rows.mean(1), stats.weighted_means(rows, self.weights))

    def squares(self, name):
        """(seeds, n): (c_T − c_S)², whose mean is MUPE."""
        squares = (self.rows("TN", "mupe_of") - self.rows(name, "mupe_of")) ** 2
        return squares if squares.ndim == 2 else squares.sum(-1)

    def mupe(self, name):
        """MUPE as a Measure."""
        return self.mean(self.squares(name))

    def gain(self, architecture):
        """G = log(MUPE without distillation / MUPE with it) of an architecture, as a Measure."""
        return self.mupe(architecture).log_ratio(self.mupe(f"KD-{architecture}"))

    def accuracy_difference(self, one, other):
        """Accuracy of network `one` − accuracy of `other`, as a Measure."""
        return self.mean(self.rows(one, "correct").astype(float) - self.rows(other, "correct"))

    def ece_values(self, name):
        """ECE (seeds,)."""
        pairs = zip(self.rows(name, "confidence"), self.rows(name, "correct"), strict=True)
        bins, equal_mass = self.definition.n_bins, self.definition.equal_mass
        return np.array([calibration.expected_calibration_error(*pair, bins, equal_mass=equal_mass) for pair in pairs])

    def ece(self, name):
        """ECE as a Measure."""
        rows = self.rows(name, "confidence"), self.rows(name, "correct")
        bins = self.definition.n_bins, self.definition.equal_mass
        return Measure(self.ece_values(name), stats.weighted_eces(*rows, self.weights, *bins))

    def ks(self, name):
        """Mean over seeds of the KS calibration error."""
        pairs = zip(self.rows(name, "confidence"), self.rows(name, "correct"), strict=True)
        return np.mean([calibration.ks_error(*pair) for pair in pairs])

    def summary(self, name):
        """{"accuracy", "ECE", "MUPE": Estimate}; no MUPE for TN itself."""
        measures = {"accuracy": self.mean(self.rows(name, "correct")), "ECE": self.ece(name)}
        measures |= {} if name == "TN" else {"MUPE": self.mupe(name)}
        return {key: measure.estimate() for key, measure in measures.items()}

    def specificity(self, name):
        """(matrix, statistic, p) of `stats.specificity` and its test, for a network and the teachers of all seeds."""
        matrix = stats.specificity(self.rows(name, "mupe_of"), self.rows("TN", "mupe_of"))
        return matrix, *stats.specificity_test(matrix)
