"""One pass in the place of many: a student of the MC teacher's answers to images and views of them.

The student's logits say a Dirichlet distribution over the probabilities of a pass, as in distribution distillation
(Malinin et al. 2020): their softmax is its mean, which learns the MC mean (dropout distillation: Bulò et al. 2016), and
their mean its precision, from which the mutual information follows in closed form.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import models
from .mc_dropout import MCPrediction
from .plumbing.compute import as_tensor
from .predictions import entropy
from .profiles import derive_seed
from .recipes import KINDS
from .shifts import warp

ROTATION = math.radians(25)  # the largest of a view, either way
SCALE, SHEAR, SHIFT = 0.2, 0.15, 0.2  # likewise; shift in half sides
NOISE = 0.3  # the largest standard deviation, white being 1
CHUNK = 10_000  # images warped at once
INFORMATION = 5.0  # weight of the mutual information's error beside that of the probabilities


def views(images, count, *, seed, kinds=KINDS):
    """`count` views (count, n, channels, height, width), uint8, of the uint8 images (n, channels, height, width).

    A view is, as far as `kinds` has the word: every second time a "mixture" with another image, whose share is at most
    a half; an "affine" map (rotation, scale, shear, shift); every second time with Gaussian "noise". Computed on the
    CPU: a seed gives the same bits on the same machine. View i does not depend on `count`.
    """
    pixels = as_tensor("images", images)
    return np.stack([_view(pixels, derive_seed(seed, "view", i), kinds) for i in range(count)])


def _view(pixels, seed, kinds):
    generator, done = torch.Generator().manual_seed(seed), []
    partner = torch.randperm(len(pixels), generator=generator)
    for rows in torch.arange(len(pixels)).split(CHUNK):
        drawn = torch.rand(7, len(rows), generator=generator) * 2 - 1
        share, spread = (drawn[i].clamp_min(0).view(-1, 1, 1, 1) for i in (5, 6))  # every second one is 0
        view = pixels[rows].float()
        if "mixture" in kinds:
            view = view.lerp(pixels[partner[rows]].float(), share / 2)
        if "affine" in kinds:
            view = warp(view, ROTATION * drawn[0], 1 + SCALE * drawn[1], SHEAR * drawn[2], SHIFT * drawn[3:5].T)
        if "noise" in kinds:
            view = view + 255 * NOISE * spread * torch.randn(view.shape, generator=generator)
        done.append(view.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(done).numpy()


def description(architecture, *, dropout, **options):
    """The `models.description`, of these options, of a network as it is trained: without its dropout if that is off."""
    found = models.description(architecture, **options)
    return {place: text for place, text in found.items() if dropout or not text.startswith("Dropout(")}


def without_dropout(model):
    """`model`, each dropout of its classifier replaced by the identity, in place."""
    for place, module in enumerate(model.classifier):
        if isinstance(module, nn.Dropout):
            model.classifier[place] = nn.Identity()
    return model


def dirichlet(logits):
    """(mean (n, classes), precision (n, 1)) of the Dirichlet distributions that logits (n, classes) say.

    The mean is their softmax. It leaves the logits' own mean free; the precision is the exponential of that, at most
    e²⁰.
    """
    return logits.softmax(1), logits.mean(1, keepdim=True).clamp_max(20).exp()


def mutual_information(mean, precision):
    """How much draws from Dirichlet distributions disagree: Σ p (ψ(s p + 1) − ψ(s + 1) − log p), (n,) in nats.

    mean p (n, classes), precision s (n, 1).
    """
    drawn = torch.digamma(precision * mean + 1) - torch.digamma(precision + 1)
    return (torch.special.entr(mean) + mean * drawn).sum(1)


def brier(logits, mean, information):
    """Squared error of the probabilities (Brier 1950), summed over classes, plus `disagreement`'s: a scalar.

    Averaged over the batch. logits, mean (n, classes): the student's, the teacher's probabilities. information (n,):
    the teacher's mutual information in nats.
    """
    squares = (logits.float().softmax(1) - mean).square().sum(1)
    return squares.mean() + disagreement(logits.float(), information)


def cross_entropy(logits, mean, information):
    """The cross-entropy in nats with the teacher's probabilities in the place of the squared error; else as `brier`."""
    return F.cross_entropy(logits.float(), mean) + disagreement(logits.float(), information)


def disagreement(logits, information):
    """`INFORMATION` times the mean squared error of the square root of the mutual information, in nats.

    The root lets sure and unsure images count. It moves the precision alone: else the quickest way to less mutual
    information is probabilities of 0 and 1, from which the squared error does not come back.
    """
    mean, precision = dirichlet(logits)
    own = mutual_information(mean.detach(), precision).clamp_min(0) + 1e-6  # where the root still has a slope
    return INFORMATION * (own.sqrt() - information.sqrt()).square().mean()


def targets(answers, labels, teacher, classes):
    """(mean (n, classes), mutual information (n,)): what a student learns, by the `answers` of `recipes.Student`.

    labels (n,): the images'. teacher: [its Predictions on them, part by part]. Only "mc" has mutual information; the
    others get 0.
    """
    if answers == "mc":
        means, informations = ([getattr(own, key) for own in teacher] for key in ("mc_mean", "mutual_information"))
        return np.concatenate(means), np.concatenate(informations).clip(0)
    certain = np.eye(classes)[labels] if answers == "labels" else np.concatenate([own.deterministic for own in teacher])
    return certain, np.zeros(len(labels))


def student_loss(recipe, mean, information):
    """The loss of a student for `training.train`: the recipe's, with the batch's rows of `mean` and `information`."""
    function = globals()[recipe.loss]
    return lambda logits, labels, rows: function(logits, mean[rows], information[rows])


def predict(model, images):
    """`mc_dropout.MCPrediction` of one pass with dropout off, read as a Dirichlet distribution.

    `deterministic` is `mean`; the expected entropy is the mean's minus the mutual information, at least 0;
    `expected_max`, which has no closed form, is the mean's confidence. images: as for `models.logits`.
    """
    logits = models.logits(model, images).cpu().double()
    information = mutual_information(*dirichlet(logits)).clamp_min(0).numpy()
    mean, precision = (array.numpy() for array in dirichlet(logits))
    expected_entropy = np.maximum(entropy(mean) - information, 0)
    return MCPrediction(mean, mean * (1 - mean) / (1 + precision), expected_entropy, mean.max(1), mean)
