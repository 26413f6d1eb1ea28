"""The teacher and the three students, recovered from their parameter counts (Amara & Clark 2020)."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn

from . import data
from .profiles import derive_seed

VGG_FEATURES = {  # output channels of the 3x3 convolutions; M: 2x2 max pooling
    "TN": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "SN2": "64 64 M 128 128 M",
}
VGG_FEATURES["SN3"] = VGG_FEATURES["TN"]
HIDDEN = {"TN": [512, 256, 256], "SN1": [3200, 1280], "SN2": [8192, 512, 512], "SN3": [512, 256, 256]}
ARCHITECTURES = ("TN", "SN1", "SN2", "SN3")


def _vgg(layers):
    modules, channels = [], 1
    for word in layers.split():
        if word == "M":
            modules.append(nn.MaxPool2d(2))
        else:
            modules += [nn.Conv2d(channels, int(word), 3, padding=1), nn.ReLU(inplace=True)]
            channels = int(word)
    return nn.Sequential(*modules)


def _lenet():
    """LeNet-5's geometry: 5x5 convolutions without padding, 32 -> 28 -> 14 -> 10 -> 5."""
    return nn.Sequential(
        *(nn.Conv2d(1, 48, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(48, 128, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
    )


def _classifier(sizes):
    modules = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], 10))


def build(name, seed=0):
    """An untrained network on the CPU: (n, 1, 32, 32) float images to (n, 10) logits.

    name: "TN", "SN1", "SN2" or "SN3". He initialisation from a generator of its own, derived from
    `seed` and `name`; biases 0. Dropout (p = 0.5) after every hidden fully connected ReLU.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}: known are {', '.join(ARCHITECTURES)}")
    generator = torch.Generator().manual_seed(derive_seed(seed, name, "initialisation"))
    with torch.device("meta"):  # no default initialisation, so the global generator is left alone
        features = _lenet() if name == "SN1" else _vgg(VGG_FEATURES[name])
        network = nn.Sequential(OrderedDict(features=features, classifier=_classifier(HIDDEN[name])))
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)  # the faster layout for convolutions, same numbers


def parameter_count(model):
    """Number of trainable numbers in `model`."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def batch_input(images, device):
    """A batch as a network takes it, on `device`: uint8 MNIST images preprocessed, floats as they are."""
    images = torch.as_tensor(images).to(device)
    return images.clone() if images.is_floating_point() else data.preprocess(images)  # the network may work in place


def logits(model, images, *, batch_size=100, dtype=torch.float32):
    """Logits (n, 10), float32 on the model's device, in evaluation mode; training flags are put back.

    images: uint8 (n, 1, 28, 28) or float (n, 1, 32, 32), tensor or array. dtype: computed in, by autocast.
    batch_size: halved, which is said, while the memory does not suffice.
    """
    device = next(model.parameters()).device
    training = {module: module.training for module in model.modules()}

    def compute(size):
        batches = range(0, len(images), size)
        return torch.cat([model(batch_input(images[i : i + size], device)).float() for i in batches])

    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            return with_less_memory(compute, batch_size)
    finally:
        for module, flag in training.items():
            module.training = flag


def with_less_memory(compute, batch_size):
    """compute(batch_size), with half the batch size as often as the memory does not suffice, down to 1."""
    while True:
        try:
            return compute(batch_size)
        except (RuntimeError, MemoryError) as error:
            if batch_size == 1 or not out_of_memory(error):
                raise
        batch_size //= 2
        print(f"not enough memory: goes on with batches of {batch_size} images", flush=True)


def out_of_memory(error):
    """Whether `error` says so, in the words of CUDA and MPS, the CPU's allocator, or oneDNN."""
    words = ("out of memory", "can't allocate memory", "could not create a memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
