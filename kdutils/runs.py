"""What is on disk: one Run per profile and seed, its networks and predictions, loaded, gone on with, or made.

The only module that writes artefacts. torch is imported only to train, to load weights, or to predict.
"""

import ast
import datetime
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

import numpy as np

from .data import load_mnist, project_root, split
from .profiles import derive_seed, resolve, whole_number

RESULTS_VERSION = 1  # raised when a change to the code changes results; older artefacts are then refused

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
    """

    def __init__(self, profile, seed=0, root=None, *, device="auto", data=None, read_only=False):
        self.profile = resolve(profile)
        self.seed = whole_number("seed", seed, minimum=0)
        self.root = Path(root) if root else project_root() / "runs"
        if device not in DEVICES:
            raise ValueError(f"unknown device {device!r}: known are {', '.join(DEVICES)}")
        self._device, self._data, self.read_only = device, data, read_only
        self.folder = self.root / self.profile.name / f"seed-{self.seed}"
        self.output = self.root / self.profile.name  # where notebooks leave tables, figures, and their proof
        self.opened = time.perf_counter()

    @cached_property
    def device(self):
        """The torch.device: for "auto" CUDA, else MPS, else the CPU. ValueError if the asked-for one is not there."""
        import torch

        found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        available = [name for name, there in found.items() if there]
        if self._device not in ("auto", *available):
            raise ValueError(f"device {self._device!r} is not available here: available are {', '.join(available)}")
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

        if "weights.safetensors" not in self.manifest(name)["outputs"]:
            return self._train(name)
        model = models.build(NETWORKS[name][0], self.seed).to(self.device)
        model.load_state_dict(from_safetensors(self._read(name, "weights.safetensors")))
        return model.eval()

    def soft_targets(self):
        """The teacher's logits (n, 10), float32, on the training images, in their order."""
        if "soft_targets.npz" not in self.manifest("TN")["outputs"]:
            self.network("TN")
        return _from_npz(self._read("TN", "soft_targets.npz"))["logits"]

    def history(self, name):
        """{"epochs": [{"epoch", "loss", "validation_accuracy"}, …], "train_accuracy", "validation_accuracy",
        "test_accuracy"}: by epoch, and at the end with dropout off; the test accuracy once predictions are made.
        """
        if "history.json" not in self.manifest(name)["outputs"]:
            self.network(name)
        return json.loads(self._read(name, "history.json"))

    def predictions(self, name):
        """The network's Predictions on the test images: loaded, or made and stored."""
        if "predictions.npz" not in self.manifest(name)["outputs"]:
            self._predict(name)
        arrays = _from_npz(self._read(name, "predictions.npz"))
        for key in ("mc_mean", "deterministic"):
            probabilities = np.exp(arrays[key].astype(float))
            arrays[key] = probabilities / probabilities.sum(1, keepdims=True)
        return Predictions(**arrays | {"labels": arrays["labels"].astype(int)})

    def manifest(self, name):
        """The network's manifest; one without inputs and outputs if nothing is stored yet.

        ValueError if what is stored was made with other settings, or by code whose results differ.
        """
        if name not in NETWORKS:
            raise ValueError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}")
        asked = {"network": name, "profile": asdict(self.profile), "seed": self.seed}
        asked["results_version"] = RESULTS_VERSION
        path = self.folder / name / "manifest.json"
        if not path.exists():
            self._refuse_if_read_only(path)
            return asked | {"inputs": {}, "outputs": {}, "seconds": {}}
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{shown(path)} is damaged ({error}): delete {shown(path.parent)}") from error
        wanted, stored = asked | asked["profile"], found | found.get("profile", {})
        differs = [key for key in wanted if key != "profile" and stored.get(key) != wanted[key]]
        if differs:
            raise ValueError(
                f"{shown(path.parent)} was made with other settings: "
                + "; ".join(f"{key} is {stored.get(key)!r}, asked for is {wanted[key]!r}" for key in differs)
                + ". Delete that folder, or give the profile another name."
            )
        if name != "TN" and "teacher" in found["inputs"] and (self.folder / "TN" / "manifest.json").exists():
            weights = self.manifest("TN")["outputs"].get("weights.safetensors")
            if weights not in (None, found["inputs"]["teacher"]):
                raise ValueError(f"{shown(path.parent)} was distilled from another TN: delete that folder")
        return found

    def _refuse_if_read_only(self, path):
        if self.read_only:
            raise FileNotFoundError(f"{shown(path)} is missing: make it with `make study` and `make results`")

    def _read(self, name, file):
        """The bytes of a stored file, whose sha256 is the recorded one; ValueError names the file if it is not."""
        path, recorded = self.folder / name / file, self.manifest(name)["outputs"][file]
        if not path.exists():
            self._refuse_if_read_only(path)
        content = path.read_bytes() if path.exists() else b""
        # history.json's test accuracy may have come in just before the manifest was to be written
        if recorded not in (_sha256(content), _sha256(_without_test(content) if file == "history.json" else content)):
            raise ValueError(f"{shown(path)} is missing or not what was stored: delete {shown(path.parent)}")
        return content

    def _store(self, name, manifest, contents, seconds):
        """Write `contents` {file: bytes}, then the manifest that records them."""
        for file, content in contents.items():
            write_atomically(self.folder / name / file, content)
            manifest["outputs"][file] = _sha256(content)
        manifest["seconds"] |= {stage: round(value, 1) for stage, value in seconds.items()}
        write_atomically(self.folder / name / "manifest.json", to_json(manifest | provenance()))

    def _train(self, name):
        from . import distillation, models, training

        self._refuse_if_read_only(self.folder / name / "weights.safetensors")
        architecture, distilled = NETWORKS[name]
        inputs = {part: _sha256(p.images.tobytes() + p.labels.tobytes()) for part, p in self.parts.items()}
        teacher_logits = self.soft_targets() if distilled else None
        if distilled:
            inputs["teacher"] = self.manifest("TN")["outputs"]["weights.safetensors"]
        manifest, folder = self.manifest(name), self.folder / name
        if manifest["inputs"] not in ({}, inputs):
            raise ValueError(f"{shown(folder)} was begun with other data or another teacher: delete that folder")
        manifest["inputs"] = inputs
        self._store(name, manifest, {}, {})

        model = models.build(architecture, self.seed).to(self.device)
        checkpoint = folder / "checkpoint.safetensors"
        train, validation = self.parts["train"], self.parts["validation"]
        settings = {"seed": self.seed, "name": name, "teacher_logits": teacher_logits, "checkpoint": checkpoint}
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
        return model

    def _predict(self, name):
        from . import mc_dropout

        self._refuse_if_read_only(self.folder / name / "predictions.npz")
        model, test, passes = self.network(name), self.parts["test"], self.profile.mc_passes
        started = time.perf_counter()
        seed = derive_seed(self.seed, name, "mc_dropout")  # masks independent of the other networks'
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
    """Write bytes under another name, then rename: whoever reads `path` finds the old or the new content whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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
        seeds = [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)]
    seeds = seeds if isinstance(seeds, list) else [seeds]
    if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds):
        raise ValueError(f'seeds must be like 0, "0,1,2" or "0-9", got {seeds!r}')
    return sorted(set(seeds))


def from_parameters(*, profile, seed, device, runs, data, seeds=None, source=None):
    """The Runs that a notebook's parameters ask for, one a seed, after checking and printing them.

    $KDUTILS_PROFILE overrides `profile`. runs, data: folders, "" for the usual ones. seeds: as for `parse_seeds`,
    "" for `seed` alone. source: "results" reads the committed predictions, "runs" the user's own, trained if missing.
    ValueError also for a parameter that papermill injected and the notebook does not have.
    """
    given = {"profile": profile, "seed": seed, "device": device, "runs": runs, "data": data}
    given |= {key: value for key, value in {"seeds": seeds, "source": source}.items() if value is not None}
    if unknown := _injected() - set(given):
        raise ValueError(f"unknown parameter {', '.join(sorted(unknown))}: known are {', '.join(given)}")
    if source not in (None, "results", "runs"):
        raise ValueError(f"unknown source {source!r}: known are results, runs")
    for name in ("runs", "data"):
        if not isinstance(given[name], str):
            raise ValueError(f"{name} must be a folder's path or an empty string, got {given[name]!r}")
    profile = resolve(os.environ.get("KDUTILS_PROFILE") or profile)
    committed = source == "results"
    runs = Path(runs) if runs else project_root() / "runs"
    root = project_root() / "results" if committed else runs
    numbers = [whole_number("seed", seed, minimum=0)] if seeds in (None, "") else parse_seeds(seeds)
    opened = [Run(profile, number, root, device=device, data=data, read_only=committed) for number in numbers]
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
    print(f"{record['seconds']:.0f} s on {record['made']}, commit {record['commit']}")
    for part in ("versions", "hardware"):
        print(", ".join(f"{key} {value}" for key, value in record[part].items()))
