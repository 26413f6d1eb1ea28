"""The teacher and the three students, recovered from their parameter counts (Amara & Clark 2020)."""

import warnings
from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from . import data
from .plumbing import compute
from .plumbing.checks import whole_number
from .profiles import derive_seed

ARCHITECTURES = {  # name: (features, sizes of the hidden fully connected layers)
    # features: output channels of 3x3 convolutions with padding 1, after "5x5:" of 5x5 ones without; M: 2x2 max pooling
    "TN": ("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M", (256, 256)),
    "SN1": ("5x5:48 M 5x5:128 M", (1280,)),  # LeNet-5's geometry: 32 -> 28 -> 14 -> 10 -> 5
    "SN2": ("64 64 M 128 128 M", (512, 512)),
    "SN3": ("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M", (256, 256)),
}


def _features(layers, channels):
    """The convolutional part, and how many numbers it gives for an image."""
    modules, side = [], data.SIDE
    for word in layers.split():
        if word == "M":
            modules.append(nn.MaxPool2d(2))
            side //= 2
        else:
            kernel, padding = (5, 0) if word.startswith("5x5:") else (3, 1)
            outputs = int(word.removeprefix("5x5:"))
            modules += [nn.Conv2d(channels, outputs, kernel, padding=padding), nn.ReLU(inplace=True)]
            channels, side = outputs, side + 2 * padding - kernel + 1
    return nn.Sequential(*modules), channels * side**2


def _classifier(sizes, classes):
    modules = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], classes))


def _skeleton(name, channels, classes, design=None):
    """The network without numbers: on the meta device nothing is initialised, and the global generator left alone."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}: known are {', '.join(ARCHITECTURES)}")
    whole_number("channels", channels, minimum=1), whole_number("classes", classes, minimum=2)
    layers, hidden = design or ARCHITECTURES[name]
    with torch.device("meta"):
        features, size = _features(layers, channels)
        if size < 1:
            raise ValueError(f"{name}: {layers!r} leaves nothing of an image of {data.SIDE} × {data.SIDE} pixels")
        return nn.Sequential(OrderedDict(features=features, classifier=_classifier((size, *hidden), classes)))


def description(name, *, channels=1, classes=10, design=None):
    """{place: module, its settings and the shapes of its parameters} of the network that `build` gives."""
    settings = ("p", "kernel_size", "stride", "padding", "dilation", "groups", "inplace")
    found = {}
    for place, module in _skeleton(name, channels, classes, design).named_modules():
        words = [f"{key}={getattr(module, key)}" for key in settings if hasattr(module, key)]
        words += [f"{key} {tuple(value.shape)}" for key, value in module.named_parameters(recurse=False)]
        if not list(module.children()):
            found[place] = f"{type(module).__name__}({', '.join(words)})"
    return found


def build(name, seed=0, *, channels=1, classes=10, design=None):
    """An untrained network on the CPU: (n, channels, 32, 32) float images to (n, classes) logits.

    name: one of `ARCHITECTURES`. He initialisation from a generator of its own, derived from `seed` and `name`;
    biases 0. Dropout (p = 0.5) after every hidden fully connected ReLU. design: (features, hidden sizes) in the place
    of those in `ARCHITECTURES`. Raises ValueError for an unknown name, for fewer than two classes, and for a design
    that pools an image away.
    """
    network = _skeleton(name, channels, classes, design).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(derive_seed(seed, name, "initialisation"))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)  # the faster layout for convolutions, same numbers


def parameter_count(model):
    """Number of trainable numbers in `model`."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def check_images(model, images):
    """The device and floating type of a module's inputs; ValueError unless it is one and `images` a tensor or array."""
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got a {type(model).__name__}")
    if not isinstance(images, torch.Tensor | np.ndarray):
        raise ValueError(
            f"images must be a tensor or an array (n, …), got a {type(images).__name__}; of a DataLoader of pairs, "
            "torch.cat([images for images, labels in loader])"
        )
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"images must hold at least one image, got {'none' if images.ndim else 'a single number'}")
    if any(map(nn.parameter.is_lazy, model.parameters())):
        raise ValueError("model has lazy layers without a shape yet: call it once on a batch of images before")
    like = next(filter(torch.is_floating_point, model.parameters()), torch.empty(0))
    return like.device, like.dtype


def batch_input(images, device, dtype=torch.float32):
    """A batch as a network takes it, on `device`.

    uint8 images preprocessed as MNIST (`data.preprocess`), a copy of floats in `dtype` or of token ids (whole numbers
    (n, length)). Raises ValueError for others.
    """
    images = compute.as_tensor("images", images).to(device)
    ids = images.dtype in (torch.int32, torch.int64) and images.ndim < 4
    if ids or images.is_floating_point():
        return images.to(images.dtype if ids else dtype, copy=True)  # the network may work in place
    return data.preprocess(images)


def check_logits(outputs, n):
    """A network's outputs for n images; ValueError unless they are (n, classes) of at least two classes."""
    floats = torch.is_tensor(outputs) and outputs.is_floating_point()
    kind = outputs.dtype if torch.is_tensor(outputs) else type(outputs).__name__
    shape = tuple(outputs.shape) if floats else kind
    if not floats or outputs.ndim != 2 or len(outputs) != n or outputs.shape[1] < 2:
        raise ValueError(f"the network's outputs must be logits ({n}, classes) of at least two classes, got {shape}")
    return outputs


def warn_of_probabilities(outputs):
    """Warn if a network's outputs (n, classes) are probabilities: another softmax would be taken of them."""
    if (outputs >= 0).all() and ((outputs.float().sum(1) - 1).abs() < 1e-3).all():
        warnings.warn("the network's outputs are probabilities, not logits: leave out its last softmax", stacklevel=3)


def logits(model, images, *, batch_size=100, dtype=torch.float32, preprocess=None):
    """Logits (n, classes), float32 on the model's device, in evaluation mode; puts training flags back.

    images: tensor or array; uint8 as for `data.preprocess`, float as the network takes them in any precision, or whole
    numbers such as token ids. preprocess: a function from a batch on the model's device to the network's input instead.
    dtype: computed in, by autocast. batch_size: halved while the memory is too small, and printed. Raises ValueError
    for other images, for none, and for outputs of another shape.
    """
    device, floats = check_images(model, images)

    def of_batch(batch):
        if preprocess:  # of a copy: it may work in place
            inputs = preprocess(compute.as_tensor("images", batch).to(device, copy=True))
        else:
            inputs = batch_input(batch, device, floats)
        return check_logits(model(inputs), len(batch)).float()

    def compute_all(size):
        return torch.cat([of_batch(images[i : i + size]) for i in range(0, len(images), size)])

    with compute.evaluation(model), compute.autocast(device, dtype):
        return compute.with_less_memory(compute_all, batch_size)
