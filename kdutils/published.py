"""What is committed of a trained network, so that a class need not train: its part behind the cut, in 16 bits.

A pass with dropout needs the stochastic part and the features that enter it. Both are small for a few hundred images.
"""

import numpy as np
import torch
from torch import nn

from . import data, mc_dropout, models
from .plumbing import compute
from .plumbing.checkpoint import to_safetensors


class Remembered(nn.Module):
    """What comes before the first dropout, as a table: the features (n, h) of n uint8 images, found by their pixels.

    Takes any of these images as `data.preprocess` gives them; raises ValueError for another.
    """

    def __init__(self, images, features):
        super().__init__()
        self.rows = {key: row for row, key in enumerate(_keys(data.preprocess(images)))}
        self.register_buffer("features", features)

    def forward(self, x):
        found = [self.rows.get(key) for key in _keys(x)]
        if None in found:
            raise ValueError(
                f"the features of image {found.index(None)} are not among the {len(self.rows)} committed ones: "
                "choose another image, or train the network (source = 'runs')"
            )
        return self.features[found]


def _keys(x):
    """The pixels of preprocessed images (n, channels, 32, 32), each image's as bytes."""
    pixels = (x.cpu() * data.STANDARD_DEVIATION + data.MEAN) * 255
    return [image.tobytes() for image in pixels.round().to(torch.uint8).numpy()]


def pack(model, images, rows):
    """The stochastic part of `model`, and the features of images[rows], as the bytes of a safetensors file."""
    deterministic, stochastic = mc_dropout.split(model)
    device, _ = models.check_images(model, images)
    with compute.evaluation(model):
        features = deterministic(models.batch_input(images[rows], device))
    tensors = {f"stochastic.{key}": value.half() for key, value in stochastic.state_dict().items()}
    return to_safetensors(tensors | {"features": features.half(), "rows": torch.as_tensor(np.asarray(rows))})


def unpack(tensors, model, images):
    """The network of the tensors in a file of `pack`, in evaluation mode: before its cut it is `Remembered`.

    tensors: a dict. model: an untrained network of the same architecture. images: as for `pack`.
    """
    _, stochastic = mc_dropout.split(model)
    own = {key: value.float() for key, value in tensors.items() if key.startswith("stochastic.")}
    nn.ModuleDict({"stochastic": stochastic}).load_state_dict(own)
    device, _ = models.check_images(model, images)
    front = Remembered(images[tensors["rows"].numpy()], tensors["features"].float())
    return nn.Sequential(front.to(device), *stochastic).eval()
