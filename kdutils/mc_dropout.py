"""Monte-Carlo dropout (Gal & Ghahramani 2016): the mean and spread of many passes with dropout on."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from . import models
from .plumbing import compute, dropout
from .plumbing.checks import whole_number
from .predictions import entropy
from .profiles import derive_seed

CHUNK = 1_000_000  # numbers that enter the stochastic part at once: 4 MB, so that they stay in the cache
GAUSSIAN = "gaussian"  # in the place of a number of passes
POINTS = 256  # logits of an image that stand for its Gaussian
LEAST = 1e-30  # variance of a probability over its square: what rounding in float64 leaves of equal passes
ADVICE = "MC dropout needs a network that was trained with it; add nn.Dropout(0.5) after a hidden layer and train"


@dataclass(frozen=True, eq=False)
class MCPrediction:
    """What `passes` stochastic passes say about n images. float64 arrays; entropies in nats.

    mean, variance (n, classes): of the softmax over the passes (variance: divided by the number of passes).
    expected_entropy (n,): mean entropy of a pass. expected_max (n,): mean of a pass's largest probability.
    deterministic (n, classes): the softmax with dropout off.
    """

    mean: np.ndarray
    variance: np.ndarray
    expected_entropy: np.ndarray
    expected_max: np.ndarray
    deterministic: np.ndarray

    @property
    def predicted(self):
        """The most probable class (n,) of the mean."""
        return self.mean.argmax(1)

    @property
    def confidence(self):
        """The probability (n,) that the mean gives to that class."""
        return self.mean.max(1)

    @property
    def entropy(self):
        """Entropy (n,) of the mean: the total uncertainty."""
        return entropy(self.mean)

    @property
    def mutual_information(self):
        """entropy − expected_entropy (n,): how much the passes disagree, the model's uncertainty."""
        return self.entropy - self.expected_entropy


def split(model):
    """(deterministic, stochastic): `model` cut before its first active dropout; modules are shared, not copied.

    stochastic(deterministic(x)) is model(x). Active are torch's layers that drop at a rate above 0, recurrent ones and
    attention included; without any, modules of classes that are not torch's may be. Opens nested `nn.Sequential`s; any
    other module that holds dropout stays whole. If such a module comes first, nothing is cut off: every pass runs the
    whole of the model, and a warning says why. Raises ValueError if dropout can be nowhere.
    """
    steps = list(_steps(model))
    dropping = [i for i, step in enumerate(steps) if any(map(dropout.acts, step.modules()))]
    first = min(dropping or [i for i, step in enumerate(steps) if dropout.unknown(step)], default=None)
    if first is None:
        raise ValueError(f"{type(model).__name__} has no active dropout (an nn.Dropout with p > 0): {ADVICE}")
    return _cut(steps, first)


def _cut(steps, first):
    """(deterministic, stochastic): two nn.Sequentials, the second from step `first` on; warns if it holds all steps."""
    if first == 0 and not dropout.acts(steps[0]):
        kind = type(steps[0]).__name__
        warnings.warn(f"cannot see where dropout begins inside {kind}: every pass runs all of it", stacklevel=2)
    return nn.Sequential(*steps[:first]), nn.Sequential(*steps[first:])


def _steps(module):
    """The modules that `module` runs one after the other; `module` itself where that cannot be told."""
    plain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    if not plain or dropout.hooked(module) or "forward" in vars(module):
        yield module  # its parts would not call its hooks
    else:
        for child in module:
            yield from _steps(child)


def _tried(model, batch):
    """(deterministic, stochastic, modules of the latter to put in training mode), each tried on a small batch.

    As `split`, but cut earlier where what comes before drops, too, or gives no tensor (n, …) of n images. ValueError
    for outputs that are no logits, for randomness in evaluation mode, for dropout that cannot be switched on alone.
    """
    models.warn_of_probabilities(models.check_logits(model(batch.clone()), len(batch)))
    dropout.refuse_random(model, batch)
    with dropout.kept_buffers(model):
        switches = dropout.switches(model, batch)
        deterministic, stochastic = split(model)
        steps = [*deterministic, *stochastic]
        first = dropout.steps_without(model, batch, deterministic, stochastic, switches)
        features = nn.Sequential(*steps[:first])(batch.clone())
        first = first if torch.is_tensor(features) and len(features) == len(batch) else 0
    if first < len(deterministic):
        deterministic, stochastic = _cut(steps, first)
    before = set(deterministic.modules()) - set(stochastic.modules())
    return deterministic, stochastic, [module for module in switches if module not in before]


def predict(model, images, *, passes=100, seed=0, batch_size=100):
    """MCPrediction for `images` from `passes` passes with dropout on and everything else in evaluation mode.

    What comes before the first active dropout runs once for each image, the rest once for each pass, in large batches,
    in float32 on the model's device. Masks are independent between images and passes. Sums accumulate in float64:
    memory does not grow with `passes`. The global random state and the training flags are put back.

    passes="gaussian": no random passes, for a network whose only active dropout precedes its last linear layer. Dropout
    then gives the logits a mean and a covariance that are known exactly; a Gaussian with these stands for the passes
    (Wang & Manning 2013), by 256 fixed points for each image. `seed` has no effect.

    images: as for `models.logits`. The model's outputs must be logits: no softmax at its end. batch_size: halved while
    the memory is too small, and printed. Any module's training mode that brings dropout is used (`plumbing.dropout`);
    batch norm stays in evaluation mode. Raises ValueError for no images, for passes that are neither "gaussian" nor a
    positive whole number, for a network without dropout, one whose dropout or noise cannot be switched off or not on
    alone, one whose passes do not differ, one that "gaussian" does not fit, and for outputs that are no logits or not
    finite. Warns where every pass runs the whole network, and of outputs that are probabilities.
    """
    normal = isinstance(passes, str) and passes == GAUSSIAN
    passes = passes if normal else whole_number("passes", passes, minimum=1)
    batch_size = whole_number("batch_size", batch_size, minimum=1)
    place = models.check_images(model, images)

    def predict_all(size):
        results = []
        with compute.seeded(derive_seed(seed, "mc_dropout"), place[0]):
            for start in range(0, len(images), size):
                features = deterministic(models.batch_input(images[start : start + size], *place))
                certain = _log_softmax(stochastic(features.clone())).exp()  # cloned: the rest may work in place
                k = max(1, CHUNK // features.numel()) if stacked else 1  # passes at once
                with dropout.training(switches):
                    made = _gaussian(*stochastic, features) if normal else _accumulate(stochastic, features, passes, k)
                results.append([*made, certain.cpu().numpy()])
        return results

    with compute.evaluation(model):
        with compute.seeded(0, place[0]):
            small = models.batch_input(images[: min(batch_size, 2)], *place)
            deterministic, stochastic, switches = _tried(model, small)
        if normal:
            _check_one_dropout(stochastic)
        stacked = len(deterministic) and dropout.stacks(stochastic)
        results = compute.with_less_memory(predict_all, batch_size)
    prediction = MCPrediction(*(np.concatenate(parts) for parts in zip(*results, strict=True)))
    _check_passes(prediction, passes, switches)
    return prediction


def _check_passes(prediction, passes, switches):
    """ValueError for outputs that are not finite, and for passes that do not differ although `switches` were on."""
    if not np.isfinite(prediction.mean).all():
        raise ValueError("the network's outputs are not all finite: it did not train, or the images are not")
    if passes != 1 and not (prediction.variance > LEAST * prediction.mean**2).any():
        kinds = ", ".join(sorted({type(module).__name__ for module in switches if dropout.may_drop(module)}))
        raise ValueError(f"the passes do not differ, with {kinds} in training mode: {ADVICE}")


def _check_one_dropout(stochastic):
    """ValueError unless the stochastic part is one dropout, with a rate below 1, and one linear layer."""
    fits = [type(step) for step in stochastic] == [nn.Dropout, nn.Linear] and stochastic[0].p < 1
    if not fits or any(map(dropout.hooked, stochastic)):
        raise ValueError(
            f'passes="{GAUSSIAN}" takes a network that ends with one active nn.Dropout, of a rate below 1, and one '
            f"nn.Linear, both without hooks; from its first active dropout on this one has {[*stochastic]}"
        )


def _accumulate(stochastic, features, passes, chunk):
    """Mean, variance (n, classes), expected entropy and expected maximum (n,), `chunk` passes at a time."""
    n = len(features)
    mean = squares = expected_entropy = expected_max = 0
    for start in range(0, passes, chunk):
        k = min(chunk, passes - start)
        repeated = features.repeat(k, *[1] * (features.ndim - 1))  # (k * n, ...), a copy
        log_p = _log_softmax(_pass(stochastic, repeated)).unflatten(0, (k, n))  # (k, n, classes)
        p = log_p.exp()
        if start == 0:
            reference = p.mean(0)  # squares are taken about it, so that small variances keep their digits
        mean = mean + p.sum(0)
        squares = squares + (p - reference).square().sum(0)
        expected_entropy = expected_entropy - _p_log_p(p, log_p).sum((0, 2))
        expected_max = expected_max + p.amax(2).sum(0)
    mean = mean / passes
    variance = (squares / passes - (mean - reference).square()).clamp_min(0)
    return [x.cpu().numpy() for x in (mean, variance, expected_entropy / passes, expected_max / passes)]


def _gaussian(dropout, linear, features):
    """As `_accumulate`, of a Gaussian with the mean and covariance that `dropout` gives the logits. features (n, h).

    Inverted dropout of rate p leaves the mean of a feature h as it is and gives it the variance h² p / (1 − p).
    """
    mean, h, w = _double(linear(features)), _double(features), _double(linear.weight)  # (n, c), (n, h), (c, h)
    pairs = torch.einsum("ch,dh->hcd", w, w)
    covariance = torch.tensordot(h.square() * (dropout.p / (1 - dropout.p)), pairs, 1)  # (n, c, c)
    variances, axes = torch.linalg.eigh(covariance.nan_to_num(0, 0, 0))  # where it is not finite, nor is the mean
    root = axes * variances.clamp_min(0).sqrt().unsqueeze(1)  # root @ root.T is the covariance
    log_p = _log_softmax(mean.unsqueeze(1) + _points(len(w)).to(mean) @ root.mT)  # (n, points, c)
    p = log_p.exp()
    found = p.mean(1), p.var(1, correction=0), -_p_log_p(p, log_p).sum(2).mean(1), p.amax(2).mean(1)
    return [x.cpu().numpy() for x in found]


def _points(classes):
    """Fixed numbers (points, classes) with mean 0 and covariance 1, normal but for that; each beside its negative."""
    half = max(POINTS // 2, classes)
    drawn = torch.randn(half, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whitened = torch.linalg.qr(drawn).Q * half**0.5
    return torch.cat([whitened, -whitened])


def _pass(stochastic, x):
    """stochastic(x), with a faster dropout where p = 0.5 on the CPU: there the masks are most of the cost."""
    for module in stochastic:
        half = type(module) is nn.Dropout and module.p == 0.5 and not dropout.hooked(module)
        x = _drop_half(x) if half and x.device.type == "cpu" and x.dtype == torch.float32 else module(x)
    return x


def _drop_half(x):
    """Each number of `x` (float32) doubled or zeroed by one random bit: bit b of byte i is for number b · n/8 + i."""
    words = torch.empty(-(-x.numel() // 64), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8) >> torch.arange(8, dtype=torch.uint8).unsqueeze(1) & 1  # (8, n/8) rounded up
    return x * (kept << 1).view(-1)[: x.numel()].view(x.shape)


def _p_log_p(p, log_p):
    return torch.where(p == 0, 0.0, p * log_p)  # a logit of −∞: 0 log 0 = 0


def _log_softmax(logits):
    return torch.log_softmax(_double(logits), -1)


def _double(x):
    return (x.cpu() if x.device.type == "mps" else x).double()  # MPS has no float64
