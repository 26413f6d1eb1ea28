"""What is on disk: one Run per profile and seed, its networks and predictions, loaded, gone on with, or made.

The only module that writes artefacts. torch is imported only to train, to load weights, or to predict.
"""

import ast
import datetime
import hashlib
import importlib.metadata
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
SOURCES = ("results", "runs")


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
        self.output = self.root / self.profile.name  # where notebooks leave tables, figures, and their proof
        self.opened = time.perf_counter()

    @property
    def folder(self):
        """This run's own folder."""
        return self.root / self.profile.name / f"seed-{self.seed}"

    @cached_property
    def device(self):
        """The torch.device: for "auto" CUDA, else MPS, else the CPU. ValueError if the asked-for one is not there."""
        import torch

        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        name = next(name for name, found in there.items() if found) if self._device == "auto" else self._device
        if not there[name]:
            found = ", ".join(name for name, found in there.items() if found)
            raise ValueError(f"device {name!r} is not available on this machine: available are {found}")
        return torch.device(name)

    @cached_property
    def parts(self):
        """{"train", "validation", "test"}: the `data.Part`s of this profile."""
        return split(load_mnist(self._data), self.profile)

    def network(self, name):
        """The trained network, in evaluation mode: loaded, or trained (gone on with) and stored.

        name: one of `NETWORKS`. Trains the teacher first where a distilled network needs it.
        """
        from . import models

        manifest = self.manifest(name)
        if "weights.safetensors" not in manifest["outputs"]:
            return self._train(name)
        model = models.build(NETWORKS[name][0], self.seed).to(self.device)
        model.load_state_dict(bytes_to_tensors(self._read(name, "weights.safetensors")))
        return model.eval()

    def soft_targets(self):
        """The teacher's logits (n, 10), float32, on the training images, in their order."""
        if "soft_targets.npz" not in self.manifest("TN")["outputs"]:
            self.network("TN")
        return _from_npz(self._read("TN", "soft_targets.npz"))["logits"]

    def history(self, name):
        """{"epochs": [{"epoch", "loss", "validation_accuracy"}, …], "train_accuracy", "validation_accuracy",
        "test_accuracy"}: by epoch while training, and at the end in evaluation mode with dropout off.

        "test_accuracy" is there once the network's predictions are.
        """
        if "history.json" not in self.manifest(name)["outputs"]:
            self.network(name)
        return json.loads(self._read(name, "history.json"))

    def predictions(self, name):
        """The network's Predictions on the test images: loaded, or made and stored."""
        if "predictions.npz" not in self.manifest(name)["outputs"]:
            self._predict(name)
        arrays = _from_npz(self._read(name, "predictions.npz"))
        arrays["labels"] = arrays["labels"].astype(int)
        for key in ("mc_mean", "deterministic"):
            probabilities = np.exp(arrays[key].astype(float))
            arrays[key] = probabilities / probabilities.sum(1, keepdims=True)
        return Predictions(**arrays)

    def manifest(self, name):
        """The network's manifest; one without inputs and outputs if nothing is stored yet.

        ValueError if what is stored was made with other settings, or by code whose results differ.
        """
        asked = self._identity(name)
        path = self.folder / name / "manifest.json"
        if not path.exists():
            if self.read_only:
                raise FileNotFoundError(f"{_shown(path)} is missing: make it with `make study` and `make results`")
            return asked | {"inputs": {}, "outputs": {}, "seconds": {}}
        found = json.loads(path.read_text())
        different = [
            f"{key} is {value!r}, asked for is {wanted!r}"
            for key, wanted in _flat(asked).items()
            if (value := _flat(found).get(key)) != wanted
        ]
        if different:
            raise ValueError(
                f"{_shown(path.parent)} was made with other settings: {'; '.join(different)}. "
                "Delete that folder, or give the profile another name."
            )
        return found

    def _identity(self, name):
        if name not in NETWORKS:
            raise ValueError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}")
        # by way of JSON, so that what is asked for compares with what was read
        profile = json.loads(json.dumps(asdict(self.profile)))
        return {"network": name, "profile": profile, "seed": self.seed, "results_version": RESULTS_VERSION}

    def _read(self, name, file):
        """The bytes of a stored file, whose sha256 is the recorded one; ValueError names the file if it is not."""
        path, recorded = self.folder / name / file, self.manifest(name)["outputs"][file]
        content = path.read_bytes() if path.exists() else b""
        found = {_sha256(content)}
        if file == "history.json":  # its test accuracy may have come after the manifest was last written
            found.add(_sha256(_before_testing(content)))
        if recorded not in found:
            raise ValueError(f"{_shown(path)} is missing or not what was stored: delete {_shown(path.parent)}")
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

        architecture, distilled = NETWORKS[name]
        inputs = {part: _sha256(p.images.tobytes() + p.labels.tobytes()) for part, p in self.parts.items()}
        teacher_logits = None
        if distilled:
            teacher_logits = self.soft_targets()
            inputs["teacher"] = self.manifest("TN")["outputs"]["weights.safetensors"]
        manifest, folder = self.manifest(name), self.folder / name
        if manifest["inputs"] not in ({}, inputs):
            raise ValueError(f"{_shown(folder)} was begun with other data or another teacher: delete that folder")
        self._store(name, manifest | {"inputs": inputs}, {}, {})

        model = models.build(architecture, self.seed).to(self.device)
        checkpoint = folder / "checkpoint.safetensors"
        train, validation = self.parts["train"], self.parts["validation"]
        epochs, seconds = training.train(
            model,
            train,
            validation,
            self.profile,
            seed=self.seed,
            name=name,
            teacher_logits=teacher_logits,
            checkpoint=checkpoint,
        )
        started = time.perf_counter()
        train_logits = distillation.soft_targets(model, train.images)
        history = {
            "epochs": epochs,
            "train_accuracy": training.accuracy(train_logits, train.labels),
            "validation_accuracy": training.accuracy(models.logits(model, validation.images), validation.labels),
        }
        contents = {"weights.safetensors": tensors_to_bytes(model.state_dict()), "history.json": to_json(history)}
        if name == "TN":
            contents["soft_targets.npz"] = _npz({"logits": train_logits.cpu().numpy()})
        precision = str(training.precision(self.device)).removeprefix("torch.")
        manifest |= {"inputs": inputs, "device": self.device.type, "training_precision": precision}
        self._store(name, manifest, contents, {"training": seconds, "evaluation": time.perf_counter() - started})
        checkpoint.unlink(missing_ok=True)
        return model

    def _predict(self, name):
        from . import mc_dropout

        model, test = self.network(name), self.parts["test"]
        started = time.perf_counter()
        seed = derive_seed(self.seed, name, "mc_dropout")  # masks independent of the other networks'
        mc = mc_dropout.predict(model, test.images, passes=self.profile.mc_passes, seed=seed)
        seconds = time.perf_counter() - started
        with np.errstate(divide="ignore"):  # log 0 = -inf, which comes back as 0
            arrays = {
                "labels": test.labels,
                "mc_mean": np.log(mc.mean).astype(np.float16),
                "deterministic": np.log(mc.deterministic).astype(np.float16),
                "mc_variance": mc.variance[np.arange(len(test)), mc.predicted].astype(np.float32),
                "expected_entropy": mc.expected_entropy.astype(np.float32),
                "expected_max": mc.expected_max.astype(np.float32),
            }
        accuracy = float((arrays["deterministic"].argmax(1) == test.labels).mean())
        contents = {
            "predictions.npz": _npz(arrays),
            "history.json": to_json(self.history(name) | {"test_accuracy": accuracy}),
        }
        self._store(name, self.manifest(name), contents, {"prediction": seconds})
        print(f"{name}: {len(test):,} test images, {self.profile.mc_passes} passes, {seconds:.0f} s", flush=True)


def _flat(settings, prefix=""):
    flat = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _before_testing(content):
    """history.json's content as it was before the test accuracy came in; empty if it is no JSON object."""
    try:
        history = json.loads(content)
        history.pop("test_accuracy", None)
        return to_json(history)
    except (ValueError, AttributeError):
        return b""


def _shown(path):
    """`path` as a user may see it: relative to the repository's root where it lies in it."""
    path = Path(path).resolve()
    return str(path.relative_to(project_root()) if path.is_relative_to(project_root()) else path)


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def to_json(value):
    """`value` as the bytes of an indented JSON file."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _npz(arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _from_npz(content):
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def tensors_to_bytes(tensors, notes=None):
    """A dict of tensors, and a JSON-able value beside them, as the bytes of a safetensors file."""
    import safetensors.torch

    metadata = {"notes": json.dumps(notes)}
    return safetensors.torch.save({key: value.cpu().contiguous() for key, value in tensors.items()}, metadata)


def bytes_to_tensors(content):
    """The tensors of `tensors_to_bytes`, on the CPU."""
    import safetensors.torch

    return safetensors.torch.load(content)


def bytes_to_notes(content):
    """The JSON-able value of `tensors_to_bytes`."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["notes"])


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
    """Where a result comes from: {"made", "commit", "versions", "hardware"}, without names or paths of the machine."""
    packages = ("kdutils", "torch", "torchvision", "numpy", "scipy", "matplotlib", "papermill")
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "hardware": _hardware(),
    }


def _commit():
    """The repository's commit, with "+" where tracked files differ from it; None outside a repository."""
    git = ["git", "-C", str(project_root())]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "kdutils"], check=False).returncode
        return commit + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None


def _hardware():
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        processor = found[1] if found else processor
    hardware = {"system": platform.system(), "processor": processor, "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch:
        hardware["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            hardware["gpu"] = torch.cuda.get_device_name()
    return hardware


# What the notebooks call ---------------------------------------------------------------------------------


def parse_seeds(seeds):
    """Whole numbers from 0, a list of them, or text such as "0-9" or "0,2,5-7", as a sorted list; else ValueError."""
    if isinstance(seeds, str) and re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", seeds.replace(" ", "")):
        ends = [[int(end) for end in part.split("-")] for part in seeds.split(",")]
        seeds = [seed for part in ends for seed in range(part[0], part[-1] + 1)]
    elif isinstance(seeds, int):
        seeds = [seeds]
    if not isinstance(seeds, list) or not seeds:
        raise ValueError(f'seeds must be like 0, "0,1,2" or "0-9", got {seeds!r}')
    return sorted({whole_number("seeds", seed, minimum=0) for seed in seeds})


def from_parameters(*, profile, seed, device, runs, data, seeds=None, source=None):
    """The Runs that a notebook's parameters ask for, one a seed, after checking and printing them.

    $KDUTILS_PROFILE overrides `profile`. runs, data: folders, "" for the usual ones. seeds: as for `parse_seeds`;
    "" for `seed` alone. source: "results" reads the committed predictions, "runs" the user's own, trained if missing.
    ValueError also for a parameter that papermill injected and the notebook does not have.
    """
    known = {"profile", "seed", "device", "runs", "data"}
    known |= ({"seeds"} if seeds is not None else set()) | ({"source"} if source is not None else set())
    unknown = _injected() - known
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(sorted(unknown))}: known are {', '.join(sorted(known))}")
    if source not in (None, *SOURCES):
        raise ValueError(f"unknown source {source!r}: known are {', '.join(SOURCES)}")
    for name, value in {"runs": runs, "data": data}.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a folder's path or an empty string, got {value!r}")
    profile = resolve(os.environ.get("KDUTILS_PROFILE") or profile)
    committed = source == "results"
    root = project_root() / "results" if committed else runs
    opened = [
        Run(profile, seed, root, device=device, data=data, read_only=committed)
        for seed in parse_seeds(seed if seeds in (None, "") else seeds)
    ]
    for run in opened:
        run.output = (
            (Path(runs) if runs else project_root() / "runs") / ("reference" if committed else "") / profile.name
        )
    print(
        f"profile {profile.name}: {profile.train_images:,} training, {profile.validation_images:,} validation, "
        f"{profile.test_images:,} test images, {profile.epochs} epochs, {profile.mc_passes} passes\n"
        f"seeds {', '.join(str(run.seed) for run in opened)}, networks and predictions in {_shown(opened[0].root)}"
    )
    return opened


def _injected():
    """The names that papermill assigned in its injected cell; none outside a notebook."""
    IPython = sys.modules.get("IPython")
    shell = IPython.get_ipython() if IPython else None
    cells = [cell for cell in (shell.user_ns.get("In", []) if shell else []) if cell.startswith("# Parameters\n")]
    assigned = [node for cell in cells for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
    return {target.id for node in assigned for target in node.targets}


def finish(notebook, run):
    """Print where a notebook's results come from, and leave <notebook>.json: the proof that it ran to its end."""
    record = {"notebook": notebook, "seconds": round(time.perf_counter() - run.opened, 1)} | provenance()
    write_atomically(run.output / "notebooks" / f"{notebook}.json", to_json(record))
    print(f"{record['seconds']:.0f} s on {record['made']}, commit {record['commit']}")
    for part in ("versions", "hardware"):
        print(", ".join(f"{key} {value}" for key, value in record[part].items()))
