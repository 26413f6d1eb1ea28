"""Which network is made of which: a Run loads, resumes or trains the networks of one profile and seed.

Imports torch only to train, to load weights, or to predict.
"""

import json
import os
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from . import origin, predictions, recipes, shifts
from .data import check_parts, load_parts, sizes
from .plumbing.checks import check_seed
from .plumbing.machine import provenance
from .plumbing.progress import say
from .plumbing.store import Store, from_npz, project_root, sha256
from .profiles import DEFAULTS, owner, resolve

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
DATA = {"quick-fashion": "fashion_mnist"}  # of profiles older than the field `data`, by their names
OLDER = DEFAULTS | recipes.DEFAULTS | {"classes": 10}  # what manifests that lack it had
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")  # of training


class Run:
    """One experiment: the networks of `profile` for one `seed`, under `root`/<profile>/seed-<seed>/<network>/.

    profile: as for `profiles.resolve`. root: a folder, by default `runs` in the repository's root. device: one of
    `DEVICES`. data: its data's folder, as for `data.load_mnist`. parts: other data in MNIST's place, as for
    `data.check_parts`. read_only: never trains. precision: of training, one of `PRECISIONS`; "auto" is what the device
    computes natively, and accepts what is stored. force: networks to remake, as for `origin.forced`, by default
    $KDUTILS_FORCE; the old stay until the new are whole. recipe: of the networks of `recipes.ONE_PASS`, by default that
    of the profile's scale. Raises ValueError for anything else.

    Uses what is stored only if its SHA-256 is the recorded one, and recomputes it otherwise. A read-only run raises
    FileNotFoundError for what is missing and ValueError for what is corrupt. Of several processes one makes a network.
    """

    def __init__(
        self,
        profile,
        seed=0,
        root=None,
        *,
        device="auto",
        data=None,
        parts=None,
        precision="auto",
        force=None,
        read_only=False,
        recipe=None,
    ):
        self.profile = resolve(profile)
        self.seed = check_seed(seed)
        self.root = Path(root).expanduser() if root else project_root() / "runs"
        for what, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS)):
            if value not in known:
                raise ValueError(f"unknown {what} {value!r}: known are {', '.join(known)}")
        self._device, self._data, self.own_data, self.read_only = device, data, parts is not None, read_only
        self.folder = self.root / self.profile.name / f"seed-{self.seed}"
        self.output = self.root / self.profile.name  # where notebooks leave tables, figures, and their proof
        self.opened = time.perf_counter()
        self._stores, self._said, self.precision = {}, set(), precision
        force = os.environ.get("KDUTILS_FORCE", "") if force is None else force
        self._forced, self._since = origin.forced(force, self.networks)
        self.recipe = recipe or recipes.recipe_of(self.profile)
        if self.own_data:
            self.parts = check_parts(parts, self.profile)

    @cached_property
    def device(self):
        """The torch.device. Raises ValueError if the asked-for one is not available."""
        from . import TORCH_CAME_FIRST
        from .plumbing import compute, machine

        machine.use_available_threads(TORCH_CAME_FIRST)
        return compute.choose_device(self._device)

    @cached_property
    def dtype(self):
        """The torch.dtype that training computes in."""
        import torch

        from .plumbing import compute

        return compute.precision(self.device) if self.precision == "auto" else getattr(torch, self.precision)

    @property
    def networks(self):
        """{name: (architecture, whether it learns from TN)} of `NETWORKS` and of `recipes.ONE_PASS`."""
        return NETWORKS | {name: (own.architecture, own.answers != "labels") for name, own in recipes.ONE_PASS.items()}

    @cached_property
    def parts(self):
        """{"train", "validation", "test"}: the `data.Part`s of this profile."""
        return load_parts(DATA.get(self.profile.name, self.profile.data), self.profile, self._data)

    @property
    def sizes(self):
        """{"channels", "classes"}: how many, by the train part, as `models.build` takes them."""
        own = self.own_data or self.profile.data.endswith(".npz")
        return sizes(self.parts["train"]) if own else {"channels": 1, "classes": 10}

    # What is made of what

    def network(self, name):
        """The trained network `name` of `networks`, in evaluation mode: loaded, resumed, or trained and stored.

        Trains the teacher first where the network learns from it.
        """
        weights = self._get(name, "weights.safetensors", self._train)
        return self._making.trained(self, name, weights)

    def soft_targets(self):
        """The teacher's logits (n, classes), float32, on the training images, in their order.

        For a profile with mc_soft_targets: the logarithms of its MC mean.
        """
        file = "mc_soft_targets.npz" if self.profile.mc_soft_targets else "soft_targets.npz"
        return from_npz(self._get("TN", file, lambda _: self._making.soft_targets(self)))["logits"]

    def history(self, name):
        """How the network was trained: the history of `training.train`, and "train_accuracy", "validation_accuracy".

        The accuracies are those at the end, with dropout off. Histories of older results have no "step_losses".
        """
        return json.loads(self._get(name, "history.json", self._train))

    def predictions(self, name, images="test"):
        """The network's predictions on these images: loaded, or made and stored.

        A `predictions.Predictions` of the test images, a `predictions.ShiftPredictions` of a shift of `shifts.NAMES`.
        """
        content = self._get(name, shifts.file(images), lambda name: self._making.predict(self, name, images))
        return (predictions.unpack if images == "test" else predictions.unpack_shift)(content)

    def answers(self, name, part):
        """The network's `predictions.Predictions` on a `data.Part`: likewise."""
        file = f"answers-{sha256(part.images.tobytes())[:16]}.npz"
        return predictions.unpack(self._get(name, file, lambda _: self._making.predict(self, name, file, part)))

    def has(self, name, images="test"):
        """Whether predictions of the network on these images are stored."""
        file, stored = shifts.file(images), (self.store(name).folder / "manifest.json").exists()
        return stored and file in self.manifest(name)["outputs"]

    def trained_in(self, names):
        """In which precision these networks were trained, e.g. "float32", or "bfloat16 and float32" if they differ."""
        return " and ".join(sorted({self.manifest(name).get("training_precision", "unknown") for name in names}))

    def lacks(self, name, *files):
        """Whether any of a network's `files` has to be made: missing, corrupt, to be remade, or of other settings."""
        try:
            self.manifest(name)
            return self.to_remake(name) or any(self.store(name).read(file) is None for file in files)
        except ValueError:
            return True

    def _train(self, name):
        self._making.train(self, name)

    @property
    def _making(self):
        from . import making

        return making

    # What is stored

    def owner(self, name):
        """The Profile in whose folder a network lies. Raises ValueError for an unknown network."""
        if name not in self.networks:
            raise ValueError(f"unknown network {name!r}: known are {', '.join(self.networks)}")
        return self.profile if name in recipes.ONE_PASS else owner(self.profile, *self.networks[name])  # by its recipe

    def store(self, name):
        """The `store.Store` of a network's files."""
        profile = self.owner(name)
        if name not in self._stores:
            settings = {"network": name, "profile": asdict(profile)}
            settings |= {"recipe": self.recipe.settings()} if name in recipes.ONE_PASS else {}
            settings |= {"seed": self.seed, "results_version": RESULTS_VERSION}
            settings |= {"classes": self.sizes["classes"]} if self.own_data else {}
            folder = self.root / profile.name / self.folder.name / name
            options = {"stamp": provenance, "remedy": origin.REMEDY, "read_only": self.read_only}
            self._stores[name] = Store(folder, settings, defaults=OLDER, **options)
        return self._stores[name]

    def _get(self, name, file, make):
        if self.to_remake(name):
            with self.store(name).locked():
                if self.to_remake(name):  # another process may have done it meanwhile
                    say(f"remaking {name}")
                    self._train(name)
        self.manifest(name)
        return self.store(name).get(file, lambda: make(name))

    def to_remake(self, name):
        """Whether the network was forced, and what is stored is older."""
        found = self.store(name).peek() if name in self._forced and not self.read_only else None
        return found is not None and found.get("made", "") < self._since

    def manifest(self, name):
        """The network's manifest; one without inputs and outputs if nothing is stored yet, or if it is to be remade.

        Raises ValueError if what is stored comes from other settings or data, from another architecture, loss or
        teacher. Prints, once, if other code made it whose results may differ.
        """
        store = self.store(name)
        if self.to_remake(name):
            return store.empty()
        found = store.manifest()
        origin.check_inputs(store, found, self.inputs(name), self.own_data)
        origin.check_precision(store, found, self.precision)
        if "origin" in found and not self.read_only:
            origin.check_network(store, found, lambda: self._making.modules(self, name), self.loss(name))
            if name not in self._said:
                origin.say_other_code(store, found)
            self._said.add(name)
        return found

    def loss(self, name):
        """The `origin.loss` of a network."""
        return origin.loss(*self.recipe.loss_of(name, self.owner(name), self.networks[name][1]))

    def inputs(self, name):
        """{input: SHA-256} of what the network is made from, as far as it is loaded or stored here."""
        known = dict(self._digests) if "parts" in vars(self) else {}
        if self.networks[name][1] and (self.store("TN").folder / "manifest.json").exists():
            weights = self.manifest("TN")["outputs"].get("weights.safetensors")
            known |= {"teacher": weights} if weights else {}
        return known

    @cached_property
    def _digests(self):
        return {key: sha256(part.images.tobytes() + part.labels.tobytes()) for key, part in self.parts.items()}
