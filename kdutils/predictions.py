"""What is stored of a network: its predictions on n images, packed into a file and unpacked. No torch from here on."""

from dataclasses import dataclass

import numpy as np

from .plumbing.store import from_npz, to_npz


def entropy(probabilities):
    """−Σ p log p over the last axis, in nats; 0 log 0 = 0. probabilities: an array or lists."""
    probabilities = np.asarray(probabilities)
    probabilities = probabilities if probabilities.dtype.kind == "f" else probabilities.astype(float)
    logarithms = np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))
    return -(probabilities * logarithms).sum(-1)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a trained network says about n images.

    labels (n,) int. mc_mean, deterministic (n, classes): probabilities, of the MC mean and with dropout off.
    (n,): mc_variance of the predicted class over the passes; expected_entropy (nats) and expected_max of a pass.
    """

    labels: np.ndarray
    mc_mean: np.ndarray
    deterministic: np.ndarray
    mc_variance: np.ndarray
    expected_entropy: np.ndarray
    expected_max: np.ndarray

    @property
    def confidence(self):
        """Largest probability (n,) of the MC mean: the confidence that ECE and MUPE compare."""
        return self.mc_mean.max(1)

    @property
    def correct(self):
        """Whether the MC mean's class is the label, bool (n,)."""
        return self.mc_mean.argmax(1) == self.labels

    @property
    def mc_sd(self):
        """Standard deviation (n,) of the predicted class's probability over the passes: the model uncertainty."""
        return np.sqrt(self.mc_variance)

    @property
    def entropy(self):
        """Entropy (n,) of the MC mean in nats: the total uncertainty."""
        return entropy(self.mc_mean)

    @property
    def mutual_information(self):
        """entropy − expected_entropy (n,), in nats: how much the passes disagree, the model's uncertainty."""
        return self.entropy - self.expected_entropy

    @property
    def deterministic_confidence(self):
        """Largest probability (n,) with dropout off."""
        return self.deterministic.max(1)

    @property
    def deterministic_correct(self):
        """Whether the class with dropout off is the label, bool (n,)."""
        return self.deterministic.argmax(1) == self.labels

    @property
    def deterministic_entropy(self):
        """Entropy (n,) with dropout off, in nats."""
        return entropy(self.deterministic)


def pack(made, labels):
    """An `mc_dropout.MCPrediction` of n images and their labels (n,) as the bytes of an NPZ file.

    Probabilities are stored as 16-bit logarithms, which keep the digits of 1 − p, the rest as float32; those with
    dropout off are left out where they are the mean, as of a network that answers in one pass.
    """
    with np.errstate(divide="ignore"):  # log 0 = -inf, which comes back as 0
        mean, deterministic = (np.log(p).astype(np.float16) for p in (made.mean, made.deterministic))
    arrays = {
        "labels": labels,
        "mc_mean": mean,
        "deterministic": deterministic,
        "mc_variance": made.variance[np.arange(len(labels)), made.predicted].astype(np.float32),
        "expected_entropy": made.expected_entropy.astype(np.float32),
        "expected_max": made.expected_max.astype(np.float32),
    }
    if np.array_equal(mean, deterministic):
        del arrays["deterministic"]
    return to_npz(arrays)


def unpack(content):
    """The Predictions in the bytes of `pack`. Rows of probabilities sum to 1 again."""
    arrays = from_npz(content)
    arrays.setdefault("deterministic", arrays["mc_mean"])
    for key in ("mc_mean", "deterministic"):
        probabilities = np.exp(arrays[key].astype(float))
        arrays[key] = probabilities / probabilities.sum(1, keepdims=True)
    return Predictions(**arrays | {"labels": arrays["labels"].astype(int)})


@dataclass(frozen=True, eq=False)
class ShiftPredictions:
    """What a trained network says about n shifted images: classes and scalars alone.

    (n,) int: labels; predicted, the class of the MC mean; deterministic_predicted, with dropout off. (n,) float:
    confidence, entropy (nats) and mutual_information (nats) of the MC mean; deterministic_confidence and
    deterministic_entropy (nats) with dropout off.
    """

    labels: np.ndarray
    predicted: np.ndarray
    deterministic_predicted: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    deterministic_confidence: np.ndarray
    deterministic_entropy: np.ndarray

    @property
    def correct(self):
        """Whether the MC mean's class is the label, bool (n,)."""
        return self.predicted == self.labels

    @property
    def expected_entropy(self):
        """Mean entropy (n,) of a pass in nats: entropy − mutual_information."""
        return self.entropy - self.mutual_information

    @property
    def deterministic_correct(self):
        """Whether the class with dropout off is the label, bool (n,)."""
        return self.deterministic_predicted == self.labels


def pack_shift(made, labels):
    """An `mc_dropout.MCPrediction` of n shifted images and their labels (n,) as the bytes of an NPZ file.

    16-bit square roots of 1 − confidence, entropy and mutual information keep each within 0.1 % above 4e-9, and
    within 1e-9 below. So a confidence is wrong by less than 0.1 % of its distance to 1.
    """
    certain = made.deterministic
    scalars = [1 - made.confidence, made.entropy, made.mutual_information, 1 - certain.max(1), entropy(certain)]
    roots = np.sqrt(np.maximum(scalars, 0)).astype(np.float16)  # (5, n); rounding leaves some at −1e-16
    classes = np.stack([labels, made.predicted, certain.argmax(1)])
    return to_npz({"classes": classes.astype(np.min_scalar_type(classes.max())), "roots": roots})


def unpack_shift(content):
    """The ShiftPredictions in the bytes of `pack_shift`."""
    arrays = from_npz(content)
    doubt, total, mutual, certain_doubt, certain = arrays["roots"].astype(float) ** 2
    return ShiftPredictions(*arrays["classes"].astype(int), 1 - doubt, total, mutual, 1 - certain_doubt, certain)
