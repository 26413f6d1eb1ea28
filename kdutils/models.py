"""The teacher and the three students, recovered from their parameter counts (Amara & Clark 2020)."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn

from . import data
from .plumbing import compute
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


def _classifier(sizes):
    modules = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], 10))


def _skeleton(name, channels):
    """The network without numbers: on the meta device nothing is initialised, and the global generator left alone."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}: known are {', '.join(ARCHITECTURES)}")
    layers, hidden = ARCHITECTURES[name]
    with torch.device("meta"):
        features, size = _features(layers, channels)
        return nn.Sequential(OrderedDict(features=features, classifier=_classifier((size, *hidden))))


def description(name, *, channels=1):
    """{place: module, its settings and the shapes of its parameters} of the network that `build` gives."""
    settings = ("p", "kernel_size", "stride", "padding", "dilation", "groups", "inplace")
    found = {}
    for place, module in _skeleton(name, channels).named_modules():
        words = [f"{key}={getattr(module, key)}" for key in settings if hasattr(module, key)]
        words += [f"{key} {tuple(value.shape)}" for key, value in module.named_parameters(recurse=False)]
        if not list(module.children()):
            found[place] = f"{type(module).__name__}({', '.join(words)})"
    return found


def build(name, seed=0, *, channels=1):
    """An untrained network on the CPU: (n, channels, 32, 32) float images to (n, 10) logits.

    name: one of `ARCHITECTURES`. He initialisation from a generator of its own, derived from `seed` and `name`;
    biases 0. Dropout (p = 0.5) after every hidden fully connected ReLU. Raises ValueError for an unknown name.
    """
    network = _skeleton(name, channels).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(derive_seed(seed, name, "initialisation"))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)  # the faster layout for convolutions, same numbers


def parameter_count(model):
    """Number of trainable numbers in `model`."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def batch_input(images, device):
    """A batch as a network takes it, on `device`: uint8 images preprocessed, a copy of floats as they are."""
    images = torch.as_tensor(images).to(device)
    return images.clone() if images.is_floating_point() else data.preprocess(images)  # the network may work in place


def logits(model, images, *, batch_size=100, dtype=torch.float32):
    """Logits (n, classes), float32 on the model's device, in evaluation mode; puts training flags back.

    images: uint8 as for `data.preprocess`, or float as the network takes them; tensor or array. dtype: computed in,
    by autocast. batch_size: halved while the memory is too small, and printed.
    """
    device = next(model.parameters()).device

    def compute_all(size):
        batches = range(0, len(images), size)
        return torch.cat([model(batch_input(images[i : i + size], device)).float() for i in batches])

    with compute.evaluation(model), compute.autocast(device, dtype):
        return compute.with_less_memory(compute_all, batch_size)
