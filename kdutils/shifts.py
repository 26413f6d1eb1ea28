"""Test images under shift: rotated, noisy, mixed, other people's digits, and what is no digit.

Each shift is the same for every network and seed: its random numbers are derived from its name.
"""

import numpy as np

from . import data
from .profiles import derive_seed

IMAGES = 1_000  # of a shift, at most
NAMES = tuple(f"rotation-{degrees}" for degrees in range(15, 91, 15))  # anticlockwise
NAMES += ("noise-0.2", "noise-0.4", "noise-0.6", "noise-0.8")  # standard deviations; black is 0, white 1
NAMES += ("mixtures", "digits", "fashion")


def file(images):
    """The file that holds a network's predictions: "predictions.npz" of "test", "predictions-<shift>.npz" of a shift.

    Raises ValueError, which lists the known shifts, for anything else.
    """
    if images not in ("test", *NAMES):
        raise ValueError(f"unknown images {images!r}: known are test, {', '.join(NAMES)}")
    return "predictions.npz" if images == "test" else f"predictions-{images}.npz"


def part(name, test):
    """The `data.Part` of the test images under one shift, `name` of `NAMES`; `test`, the Part of them, for "test".

    A shift has as many images as `test`, at most `IMAGES`: uint8 (n, 1, 28, 28) for MNIST, labels (n,). Rotations and
    noise change the first n test images and keep their labels. A mixture is the mean of two images of different
    classes, so it is ambiguous: its label is that of the first. "digits" are the first of scikit-learn's `load_digits`,
    8 x 8 pixels scaled to 28 x 28. "fashion" are Fashion-MNIST's first test images: no digits, so the labels mean
    nothing beside a digit. Raises ValueError, which lists the known names, for others, and where a shift does not fit
    the test images: these two, images of another shape; a mixture, images of one class.
    """
    if file(name) == file("test"):
        return test
    kind, _, strength = name.partition("-")
    images, labels = test.images[:IMAGES], test.labels[:IMAGES]
    generator = np.random.default_rng(derive_seed(0, name, "shift"))
    if kind == "rotation":
        images = rotated(images, float(strength))
    elif kind == "noise":
        images = _uint8(images + 255 * float(strength) * generator.standard_normal(images.shape))
    elif kind == "mixtures":
        chances = np.where(labels[:, None] == labels, -1, generator.random((len(labels), len(labels))))
        if (chances.max(1) < 0).any():
            raise ValueError(f"mixtures need two classes among the first {len(labels)} test images")
        images = _uint8((images.astype(float) + images[chances.argmax(1)]) / 2)
    elif images.shape[1:] != (1, 28, 28):
        raise ValueError(f"{name} are images (n, 1, 28, 28), the test images are {test.images.shape}")
    elif kind == "digits":
        images, labels = (array[: len(labels)] for array in _digits())
    else:
        fashion = data.load_fashion_mnist()
        images, labels = fashion.test_images[: len(labels)], fashion.test_labels[: len(labels)]
    return data.Part(images, labels)


def rotated(images, degrees):
    """uint8 images (n, channels, height, width) turned anticlockwise about their centres: bilinear, black beyond."""
    import torch

    from .plumbing.compute import as_tensor

    angle = torch.tensor([np.deg2rad(degrees)])
    none = torch.zeros(1, 2).to(angle)
    turned = warp(as_tensor("images", images).double(), angle, 1, none[:, 0], none)
    return _uint8(turned.numpy())


def warp(images, angle, scale, shear, shift):
    """Float images (n, channels, height, width), each mapped by its own numbers, bilinearly; what comes in is 0.

    angle (n,): in radians, anticlockwise. scale (n,): above 1 it enlarges. shear (n,): along a diagonal, symmetric, so
    that it adds no rotation. shift (n, 2): to the left and up, in half sides. One of each serves for all images.
    """
    import torch
    from torch.nn import functional as F

    ratio = images.shape[2] / images.shape[3]  # places are counted in half sides
    cos, sin = angle.cos() / scale, angle.sin() / scale
    rows = (
        (cos + shear * sin, (shear * cos - sin) * ratio, shift[:, 0]),
        ((sin + shear * cos) / ratio, cos - shear * sin, shift[:, 1]),
    )
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)  # where in the image a place of the result lies
    theta = theta.expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _digits():
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()  # pixels from 0 to 16
    large = torch.nn.functional.interpolate(torch.as_tensor(digits.images)[:, None], size=(28, 28), mode="bilinear")
    return _uint8(large.numpy() * 255 / 16), digits.target.astype(np.uint8)


def _uint8(pixels):
    return np.rint(pixels).clip(0, 255).astype(np.uint8)
