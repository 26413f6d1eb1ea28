"""One pass in the place of many: a student of the MC teacher's answers to images and views of them.

The student's logits z are a Dirichlet distribution over probabilities, of concentrations exp(z) (Malinin & Gales 2018).
Its mean is their softmax; its mutual information is what the student learns of the teacher's (distribution
distillation: Malinin et al. 2020). Training on the MC mean is dropout distillation (Bulò et al. 2016).
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import models
from .mc_dropout import MCPrediction
from .predictions import entropy
from .profiles import derive_seed
from .recipes import KINDS

ROTATION = math.radians(25)  # the largest of a view, either way
SCALE, SHEAR, SHIFT = 0.2, 0.3, 0.2  # likewise; shift in half sides
NOISE = 0.3  # the largest standard deviation, white being 1
CHUNK = 10_000  # images warped at once


def views(images, count, *, seed, kinds=KINDS):
    """`count` views (count, n, channels, height, width), uint8, of the uint8 images (n, channels, height, width).

    A view is, as far as `kinds` has the word: every second time a "mixture" with another image, whose share is at most
    a half; an "affine" map (rotation, scale, shear, shift); Gaussian "noise". Computed on the CPU: a seed gives the
    same bits on the same machine. View i does not depend on `count`.
    """
    pixels = torch.as_tensor(images)
    return np.stack([_view(pixels, derive_seed(seed, "view", i), kinds) for i in range(count)])


def _view(pixels, seed, kinds):
    generator, done = torch.Generator().manual_seed(seed), []
    partner = torch.randperm(len(pixels), generator=generator)
    for rows in torch.arange(len(pixels)).split(CHUNK):
        drawn = torch.rand(8, len(rows), generator=generator) * 2 - 1
        share, mixed, spread = (drawn[i].abs().view(-1, 1, 1, 1) for i in (5, 6, 7))
        view = pixels[rows].float()
        if "mixture" in kinds:
            view = torch.where(mixed < 0.5, view.lerp(pixels[partner[rows]].float(), share / 2), view)
        if "affine" in kinds:
            view = warp(view, ROTATION * drawn[0], 1 + SCALE * drawn[1], SHEAR * drawn[2], SHIFT * drawn[3:5].T)
        if "noise" in kinds:
            view = view + 255 * NOISE * spread * torch.randn(view.shape, generator=generator)
        done.append(view.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(done).numpy()


def warp(images, angle, scale, shear, shift):
    """Float images (n, channels, height, width), each mapped by its own numbers, bilinearly; what comes in is 0.

    angle (n,): in radians, counter-clockwise. scale (n,): above 1 it enlarges. shear (n,): how far a row is moved per
    row. shift (n, 2): to the left and up, in half sides.
    """
    cos, sin = angle.cos() / scale, angle.sin() / scale
    rows = [torch.stack([cos + shear * sin, shear * cos - sin], 1), torch.stack([sin, cos], 1)]
    theta = torch.cat([torch.stack(rows, 1), shift.unsqueeze(2)], 2)  # (n, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def description(architecture, *, dropout, channels=1):
    """The `models.description` of a network as it is trained: without its dropout if that is off."""
    found = models.description(architecture, channels=channels)
    return {place: text for place, text in found.items() if dropout or not text.startswith("Dropout(")}


def without_dropout(model):
    """`model`, each dropout of its classifier replaced by the identity, in place."""
    for place, module in enumerate(model.classifier):
        if isinstance(module, nn.Dropout):
            model.classifier[place] = nn.Identity()
    return model


def mutual_information(logits):
    """How much draws from a Dirichlet distribution disagree: (n,), in nats.

    Σ p (ψ(a + 1) − ψ(Σ a + 1) − log p) for the concentrations a = exp(logits) and their mean p. logits: (n, classes).
    Concentrations above e³⁰ are scaled down to it.
    """
    concentration = (logits - (logits.amax(1, keepdim=True) - 30).clamp_min(0)).exp()
    spread = torch.digamma(concentration + 1) - torch.digamma(concentration.sum(1, keepdim=True) + 1)
    return (logits.softmax(1) * (spread - logits.log_softmax(1))).sum(1)


def brier(logits, mean, information):
    """Squared error of the probabilities (Brier 1950), summed over classes, plus that of the mutual information.

    Averaged over the batch: a scalar. logits, mean (n, classes): the student's, the teacher's probabilities.
    information (n,): the teacher's mutual information in nats.
    """
    error = (logits.float().softmax(1) - mean).square().sum(1)
    return (error + (mutual_information(logits.float()) - information).square()).mean()


def cross_entropy(logits, mean, information):
    """The cross-entropy in nats with the teacher's probabilities in the place of the squared error; else as `brier`."""
    error = F.cross_entropy(logits.float(), mean, reduction="none")
    return (error + (mutual_information(logits.float()) - information).square()).mean()


def targets(answers, labels, teacher):
    """(mean (n, classes), mutual information (n,)): what a student learns, by the `answers` of `recipes.Student`.

    labels (n,): the images'. teacher: [its Predictions on them, part by part]. Only "mc" has mutual information; the
    others get 0.
    """
    if answers == "mc":
        means, informations = ([getattr(own, key) for own in teacher] for key in ("mc_mean", "mutual_information"))
        return np.concatenate(means), np.concatenate(informations).clip(0)
    certain = np.eye(10)[labels] if answers == "labels" else np.concatenate([own.deterministic for own in teacher])
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
    mean, total = logits.softmax(1).numpy(), logits.exp().sum(1, keepdim=True).numpy()
    information = mutual_information(logits).clamp_min(0).numpy()
    expected_entropy = np.maximum(entropy(mean) - information, 0)
    return MCPrediction(mean, mean * (1 - mean) / (1 + total), expected_entropy, mean.max(1), mean)
