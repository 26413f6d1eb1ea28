"""Which network is made of which: a Run loads, resumes or trains the networks of one profile and seed.

Imports torch only to train, to load weights, or to predict.
"""

import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from . import predictions
from .data import load_mnist, split
from .plumbing.checks import check_seed
from .plumbing.machine import provenance, stoppable
from .plumbing.store import Store, display_path, from_npz, project_root, sha256, to_json, to_npz
from .profiles import DEFAULTS, derive_seed, owner, resolve

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
DEVICES = ("auto", "cpu", "cuda", "mps")
PARTS = ("train", "validation", "test")


class Run:
    """One experiment: the networks of `profile` for one `seed`, under `root`/<profile>/seed-<seed>/<network>/.

    profile: a name or a Profile. root: a folder, by default `runs` in the repository's root. device: one of `DEVICES`.
    data: MNIST's folder, as for `data.load_mnist`. parts: other data in MNIST's place, {"train", "validation",
    "test": `data.Part`} of the profile's sizes. read_only: never trains. Raises ValueError for anything else.

    Uses what is stored only if its SHA-256 is the recorded one, and recomputes it otherwise. A read-only run raises
    FileNotFoundError for what is missing and ValueError for what is corrupt. Of several processes one makes a network,
    and the others wait for it.
    """

    def __init__(self, profile, seed=0, root=None, *, device="auto", data=None, parts=None, read_only=False):
        self.profile = resolve(profile)
        self.seed = check_seed(seed)
        self.root = Path(root) if root else project_root() / "runs"
        if device not in DEVICES:
            raise ValueError(f"unknown device {device!r}: known are {', '.join(DEVICES)}")
        self._device, self._data, self._own_data, self.read_only = device, data, parts is not None, read_only
        self.folder = self.root / self.profile.name / f"seed-{self.seed}"
        self.output = self.root / self.profile.name  # where notebooks leave tables, figures, and their proof
        self.opened = time.perf_counter()
        self._stores = {}
        if self._own_data:
            self.parts = _checked(parts, self.profile)

    @cached_property
    def device(self):
        """The torch.device. Raises ValueError if the asked-for one is not available."""
        from . import TORCH_CAME_FIRST
        from .plumbing import compute, machine

        machine.use_available_threads(TORCH_CAME_FIRST)
        return compute.choose_device(self._device)

    @cached_property
    def parts(self):
        """{"train", "validation", "test"}: the `data.Part`s of this profile."""
        return split(load_mnist(self._data), self.profile)

    # What is made of what

    def network(self, name):
        """The trained network `name` of `NETWORKS`, in evaluation mode: loaded, resumed, or trained and stored.

        Trains the teacher first where a distilled network needs it.
        """
        from .plumbing.checkpoint import from_safetensors

        weights = from_safetensors(self._get(name, "weights.safetensors", self._train))
        model = self._untrained(name)
        model.load_state_dict(weights)
        return model.to(self.device).eval()

    def _untrained(self, name):
        from . import models

        channels = self.parts["train"].images.shape[1] if self._own_data else 1
        return models.build(NETWORKS[name][0], self.seed, channels=channels)

    def soft_targets(self):
        """The teacher's logits (n, classes), float32, on the training images, in their order.

        For a profile with mc_soft_targets: the logarithms of its MC mean.
        """
        file = "mc_soft_targets.npz" if self.profile.mc_soft_targets else "soft_targets.npz"
        return from_npz(self._get("TN", file, lambda _: self._make_soft_targets()))["logits"]

    def history(self, name):
        """How the network was trained: the history of `training.train`, and "train_accuracy", "validation_accuracy".

        The accuracies are those at the end, with dropout off. Histories of older results have no "step_losses".
        """
        return json.loads(self._get(name, "history.json", self._train))

    def predictions(self, name):
        """The network's `predictions.Predictions` on the test images: loaded, or made and stored."""
        return predictions.unpack(self._get(name, "predictions.npz", self._predict))

    def has(self, name):
        """Whether predictions of the network are stored."""
        return (self._store(name).folder / "manifest.json").exists() and (
            "predictions.npz" in self.manifest(name)["outputs"]
        )

    def _make_soft_targets(self):
        """From the teacher's weights. Training the teacher makes those with dropout off, too."""
        from . import distillation, mc_dropout

        model, images, store = self.network("TN"), self.parts["train"].images, self._store("TN")
        if self.profile.mc_soft_targets:
            seed = derive_seed(self.seed, "TN", "soft_targets")
            mean = mc_dropout.predict(model, images, passes=self.profile.mc_passes, seed=seed).mean
            logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
            store.put({"mc_soft_targets.npz": to_npz({"logits": logits})})
        elif store.read("soft_targets.npz") is None:
            logits = distillation.soft_targets(model, images).cpu().numpy()
            store.put({"soft_targets.npz": to_npz({"logits": logits})})

    def _train(self, name):
        import torch

        from . import distillation, models, training
        from .plumbing import checkpoint, compute

        profile, store, train, validation = self._owner(name), self._store(name), *map(self.parts.get, PARTS[:2])
        options = {"seed": self.seed, "name": name, "checkpoint": store.folder / "checkpoint.safetensors"}
        if NETWORKS[name][1]:
            distillation.loss_function(profile)  # an unknown one is refused before the teacher is trained
            teacher_logits = torch.as_tensor(self.soft_targets(), device=self.device)
            options["loss"] = distillation.student_loss(profile, teacher_logits)
        begun = self.manifest(name) | {"inputs": self._inputs(name)}
        data = {"data": "own"} if self._own_data else {}
        store.put({}, inputs=begun["inputs"], outputs={}, seconds={}, **data)
        options["settings"] = {key: begun[key] for key in ("network", "profile", "seed", "results_version", "inputs")}

        model = self._untrained(name).to(self.device)
        message = f"{name} stopped: run the same command again to resume after the last finished epoch"
        with stoppable(message):
            history, seconds = training.train(model, train, validation, profile, **options)
        started = time.perf_counter()
        logits = distillation.soft_targets(model, train.images)
        history["train_accuracy"] = training.accuracy(logits, train.labels)
        history["validation_accuracy"] = training.accuracy(models.logits(model, validation.images), validation.labels)
        contents = {"weights.safetensors": checkpoint.to_safetensors(model.state_dict())}
        contents["history.json"] = to_json(history)
        if name == "TN":
            contents["soft_targets.npz"] = to_npz({"logits": logits.cpu().numpy()})
        spent = {"training": round(seconds, 1), "evaluation": round(time.perf_counter() - started, 1)}
        dtype = str(compute.precision(self.device)).removeprefix("torch.")
        store.put(contents, seconds=spent, device=self.device.type, training_precision=dtype)
        options["checkpoint"].unlink(missing_ok=True)

    def _predict(self, name):
        from . import mc_dropout

        model, test, store, passes = self.network(name), self.parts["test"], self._store(name), self.profile.mc_passes
        started = time.perf_counter()
        seed = derive_seed(self.seed, name, "mc_dropout")  # masks independent of the other networks'
        with stoppable(f"{name}'s prediction stopped: run the same command again to make it"):
            made = mc_dropout.predict(model, test.images, passes=passes, seed=seed)
        spent = time.perf_counter() - started
        seconds = self.manifest(name)["seconds"] | {"prediction": round(spent, 1)}
        store.put({"predictions.npz": predictions.pack(made, test.labels)}, seconds=seconds)
        print(f"{name}: {len(test):,} test images, {passes} passes, {spent:.0f} s", flush=True)

    # What is stored

    def _owner(self, name):
        """The Profile in whose folder a network lies. Raises ValueError for an unknown network."""
        if name not in NETWORKS:
            raise ValueError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}")
        return owner(self.profile, teacher=name == "TN", distilled=NETWORKS[name][1])

    def _store(self, name):
        profile = self._owner(name)
        settings = {"network": name, "profile": asdict(profile), "seed": self.seed, "results_version": RESULTS_VERSION}
        if name not in self._stores:
            folder = self.root / profile.name / self.folder.name / name
            options = {"defaults": DEFAULTS, "stamp": provenance, "read_only": self.read_only}
            self._stores[name] = Store(folder, settings, **options)
        return self._stores[name]

    def _get(self, name, file, make):
        self.manifest(name)
        return self._store(name).get(file, lambda: make(name))

    def manifest(self, name):
        """The network's manifest; one without inputs and outputs if nothing is stored yet.

        Raises ValueError if what is stored comes from other settings, data or code, or from another teacher.
        """
        found = self._store(name).manifest()
        known = self._inputs(name)
        other = [key for key, value in found["inputs"].items() if known.get(key, value) != value]
        other += ["not MNIST"] if found.get("data") and not self._own_data else []
        if other:
            folder = display_path(self._store(name).folder)
            what = "distilled from another TN" if other == ["teacher"] else f"made from other data ({', '.join(other)})"
            raise ValueError(f"{folder} was {what}. Delete that folder, or give the profile another name.")
        return found

    def _inputs(self, name):
        """{input: SHA-256} of what the network is made from, as far as it is loaded or stored here."""
        known = dict(self._digests) if "parts" in vars(self) else {}
        if NETWORKS[name][1] and (self._store("TN").folder / "manifest.json").exists():
            weights = self._store("TN").manifest()["outputs"].get("weights.safetensors")
            known |= {"teacher": weights} if weights else {}
        return known

    @cached_property
    def _digests(self):
        return {key: sha256(part.images.tobytes() + part.labels.tobytes()) for key, part in self.parts.items()}


def _checked(parts, profile):
    """`parts` of other data, if they are those of a profile's sizes; else ValueError."""
    sizes = {name: getattr(profile, f"{name}_images") for name in PARTS}
    if set(parts) != set(PARTS) or any(len(parts[name]) != size for name, size in sizes.items()):
        found = {name: len(part) for name, part in parts.items()}
        raise ValueError(f"parts must hold as many images as the profile says, {sizes}, got {found}")
    return parts
