"""MNIST as arrays, split into parts; images stay uint8 until a batch is preprocessed."""

import os
import zipfile
from dataclasses import dataclass

import numpy as np

from .plumbing import fetch
from .plumbing.store import expanded, from_npz, located, project_root

FILES = fetch.MNIST.files  # {name: MD5}
MEAN, STANDARD_DEVIATION = 0.1307, 0.3081  # of the 28x28 training pixels in [0, 1]
SIDE = 32  # of the images that networks take
TRAIN_PART = 50_000  # of the 60,000 training images; the last 10,000 are for validation


@dataclass(frozen=True, eq=False)
class MNIST:
    """uint8 arrays: train_images (60000, 1, 28, 28), train_labels (60000,), test_images (10000, 1, 28, 28),
    test_labels (10000,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the data, uint8: images (n, channels, height, width), for MNIST (n, 1, 28, 28), and labels (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


def default_root():
    """The data's folder unless another is given: $KDUTILS_DATA, else `data` in the repository's root."""
    return expanded(os.environ.get("KDUTILS_DATA") or project_root() / "data")


def load_mnist(root=None):
    """MNIST from the four raw IDX files in `root`, fetched first if any is missing.

    root: a folder, by default `default_root()`. Verifies each file's MD5. Raises ValueError naming a file that is
    corrupt or Fashion-MNIST's; in `data` of the project's repository, fetches a corrupt one again instead, and prints
    that. Raises FileNotFoundError if a file is missing and no source answers: it says what was tried, and what to put
    where.
    """
    return _load(fetch.MNIST, root or default_root())


def load_fashion_mnist(root=None):
    """Fashion-MNIST (Xiao et al. 2017) as an `MNIST`, by default in the folder `fashion-mnist` of `default_root()`.

    Ten kinds of clothes in MNIST's sizes. Fetches, verifies and raises as `load_mnist` does.
    """
    return _load(fetch.FASHION_MNIST, root or default_root() / "fashion-mnist")


def _load(collection, root):
    root = expanded(root)
    raw = fetch.raw_files(collection, root, _is_ours(root))
    images, labels = {"offset": 16, "dtype": np.uint8}, {"offset": 8, "dtype": np.uint8}
    found = [
        np.frombuffer(bytearray(raw[name]), **(images if "images" in name else labels)) for name in collection.files
    ]
    return MNIST(*(array if i % 2 else array.reshape(-1, 1, 28, 28) for i, array in enumerate(found)))


def _is_ours(folder):
    """Whether a folder is `data`, or lies in it, in the project's repository: no other files are replaced."""
    root = project_root()
    project = root / "pyproject.toml"
    ours = project.is_file() and b'name = "kdutils"' in project.read_bytes()
    return ours and folder.resolve().is_relative_to(root.resolve() / "data")


def load_parts(kind, profile, root=None):
    """The parts of a profile's data, as `split` gives them. root: the folder of the MNIST or Fashion-MNIST files.

    kind: "mnist", "fashion_mnist", or the path of an NPZ file, seen from the working directory or from the repository's
    root. It holds train_images, validation_images, test_images, and train_labels, validation_labels, test_labels, as
    `check_parts` takes them. Raises ValueError for others.
    """
    if not kind.endswith(".npz"):
        return split({"mnist": load_mnist, "fashion_mnist": load_fashion_mnist}[kind](root), profile)
    try:
        arrays, names = from_npz(located(kind).read_bytes()), ("train", "validation", "test")
        parts = {name: Part(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in names}
        parts = check_parts(parts, profile)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"data {kind}: {getattr(error, 'strerror', None) or error}") from None
    return {
        name: Part(part.images, part.labels.astype(np.min_scalar_type(part.labels.max())))
        for name, part in parts.items()
    }


def split(mnist, profile):
    """The parts that `profile` asks for: {"train": Part, "validation": Part, "test": Part}.

    The split is the same for every seed: the first 50,000 training images train, the last 10,000 validate.
    A smaller number takes the first n/10 images of each class, so that all classes are equally frequent.
    Raises ValueError unless it is a multiple of 10 that every class can fill.
    """
    parts = {
        "train": Part(mnist.train_images[:TRAIN_PART], mnist.train_labels[:TRAIN_PART]),
        "validation": Part(mnist.train_images[TRAIN_PART:], mnist.train_labels[TRAIN_PART:]),
        "test": Part(mnist.test_images, mnist.test_labels),
    }
    sizes = {name: f"{name}_images" for name in parts}
    return {name: _balanced(sizes[name], part, getattr(profile, sizes[name])) for name, part in parts.items()}


def _balanced(name, part, size):
    if size == len(part):
        return part
    largest = 10 * int(np.bincount(part.labels, minlength=10).min())
    if size % 10 or not 0 < size <= largest:
        raise ValueError(f"{name} must be {len(part)} or a multiple of 10 up to {largest}, got {size}")
    keep = np.sort(np.concatenate([np.flatnonzero(part.labels == digit)[: size // 10] for digit in range(10)]))
    return Part(part.images[keep], part.labels[keep])


def check_parts(parts, profile):
    """{name: Part} of other data as arrays, if they fit the profile and each other; else ValueError.

    Images as `preprocess` takes them, as many as the profile says, with the same channels in each part. Labels (n,) are
    whole numbers from 0; those of the train part say how many classes there are.
    """
    sizes = {name: getattr(profile, f"{name}_images") for name in ("train", "validation", "test")}
    found = {name: len(part) for name, part in parts.items()}
    if found != sizes:
        raise ValueError(f"parts must hold as many images as the profile says, {sizes}, got {found}")
    parts = {name: _checked(name, np.asarray(part.images), np.asarray(part.labels)) for name, part in parts.items()}
    channels = {name: part.images.shape[1] for name, part in parts.items()}
    largest = {name: int(part.labels.max()) for name, part in parts.items()}
    if len(set(channels.values())) > 1:
        raise ValueError(f"images must have the same number of channels in all parts, got {channels}")
    if not 0 < largest["train"] == max(largest.values()):
        raise ValueError(f"the train part must have two classes or more, and all of the others', got up to {largest}")
    return parts


def _checked(name, images, labels):
    """The Part of these arrays; ValueError, naming the part, unless they are uint8 images and their labels."""
    if images.dtype != np.uint8 or images.ndim != 4 or max(images.shape[2:]) > SIDE:
        raise ValueError(
            f"images of {name} must be uint8 (n, channels, height, width) with sides of at most {SIDE}, "
            f"got {images.dtype} {images.shape}; of floats x from 0 to 1, (255 * x).round().astype(np.uint8)"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"labels of {name} must be ({len(images)},) whole numbers from 0, got {labels.dtype} {labels.shape}: "
            f"{labels.ravel()[:3]}, …"
        )
    return Part(np.ascontiguousarray(images), labels.astype(labels.dtype.newbyteorder("=")))


def sizes(part):
    """{"channels", "classes"} of a Part's images and labels: a class is a number up to the largest label."""
    return {"channels": part.images.shape[1], "classes": int(part.labels.max()) + 1}


def preprocess(images):
    """uint8 images (n, channels, height, width), tensor or array, to a float32 tensor (n, channels, 32, 32).

    Zero-padded to 32 pixels on each side, equally on both sides (an odd pixel goes to the right or the bottom), then
    scaled to [0, 1] and normalised with MNIST's mean and deviation; on the images' device. Raises ValueError for
    another dtype, another number of dimensions, or a side above 32 pixels.
    """
    import torch

    from .plumbing.compute import as_tensor

    images = as_tensor("images", images)
    if images.dtype != torch.uint8 or images.ndim != 4 or max(images.shape[2:]) > SIDE:
        raise ValueError(
            f"images must be uint8 (n, channels, height, width) with sides of at most {SIDE}, "
            f"got {images.dtype} {tuple(images.shape)}; give others as the floats that your network takes"
        )
    left, top = ((SIDE - side) // 2 for side in (images.shape[3], images.shape[2]))
    right, bottom = SIDE - images.shape[3] - left, SIDE - images.shape[2] - top
    padded = torch.nn.functional.pad(images, (left, right, top, bottom)).float()
    return padded.div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)
