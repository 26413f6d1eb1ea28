"""What makes a network what it is beside its settings: architecture, loss, and the code that decides results."""

import datetime
import sys
from pathlib import Path

from .plumbing.progress import say
from .plumbing.source import code_digest, function_digest
from .plumbing.store import display_path

REMEDY = "Delete that folder, remake it with FORCE=1 (in Python: force='1'), or give the profile another name."
PACKAGE = Path(__file__).resolve().parent
PREDICTION = ("data", "models", "mc_dropout", "predictions", "plumbing/compute", "plumbing/dropout")
DECIDES = {  # the modules whose code decides weights, those whose code decides predictions, and those on shifts
    "training": ("data", "models", "distillation", "training", "plumbing/compute"),
    "prediction": PREDICTION,
    "shifts": (*PREDICTION, "shifts"),
    "one_pass": ("one_pass", "shifts"),  # both, of the networks of `recipes.ONE_PASS`
}


def code(what):
    """SHA-256 of the code that decides a key of `DECIDES`, comments and docstrings aside."""
    return code_digest(*(PACKAGE / f"{name}.py" for name in DECIDES[what]))


def loss(module, name):
    """SHA-256 of the code of a module's loss; None for a function that is neither in the package nor in memory."""
    loaded = getattr(sys.modules.get(f"kdutils.{module}"), name, None)
    return function_digest(PACKAGE / f"{module}.py", name, loaded)


def of_network(modules, loss_now, *decides):
    """The origin of a network that is trained now, as its manifest records it.

    modules: of `models.description`. loss_now: of `loss`. decides: the keys of `DECIDES` whose code trains it.
    """
    return {"modules": modules, "loss": loss_now} | {key: code(key) for key in decides}


def check_inputs(store, manifest, known, own_data):
    """ValueError if the manifest's inputs differ from the `known` ones, or if it is of data in MNIST's place."""
    other = [key for key, value in manifest["inputs"].items() if known.get(key, value) != value]
    other += ["not MNIST"] if manifest.get("data") and not own_data else []
    if other:
        what = "distilled from another TN" if other == ["teacher"] else f"made from other data ({', '.join(other)})"
        raise ValueError(f"{display_path(store.folder)} was {what}. {REMEDY}")


def check_precision(store, manifest, precision):
    """ValueError if the network was trained in another precision than asked for ("auto": any)."""
    trained = manifest.get("training_precision", precision)
    if precision not in ("auto", trained):
        store.refuse([f"precision is {trained!r}, asked for is {precision!r}"])


def check_network(store, manifest, modules, loss_now):
    """ValueError if the network has another architecture or loss than the manifest says.

    modules: a function that gives the network's `models.description`. It needs torch, so it is called only where that
    is loaded anyway or the code has changed. loss_now: of `loss`.
    """
    recorded, found = manifest["origin"], []
    if recorded["training"] != code("training") or "kdutils.models" in sys.modules:
        before, after = recorded["modules"], modules()
        pairs = [(place, before.get(place), after.get(place)) for place in before | after]
        found += [f"{place} is {old}, asked for is {new}" for place, old, new in pairs if old != new]
    if None not in (recorded["loss"], loss_now) and recorded["loss"] != loss_now:
        found.append("the code of its loss is another")
    if found:
        store.refuse(found[:3])


def say_other_code(store, manifest):
    """Print one line if other code trained the network or made its predictions: results may differ, and the way on."""
    other = [what for what in DECIDES if manifest["origin"].get(what, code(what)) != code(what)]
    if other:
        commit = f"; commit {manifest['commit'][:8]}" if manifest.get("commit") else ""
        made = f"{display_path(store.folder)}: made by other code ({', '.join(other)}{commit})"
        say(f"{made}; FORCE={store.folder.name} remakes it")


def forced(text, networks):
    """(names, since) of a text such as "1" (all networks) or "KD-SN2,SN2@2026-01-31T12:00:00+00:00".

    What was made before `since` is to be remade; without a time, that is now. With the teacher TN go all networks that
    learn from it. networks: {name: (architecture, whether it does)}. Raises ValueError for an unknown name.
    """
    listed, _, since = text.partition("@")
    names = set(networks) if listed == "1" else {name.strip() for name in listed.split(",")} - {""}
    if unknown := names - set(networks):
        raise ValueError(f"unknown network {', '.join(sorted(unknown))} to force: known are 1, {', '.join(networks)}")
    names |= {name for name, (_, distilled) in networks.items() if distilled} if "TN" in names else set()
    return names, since or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
