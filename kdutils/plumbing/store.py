"""A folder of verified files: a manifest records each file's SHA-256, and only what matches it is used."""

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .progress import say

# what to do about files that a partial clone left out
WHOLE = "`git sparse-checkout disable` where only a part was cloned, as on Colab"


def project_root():
    """The repository's root: the nearest folder with `notebooks` and `pyproject.toml`.

    Looks above the working directory first, then above this file. Returns the working directory if neither has one.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return here


def expanded(path):
    """`path` as a Path, with the home folder that a ~ at its beginning stands for; ValueError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{path}: there is no home folder for the ~; for a folder of that name write ./{path}"
        ) from None


def located(file):
    """The path of a file that is named from the working directory, or else from the repository's root."""
    path = expanded(file)
    return path if path.exists() else project_root() / path


def display_path(path):
    """`path` as messages show it: relative to the repository's root where it lies inside."""
    path, root = Path(path).resolve(), project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def sha256(content):
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def to_json(value):
    """`value` as the bytes of an indented JSON file."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def to_npz(arrays):
    """A dict of arrays as the bytes of a compressed NPZ file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def from_npz(content):
    """The dict of arrays in the bytes of an NPZ file; never unpickles."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def write_atomically(path, content):
    """Write bytes to a temporary file, then rename it: a reader of `path` finds the old or the new content whole.

    Raises an OSError of one line that names the path and the space needed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # machines may share the folder
    with named_in_errors(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_in_errors(path, size=0):
    """An OSError inside becomes one line: that `path` could not be written, and why."""
    try:
        yield
    except OSError as error:
        there = next(folder for folder in path.resolve().parents if folder.is_dir())
        free = shutil.disk_usage(there).free / 1e6
        why = f"{error.strerror or error}; {size / 1e6:.1f} MB needed, {free:.1f} MB free"
        message = f"cannot write {display_path(path)} ({why}). Mend that, then run the same command again to resume"
        raise type(error)(error.errno, message) from None


class Store:
    """The files of one folder, made with `settings`.

    settings: a dict that JSON holds, its nested dicts one level deep. defaults: values of the settings that older
    manifests lack. stamp: a function whose dict is added to each manifest. remedy: what a message about other settings
    advises. read_only: nothing is made or written.
    """

    def __init__(self, folder, settings, *, defaults, stamp, remedy, read_only=False):
        self.folder, self.settings, self.defaults, self.stamp = folder, settings, defaults, stamp
        self.remedy, self.read_only = remedy, read_only
        self._path = folder / "manifest.json"
        self._lock = FileLock(folder / ".lock")

    def manifest(self):
        """The manifest: the settings, "inputs", "outputs" {file: SHA-256}, "seconds", and what was stamped on it.

        Without a usable one: the settings, with those three empty. Changes nothing on disk.
        Raises ValueError if other settings made what is stored. A read-only store raises FileNotFoundError if the
        manifest is missing and ValueError if it is corrupt.
        """
        found = self.peek()
        if found is None:
            self._refuse_if_read_only(self._path, corrupt=self._path.exists())
            return self.empty()
        wanted = _flat(self.settings)
        stored = self.defaults | _flat({key: found[key] for key in self.settings if key in found})
        differs = [key for key, value in wanted.items() if stored.get(key) != value]
        if differs:
            self.refuse([f"{key} is {stored.get(key)!r}, asked for is {wanted[key]!r}" for key in differs])
        return found

    def empty(self):
        """The manifest of a folder in which nothing is stored yet."""
        return self.settings | {"inputs": {}, "outputs": {}, "seconds": {}}

    def refuse(self, differences):
        """Raise the ValueError that other settings made what is stored; differences: texts."""
        folder = display_path(self.folder)
        raise ValueError(f"{folder} was made with other settings: {'; '.join(differences)}. {self.remedy}")

    def peek(self):
        """The manifest, whatever made it; None if missing or corrupt. Does not judge another version's checksum."""
        try:
            found = json.loads(self._path.read_bytes())
            if found["results_version"] != self.settings["results_version"]:
                return found
            recorded = found.pop("sha256")
            return found if recorded == sha256(to_json(found)) else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _refuse_if_read_only(self, path, corrupt):
        if self.read_only:
            error, why = (ValueError, "corrupt") if corrupt else (FileNotFoundError, "missing")
            remedy = "make it with `make study` and `make results`, or `git checkout` it if it was committed"
            remedy += f" ({WHOLE})"
            raise error(f"{display_path(path)} is {why}: {remedy}")

    def read(self, file):
        """The bytes of `file` if their SHA-256 is the recorded one, else None."""
        recorded = self.manifest()["outputs"].get(file)
        path = self.folder / file
        if recorded is None or not path.is_file():
            return None
        content = path.read_bytes()
        return content if sha256(content) == recorded else None

    def get(self, file, make):
        """The verified bytes of `file`; if it is missing or corrupt, make() stores it first. Prints why it recomputes.

        One process makes a file, the others wait for it. A read-only store raises as `manifest` does.
        """
        content = self.read(file)
        if content is None:
            path = self.folder / file
            self._refuse_if_read_only(path, corrupt=path.exists() and file in self.manifest()["outputs"])
            with self.locked():
                if self.read(file) is None:  # another process may have made it meanwhile
                    self._print_why(file)
                    make()
            content = self.read(file)
        return content

    def _print_why(self, file):
        """Nothing about a file that was never made. A corrupt manifest is replaced by an empty one."""
        if self._path.exists() and self.peek() is None:
            say(f"{display_path(self._path)} is corrupt: recomputing {self.folder.name}")
            self.put({}, replace=True)
        elif file in self.manifest()["outputs"]:
            say(f"{display_path(self.folder / file)} is missing or corrupt: recomputing it")

    def put(self, contents, *, replace=False, **changes):
        """Write `contents` {file: bytes}, then the manifest with `changes` and their SHA-256s.

        replace: the manifest begins empty, whatever was stored.
        """
        manifest = (self.empty() if replace else self.manifest()) | changes
        for file, content in contents.items():
            write_atomically(self.folder / file, content)
            manifest["outputs"][file] = sha256(content)
        record = manifest | self.stamp()
        record["sha256"] = sha256(to_json(record))
        write_atomically(self._path, to_json(record))

    @contextlib.contextmanager
    def locked(self):
        """Hold the folder's lock, so that one process works in it; a crash releases it, too."""
        with named_in_errors(self.folder / ".lock"):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                say(f"another process is making {display_path(self.folder)}: waiting for it")
                self._lock.acquire()
        try:
            for left in self.folder.glob(".*.tmp"):  # temporary files of a killed process
                left.unlink()
            yield
        finally:
            self._lock.release()


def _flat(settings):
    """`settings` with the entries of nested dicts beside the others."""
    flat = {}
    for key, value in settings.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return flat
