"""What is on disk: one Run per profile and seed, its networks and predictions, loaded, gone on with, or made.

The only module that writes artefacts. torch is imported only to train, to load weights, or to predict.
"""

import ast
import contextlib
import datetime
import hashlib
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .data import load_mnist, project_root, split
from .profiles import check_seed, derive_seed, resolve

RESULTS_VERSION = 2  # raised when a change to the code changes results; older artefacts are then refused

NETWORKS = {  # name: (architecture, distilled from TN)
    "TN": ("TN", False),
    "KD-SN1": ("SN1", True),
    "KD-SN2": ("SN2", True),
    "SN2": ("SN2", False),
    "KD-SN3": ("SN3", True),
    "SN1": ("SN1", False),
    "SN3": ("SN3", False),
}
TABLE_1 = ("TN", "KD-SN1", "KD-SN2", "SN2", "KD-SN3")  # the networks of the paper's Table 1, in its order
SOFT = ("temperature", "soft_weight", "scale_by_temperature_squared", "mc_soft_targets")  # of distilled networks alone
LATER = {"mc_soft_targets": False, "base": ""}  # fields that a Profile did not always have, and what held then
DEVICES = ("auto", "cpu", "cuda", "mps")
PACKAGES = ("kdutils", "torch", "torchvision", "numpy", "matplotlib")  # whose versions a result records


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a trained network says about the n test images.

    labels (n,) int; mc_mean (n, 10), deterministic (n, 10): probabilities, with MC dropout and with dropout off;
    (n,): mc_variance of the predicted class over the passes, expected_entropy (nats) and expected_max of a pass.
    """

    labels: np.ndarray
    mc_mean: np.ndarray
    deterministic: np.ndarray
    mc_variance: np.ndarray
    expected_entropy: np.ndarray
    expected_max: np.ndarray

    @property
    def confidence(self):
        """Largest probability (n,) of the MC mean: the confidence that ECE and MUPE are about."""
        return self.mc_mean.max(1)

    @property
    def correct(self):
        """Whether the MC mean's class is the label, bool (n,)."""
        return self.mc_mean.argmax(1) == self.labels

    @property
    def mc_sd(self):
        """Standard deviation (n,) of the predicted class's probability over the passes: the model uncertainty."""
        return np.sqrt(self.mc_variance)

    @property
    def deterministic_confidence(self):
        """Largest probability (n,) with dropout off."""
        return self.deterministic.max(1)

    @property
    def deterministic_correct(self):
        """Whether the class with dropout off is the label, bool (n,)."""
        return self.deterministic.argmax(1) == self.labels


class Run:
    """One experiment: the networks of `profile` for one `seed`, under `root`/<profile>/seed-<seed>/<network>/.

    profile: a name or a Profile. root: a folder, by default `runs` in the repository's root. device: "auto",
    "cpu", "cuda" or "mps". data: MNIST's folder, as for `data.load_mnist`. read_only: never trains, but says
    what is missing. ValueError for anything else; FileNotFoundError for what a read-only run does not have.

    What is stored is used only if its sha256 is the recorded one; else it is made again, and that is said (by a
    read-only run: ValueError). Of several processes one makes a thing, and the others wait for it.
    """

    def __init__(self, profile, seed=0, root=None, *, device="auto", data=None, read_only=False):
        self.profile = resolve(profile)
        self.seed = check_seed(seed)
        self.root = Path(root) if root else project_root() / "runs"
        if device not in DEVICES:
            raise ValueError(f"unknown device {device!r}: known are {', '.join(DEVICES)}")
        self._device, self._data, self.read_only = device, data, read_only
        self.folder = self.root / self.profile.name / f"seed-{self.seed}"
        self.output = self.root / self.profile.name  # where notebooks leave tables, figures, and their proof
        self.opened = time.perf_counter()
        self._locks = {}
        self._base = None
        if self.profile.base:
            self._base = Run(self.profile.base, seed, root, device=device, data=data, read_only=read_only)

    def _owner(self, name):
        """The Run that has a network: the base's, for a variant's teacher and what its choice leaves as it is."""
        if name not in NETWORKS:
            raise ValueError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}")
        if self._base is None:
            return self
        mine, theirs = asdict(self.profile), asdict(self._base.profile)
        same = all(mine[key] == theirs[key] for key in mine if key not in ("name", "base", *SOFT))
        return self._base._owner(name) if name == "TN" or (same and not NETWORKS[name][1]) else self

    @cached_property
    def device(self):
        """The torch.device: for "auto" CUDA, else MPS, else the CPU. ValueError if the asked-for one is not there."""
        import torch

        found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        available = [name for name, there in found.items() if there]
        if self._device not in ("auto", *available):
            raise ValueError(f"device {self._device!r} is not available here: available are {', '.join(available)}")
        torch.set_num_threads(min(torch.get_num_threads(), available_threads()))
        return torch.device(available[0] if self._device == "auto" else self._device)

    @cached_property
    def parts(self):
        """{"train", "validation", "test"}: the `data.Part`s of this profile."""
        return split(load_mnist(self._data), self.profile)

    def network(self, name):
        """The trained network, in evaluation mode: loaded, or trained (gone on with) and stored.

        name: one of `NETWORKS`. Trains the teacher first where a distilled network needs it.
        """
        from . import models

        weights = self._stored(name, "weights.safetensors")
        model = models.build(NETWORKS[name][0], self.seed).to(self.device)
        model.load_state_dict(from_safetensors(weights))
        return model.eval()

    def soft_targets(self):
        """The teacher's logits (n, 10), float32, on the training images, in their order.

        For a profile with mc_soft_targets: the logarithms of its MC mean.
        """
        file = "mc_soft_targets.npz" if self.profile.mc_soft_targets else "soft_targets.npz"
        return _from_npz(self._stored("TN", file))["logits"]

    def history(self, name):
        """{"epochs": [{"epoch", "loss", "validation_accuracy"}, …], "train_accuracy", "validation_accuracy",
        "test_accuracy"}: by epoch, and at the end with dropout off; the test accuracy once predictions are made.
        """
        return json.loads(self._stored(name, "history.json"))

    def predictions(self, name):
        """The network's Predictions on the test images: loaded, or made and stored."""
        arrays = _from_npz(self._stored(name, "predictions.npz"))
        for key in ("mc_mean", "deterministic"):
            probabilities = np.exp(arrays[key].astype(float))
            arrays[key] = probabilities / probabilities.sum(1, keepdims=True)
        return Predictions(**arrays | {"labels": arrays["labels"].astype(int)})

    def has(self, name):
        """Whether predictions of the network are stored already."""
        path = self._owner(name).folder / name / "manifest.json"
        return path.exists() and "predictions.npz" in self.manifest(name)["outputs"]

    def manifest(self, name):
        """The network's manifest; one without inputs and outputs if nothing is stored yet.

        ValueError if what is stored was made with other settings, or by code whose results differ.
        """
        if (owner := self._owner(name)) is not self:
            return owner.manifest(name)
        asked = {"network": name, "profile": asdict(self.profile), "seed": self.seed}
        asked["results_version"] = RESULTS_VERSION
        path = self.folder / name / "manifest.json"
        nothing = asked | {"inputs": {}, "outputs": {}, "seconds": {}}
        if not path.exists():
            self._refuse_if_read_only(path)
            return nothing
        found = _parse_manifest(path.read_bytes())
        if found is None:
            self._refuse_if_read_only(path, "damaged")
            print(f"{shown(path)} is damaged: {name} is made again", flush=True)
            path.unlink(missing_ok=True)
            return nothing
        wanted, stored = asked | asked["profile"], LATER | found | found.get("profile", {})
        differs = [key for key in wanted if key != "profile" and stored.get(key) != wanted[key]]
        if differs:
            raise ValueError(
                f"{shown(path.parent)} was made with other settings: "
                + "; ".join(f"{key} is {stored.get(key)!r}, asked for is {wanted[key]!r}" for key in differs)
                + ". Delete that folder, or give the profile another name."
            )
        teacher = self._owner("TN").folder / "TN" / "manifest.json"
        if name != "TN" and "teacher" in found["inputs"] and teacher.exists():
            weights = self.manifest("TN")["outputs"].get("weights.safetensors")
            if weights not in (None, found["inputs"]["teacher"]):
                raise ValueError(f"{shown(path.parent)} was distilled from another TN: delete that folder")
        return found

    def _refuse_if_read_only(self, path, why="missing"):
        if self.read_only:
            error = FileNotFoundError if why == "missing" else ValueError
            remedy = "make it with `make study` and `make results`, or `git checkout` it if it was committed"
            raise error(f"{shown(path)} is {why}: {remedy}")

    def _verified(self, name, file):
        """The bytes of a stored file if their sha256 is the recorded one, else None."""
        recorded = self.manifest(name)["outputs"].get(file)
        path = self.folder / name / file
        if recorded is None or not path.is_file():
            return None
        content = path.read_bytes()
        # history.json's test accuracy may have come in just before the manifest was to be written
        known = (content, _without_test(content)) if file == "history.json" else (content,)
        return content if recorded in map(_sha256, known) else None

    def _stored(self, name, file):
        """The verified bytes of a stored file; it is made first if it is missing or damaged."""
        if (owner := self._owner(name)) is not self:
            return owner._stored(name, file)
        content = self._verified(name, file)
        if content is None:
            path = self.folder / name / file
            recorded = file in self.manifest(name)["outputs"]
            self._refuse_if_read_only(path, "damaged" if recorded and path.exists() else "missing")
            with self._alone(name):
                if self._verified(name, file) is None:  # nor has another process made it meanwhile
                    if recorded:
                        print(f"{shown(path)} is missing or damaged: it is made again", flush=True)
                    self._make(name, file)
            content = self._verified(name, file)
        return content

    @contextlib.contextmanager
    def _alone(self, name):
        """Hold the network's lock, so that one process works in its folder; it is released by a crash, too."""
        path = self.folder / name / ".lock"
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._locks.setdefault(name, FileLock(path))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                print(f"another process is making {shown(path.parent)}: waiting for it", flush=True)
                lock.acquire()
        try:
            for left in path.parent.glob(".*.tmp"):  # by a process that was killed
                left.unlink()
            yield
        finally:
            lock.release()

    def _store(self, name, manifest, contents, seconds):
        """Write `contents` {file: bytes}, then the manifest that records them."""
        for file, content in contents.items():
            write_atomically(self.folder / name / file, content)
            manifest["outputs"][file] = _sha256(content)
        manifest["seconds"] |= {stage: round(value, 1) for stage, value in seconds.items()}
        record = manifest | provenance()
        record["sha256"] = _sha256(to_json(record))
        write_atomically(self.folder / name / "manifest.json", to_json(record))

    def _make(self, name, file):
        if file == "predictions.npz":
            self._predict(name)
        elif file.endswith("soft_targets.npz"):
            self._make_soft_targets(name, file)
        else:
            self._train(name)

    def _make_soft_targets(self, name, file):
        """From the teacher's weights; training the teacher makes those with dropout off, too."""
        from . import distillation, mc_dropout

        model, images = self.network(name), self.parts["train"].images
        if self._verified(name, file) is not None:
            return
        if file == "soft_targets.npz":
            logits = distillation.soft_targets(model, images).cpu().numpy()
        else:
            seed = derive_seed(self.seed, name, "soft_targets")
            mean = mc_dropout.predict(model, images, passes=self.profile.mc_passes, seed=seed).mean
            logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
        self._store(name, self.manifest(name), {file: _to_npz({"logits": logits})}, {})

    def _train(self, name):
        from . import distillation, models, training

        architecture, distilled = NETWORKS[name]
        inputs = {part: _sha256(p.images.tobytes() + p.labels.tobytes()) for part, p in self.parts.items()}
        teacher_logits = self.soft_targets() if distilled else None
        if distilled:
            inputs["teacher"] = self.manifest("TN")["outputs"]["weights.safetensors"]
        manifest, folder = self.manifest(name), self.folder / name
        if manifest["inputs"] not in ({}, inputs):
            raise ValueError(f"{shown(folder)} was begun with other data or another teacher: delete that folder")
        manifest |= {"inputs": inputs, "outputs": {}, "seconds": {}}
        self._store(name, manifest, {}, {})

        model = models.build(architecture, self.seed).to(self.device)
        checkpoint = folder / "checkpoint.safetensors"
        train, validation = self.parts["train"], self.parts["validation"]
        settings = {"seed": self.seed, "name": name, "teacher_logits": teacher_logits, "checkpoint": checkpoint}
        settings["made_for"] = {
            key: manifest[key] for key in ("network", "profile", "seed", "results_version", "inputs")
        }
        with _stoppable(f"{name} stopped; give the same command again, and it goes on from the last finished epoch"):
            epochs, seconds = training.train(model, train, validation, self.profile, **settings)
        started = time.perf_counter()
        train_logits = distillation.soft_targets(model, train.images)
        history = {
            "epochs": epochs,
            "train_accuracy": training.accuracy(train_logits, train.labels),
            "validation_accuracy": training.accuracy(models.logits(model, validation.images), validation.labels),
        }
        contents = {"weights.safetensors": to_safetensors(model.state_dict()), "history.json": to_json(history)}
        if name == "TN":
            contents["soft_targets.npz"] = _to_npz({"logits": train_logits.cpu().numpy()})
        manifest["device"] = self.device.type
        manifest["training_precision"] = str(training.precision(self.device)).removeprefix("torch.")
        self._store(name, manifest, contents, {"training": seconds, "evaluation": time.perf_counter() - started})
        checkpoint.unlink(missing_ok=True)

    def _predict(self, name):
        from . import mc_dropout

        model, test, passes = self.network(name), self.parts["test"], self.profile.mc_passes
        started = time.perf_counter()
        seed = derive_seed(self.seed, name, "mc_dropout")  # masks independent of the other networks'
        with _stoppable(f"{name}'s prediction stopped; give the same command again, and it is made anew"):
            mc = mc_dropout.predict(model, test.images, passes=passes, seed=seed)
        seconds = time.perf_counter() - started
        with np.errstate(divide="ignore"):  # log 0 = -inf, which comes back as 0
            mean, deterministic = (np.log(p).astype(np.float16) for p in (mc.mean, mc.deterministic))
        arrays = {
            "labels": test.labels,
            "mc_mean": mean,
            "deterministic": deterministic,
            "mc_variance": mc.variance[np.arange(len(test)), mc.predicted].astype(np.float32),
            "expected_entropy": mc.expected_entropy.astype(np.float32),
            "expected_max": mc.expected_max.astype(np.float32),
        }
        accuracy = float((deterministic.argmax(1) == test.labels).mean())
        history = self.history(name) | {"test_accuracy": accuracy}
        contents = {"predictions.npz": _to_npz(arrays), "history.json": to_json(history)}
        self._store(name, self.manifest(name), contents, {"prediction": seconds})
        print(f"{name}: {len(test):,} test images, {passes} passes, {seconds:.0f} s", flush=True)


def _parse_manifest(content):
    """A manifest's dict; None if it is not as it was written. One of another version is not judged here."""
    try:
        found = json.loads(content)
        if found["results_version"] != RESULTS_VERSION:
            return found
        recorded = found.pop("sha256")
        return found if recorded == _sha256(to_json(found)) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _without_test(content):
    """history.json's content as it was before the test accuracy came in; as it is if it is no JSON object."""
    try:
        return to_json({key: value for key, value in json.loads(content).items() if key != "test_accuracy"})
    except (ValueError, AttributeError):
        return content


def shown(path):
    """`path` as a user may see it: relative to the repository's root where it lies in it."""
    path, root = Path(path).resolve(), project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def to_json(value):
    """`value` as the bytes of an indented JSON file."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _to_npz(arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _from_npz(content):
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def to_safetensors(tensors):
    """A dict of tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    return save({key: value.cpu().contiguous() for key, value in tensors.items()})


def from_safetensors(content):
    """The dict of tensors in the bytes of a safetensors file, on the CPU."""
    from safetensors.torch import load

    return load(content)


def write_atomically(path, content):
    """Write bytes under another name, then rename: whoever reads `path` finds the old or the new content whole.

    OSError in one line, naming the path and the room that it takes, if that cannot be done.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _explained(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path, size=0):
    """Says in one line what could not be written, and why."""
    try:
        yield
    except OSError as error:
        there = next(folder for folder in path.resolve().parents if folder.is_dir())
        free = shutil.disk_usage(there).free / 1e6
        why = f"{error.strerror or error}; {size / 1e6:.1f} MB needed, {free:.1f} MB free"
        told = f"cannot write {shown(path)} ({why}). Mend that and run again: it goes on from there"
        raise type(error)(error.errno, told) from None


class Stopped(KeyboardInterrupt):
    """An interruption of which all has been said. Jupyter shows its name alone, without a traceback."""

    def _render_traceback_(self):
        return ["KeyboardInterrupt"]


@contextlib.contextmanager
def _stoppable(told):
    """A SIGTERM stops as Ctrl-C does; `told` is printed, the KeyboardInterrupt goes on as Stopped."""

    def stop(*_):
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{told}", flush=True)
        raise Stopped from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def available_threads(quota=Path("/sys/fs/cgroup/cpu.max")):
    """Processors that this process may use: of the machine's, its container's `quota` and Slurm's, the fewest."""
    granted = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]
    with contextlib.suppress(OSError, ValueError):  # no such container; "max": no limit
        share, period = quota.read_text().split()
        granted.append(-(-int(share) // int(period)))
    with contextlib.suppress(KeyError, ValueError):
        granted.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(granted))


def in_a_notebook_page():
    """Whether this is the kernel of a notebook that somebody looks at, in Jupyter or Colab, not a headless run."""
    return "JPY_SESSION_NAME" in os.environ or "COLAB_RELEASE_TAG" in os.environ


def provenance():
    """Where a result comes from: {"made", "commit", "versions", "hardware"}, without names or paths of the machine.

    The commit ends in "+" if kdutils differs from it, and is None outside a repository.
    """
    git = ["git", "-C", str(project_root())]
    commit = _output(*git, "rev-parse", "HEAD")
    if commit and _output(*git, "status", "--porcelain", "kdutils"):
        commit += "+"
    processor = re.search(r"model name\s*: (.+)", _output("cat", "/proc/cpuinfo") or "")
    hardware = {"system": platform.system(), "processor": processor[1] if processor else platform.processor()}
    if torch := sys.modules.get("torch"):
        hardware["threads"] = torch.get_num_threads()
        hardware |= {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "hardware": hardware | {"cores": os.cpu_count()},
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command):
    """What `command` prints, stripped; None if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def parse_seeds(seeds):
    """Whole numbers from 0, a list of them, or text such as "0-9" or "0,2,5-7", as a sorted list; else ValueError."""
    if isinstance(seeds, str) and re.fullmatch(r" *\d+(-\d+)? *(, *\d+(-\d+)? *)*", seeds):
        ranges = [[int(end) for end in part.split("-")] for part in seeds.split(",")]
        if sum(ends[-1] - ends[0] for ends in ranges) > 10_000:
            raise ValueError(f"seeds must be at most 10,000, got {seeds!r}")
        seeds = [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)] or seeds
    listed = seeds if isinstance(seeds, list) else [seeds]
    if not listed or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in listed):
        raise ValueError(f'seeds must be like 0, "0,1,2" or "0-9", got {seeds!r}')
    return sorted({check_seed(seed) for seed in listed})


class SettingsError(ValueError):
    """A setting that is not accepted. Jupyter and papermill show its message alone, without a traceback."""

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


def from_parameters(*, profile, seed, device, runs, data, seeds=None, source=None, controls=None):
    """The Runs that a notebook's parameters ask for, one a seed, after checking and printing them.

    $KDUTILS_PROFILE overrides `profile`; "auto" is what suits the device (`profile_for`). runs, data: folders, "" for
    the usual ones. seeds: as for `parse_seeds`, "" for all committed ones, or for `seed` alone among the user's own.
    source: "results" reads the committed predictions, "runs" the user's own, trained if missing. controls: whether
    SN1 and SN3 are wanted, too.
    SettingsError also for a parameter that papermill injected and the notebook does not have.
    """
    try:
        return _opened(profile, seed, device, runs, data, seeds, source, controls)
    except ValueError as error:
        raise SettingsError(error) from None


def profile_for(device):
    """The name of the profile that suits a device: "paper" for a GPU, else "quick". device: as for Run."""
    return "paper" if Run("quick", device=device).device.type == "cuda" else "quick"


def _opened(profile, seed, device, runs, data, seeds, source, controls):
    given = {"profile": profile, "seed": seed, "device": device, "runs": runs, "data": data}
    more = {"seeds": seeds, "source": source, "controls": controls}
    given |= {key: value for key, value in more.items() if value is not None}
    if unknown := _injected() - set(given):
        raise ValueError(f"unknown parameter {', '.join(sorted(unknown))}: known are {', '.join(given)}")
    if source not in (None, "results", "runs"):
        raise ValueError(f"unknown source {source!r}: known are results, runs")
    if not isinstance(controls, bool | None):
        raise ValueError(f"controls must be True or False, got {controls!r}")
    for name in ("runs", "data"):
        if not isinstance(given[name], str):
            raise ValueError(f"{name} must be a folder's path or an empty string, got {given[name]!r}")
    profile = os.environ.get("KDUTILS_PROFILE") or profile
    committed = source == "results"
    profile = resolve(profile_for(device) if profile == "auto" and not committed else profile)
    runs = Path(runs) if runs else project_root() / "runs"
    root = project_root() / "results" if committed else runs
    if seeds in (None, ""):
        kept = sorted(int(path.name[5:]) for path in (root / profile.name).glob("seed-*")) if committed else []
        seeds = kept or [check_seed(seed)]
    numbers = parse_seeds(seeds)
    opened = [Run(profile, number, root, device=device, data=data, read_only=committed) for number in numbers]
    if device not in ("auto", "cpu"):
        _ = opened[0].device  # refused now rather than after the data
    for run in opened:
        run.output = runs / ("reference" if committed else "") / profile.name
    print(
        f"profile {profile.name}: {profile.train_images:,} training, {profile.validation_images:,} validation, "
        f"{profile.test_images:,} test images, {profile.epochs} epochs, {profile.mc_passes} passes\n"
        f"seeds {', '.join(map(str, numbers))}, networks and predictions in {shown(root)}"
    )
    return opened


def _injected():
    """The names that papermill assigned in its injected cell; none outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = [cell for cell in (shell.user_ns["In"] if shell else []) if cell.startswith("# Parameters\n")]
    assigned = [node for cell in cells for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
    return {target.id for node in assigned for target in node.targets}


def finish(notebook, run):
    """Print where a notebook's results come from, and leave <notebook>.json: the proof that it ran to its end."""
    record = {"notebook": notebook, "seconds": round(time.perf_counter() - run.opened, 1)} | provenance()
    write_atomically(run.output / "notebooks" / f"{notebook}.json", to_json(record))
    origin = f"commit {record['commit']}" if record["commit"] else "outside a repository"
    print(f"{record['seconds']:.0f} s on {record['made']}, {origin}")
    for part in ("versions", "hardware"):
        print(", ".join(f"{key} {value}" for key, value in record[part].items()))
