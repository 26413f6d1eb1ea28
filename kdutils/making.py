"""How each file of a network is made: its weights and history, its soft targets, its predictions."""

import time

import numpy as np
import torch

from . import distillation, mc_dropout, models, origin, predictions, shifts, training
from .plumbing.checkpoint import from_safetensors, to_safetensors
from .plumbing.machine import stoppable
from .plumbing.store import to_json, to_npz
from .profiles import derive_seed

SETTINGS = ("network", "profile", "seed", "results_version", "inputs", "origin")  # what a checkpoint must share


def untrained(run, architecture):
    """The new network of an architecture, on the run's device."""
    return models.build(architecture, run.seed, channels=run.channels).to(run.device)


def trained(run, architecture, weights):
    """The network with these `weights`, the bytes of a safetensors file, in evaluation mode."""
    model = untrained(run, architecture)
    model.load_state_dict(from_safetensors(weights))
    return model.eval()


def train(run, name, architecture, distilled):
    """Train a network, and store its weights and its history; for the teacher also its soft targets."""
    profile, store, parts = run.owner(name), run.store(name), run.parts
    options = {
        "seed": run.seed,
        "name": name,
        "dtype": run.dtype,
        "checkpoint": store.folder / "checkpoint.safetensors",
    }
    if distilled:
        distillation.loss_function(profile)  # an unknown one is refused before the teacher is trained
        teacher_logits = torch.as_tensor(run.soft_targets(), device=run.device)
        options["loss"] = distillation.student_loss(profile, teacher_logits)
    manifest = run.manifest(name) | {"inputs": run.inputs(name), "outputs": {}, "seconds": {}}
    manifest |= {"origin": origin.of_network(run.modules(architecture), profile, distilled)}
    manifest |= {"data": "own"} if run.own_data else {}
    if not run.to_remake(name):  # what is remade stays until the new is whole
        store.put({}, replace=True, **manifest)

    model = untrained(run, architecture)
    options["settings"] = {key: manifest[key] for key in SETTINGS}
    with stoppable(f"{name} stopped: run the same command again to resume after the last finished epoch"):
        history, seconds = training.train(model, parts["train"], parts["validation"], profile, **options)
    started = time.perf_counter()
    logits = {part: distillation.soft_targets(model, parts[part].images) for part in ("train", "validation")}
    history |= {f"{part}_accuracy": training.accuracy(own, parts[part].labels) for part, own in logits.items()}
    contents = {"weights.safetensors": to_safetensors(model.state_dict()), "history.json": to_json(history)}
    if name == "TN":
        contents["soft_targets.npz"] = to_npz({"logits": logits["train"].cpu().numpy()})
    manifest["seconds"] = {"training": round(seconds, 1), "evaluation": round(time.perf_counter() - started, 1)}
    manifest |= {"device": run.device.type, "training_precision": str(run.dtype).removeprefix("torch.")}
    store.put(contents, replace=True, **manifest)
    options["checkpoint"].unlink(missing_ok=True)


def soft_targets(run):
    """Store the teacher's soft targets, from its weights. Training the teacher makes those with dropout off, too."""
    model, images, store = run.network("TN"), run.parts["train"].images, run.store("TN")
    if run.profile.mc_soft_targets:
        seed = derive_seed(run.seed, "TN", "soft_targets")
        mean = mc_dropout.predict(model, images, passes=run.profile.mc_passes, seed=seed).mean
        logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
        store.put({"mc_soft_targets.npz": to_npz({"logits": logits})})
    elif store.read("soft_targets.npz") is None:
        logits = distillation.soft_targets(model, images).cpu().numpy()
        store.put({"soft_targets.npz": to_npz({"logits": logits})})


def predict(run, name, images="test"):
    """Store a network's predictions on the test images, or on a shift of `shifts.NAMES`."""
    model, store, passes = run.network(name), run.store(name), run.profile.mc_passes
    part, of_test = shifts.part(images, run.parts["test"]), images == "test"
    started = time.perf_counter()
    purpose = ("mc_dropout",) if of_test else ("mc_dropout", images)
    seed = derive_seed(run.seed, name, *purpose)  # masks independent of the other networks'
    with stoppable(f"{name}'s prediction stopped: run the same command again to make it"):
        made = mc_dropout.predict(model, part.images, passes=passes, seed=seed)
    spent, found = time.perf_counter() - started, run.manifest(name)
    changes = {"seconds": found["seconds"] | {"prediction": round(spent, 1)}} if of_test else {}
    if "origin" in found:  # of several shifts, the oldest code is recorded
        what = "prediction" if of_test else "shifts"
        codes = {what: origin.code(what)}
        changes["origin"] = found["origin"] | codes if of_test else codes | found["origin"]
    pack = predictions.pack if of_test else predictions.pack_shift
    store.put({shifts.file(images): pack(made, part.labels)}, **changes)
    print(f"{name}: {len(part):,} {images} images, {passes} passes, {spent:.0f} s", flush=True)
