"""How each file of a network is made: its weights and history, its soft targets, its predictions."""

import time

import numpy as np
import torch

from . import distillation, mc_dropout, models, one_pass, origin, predictions, recipes, shifts, training
from .data import Part
from .plumbing.checkpoint import from_safetensors, to_safetensors
from .plumbing.machine import stoppable
from .plumbing.progress import say, tell
from .plumbing.store import to_json, to_npz
from .profiles import derive_seed

# what a checkpoint must share
SETTINGS = ("network", "profile", "recipe", "seed", "results_version", "inputs", "origin")


def modules(run, name):
    """The `models.description` of a network, for the run's images and classes."""
    dropout = run.recipe.has_dropout(name)
    return one_pass.description(run.networks[name][0], dropout=dropout, **_build(run, name))


def _build(run, name):
    """What `models.build` is told of a network beside its architecture."""
    return run.sizes | {"design": run.owner(name).design(run.networks[name][0])}


def untrained(run, name):
    """The new network, on the run's device."""
    model = models.build(run.networks[name][0], run.seed, **_build(run, name))
    return (model if run.recipe.has_dropout(name) else one_pass.without_dropout(model)).to(run.device)


def trained(run, name, weights):
    """The network with these `weights`, the bytes of a safetensors file, in evaluation mode."""
    model = untrained(run, name)
    model.load_state_dict(from_safetensors(weights))
    return model.eval()


def train(run, name):
    """Train a network, and store its weights and its history; for the teacher also its soft targets."""
    profile, store, parts = run.owner(name), run.store(name), run.parts
    options = {
        "seed": run.seed,
        "name": name,
        "dtype": run.dtype,
        "checkpoint": store.folder / "checkpoint.safetensors",
    }
    part, options["loss"] = lesson(run, name)
    manifest = run.manifest(name) | {"inputs": run.inputs(name), "outputs": {}, "seconds": {}}
    decides = ("training", "one_pass") if name in recipes.ONE_PASS else ("training",)
    manifest |= {"origin": origin.of_network(modules(run, name), run.loss(name), *decides)}
    manifest |= {"data": "own"} if run.own_data else {}
    if not run.to_remake(name):  # what is remade stays until the new is whole
        store.put({}, replace=True, **manifest)

    model, schedule = untrained(run, name), run.recipe.schedule(name, profile)
    options["settings"] = {key: manifest[key] for key in SETTINGS if key in manifest}
    with stoppable(f"{name} stopped: run the same command again to resume after the last finished epoch"):
        history, seconds = training.train(model, part, parts["validation"], schedule, **options)
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


def lesson(run, name):
    """(Part, loss): the images that a network learns, and the loss of a batch of them, as for `training.train`."""
    profile, student, part = run.owner(name), recipes.ONE_PASS.get(name), run.parts["train"]
    taught = run.networks[name][1]
    if not taught and not student:
        return part, training.label_loss
    distillation.loss_function(profile)  # an unknown one is refused before the teacher is trained
    if not student:
        return part, distillation.student_loss(profile, torch.as_tensor(run.soft_targets(), device=run.device))
    part, mean, information = _pool(run, student, taught)
    if student.answers == "distillation":
        return part, distillation.student_loss(profile, mean.log())
    return part, one_pass.student_loss(run.recipe, mean, information)


def _pool(run, student, taught):
    """(Part, *`one_pass.targets`): the images that a student learns, and what it learns of them."""
    part, images = run.parts["train"], lessons(run, student)
    teacher = [run.answers("TN", Part(own, part.labels)) for own in images] if taught else []
    pool = Part(np.concatenate(images), np.tile(part.labels, len(images)))
    found = one_pass.targets(student.answers, pool.labels, teacher, run.sizes["classes"])
    return pool, *(torch.as_tensor(array, dtype=torch.float32, device=run.device) for array in found)


def lessons(run, student):
    """[images (n, channels, height, width), …] that a `recipes.Student` learns: the training images, then views."""
    images, recipe = run.parts["train"].images, run.recipe
    options = {"seed": derive_seed(run.seed, "views"), "kinds": recipe.kinds.split()}
    return [images, *(one_pass.views(images, recipe.views, **options) if student.views else ())]


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


def predict(run, name, images="test", part=None):
    """Store a network's predictions on "test" or a shift of `shifts.NAMES`; on a Part, under the file name `images`."""
    model, store, once = run.network(name), run.store(name), recipes.answers_once(name)
    file = images if part else shifts.file(images)
    of_test, of_shift = images == "test", images in shifts.NAMES
    part, passes = part or shifts.part(images, run.parts["test"]), 1 if once else run.owner(name).mc_passes
    started = time.perf_counter()
    options = {"passes": passes, "seed": derive_seed(run.seed, name, "mc_dropout", *([] if of_test else [images]))}
    tell(title=f"{name} predicts")
    with stoppable(f"{name}'s prediction stopped: run the same command again to make it"):
        made = one_pass.predict(model, part.images) if once else mc_dropout.predict(model, part.images, **options)
    spent, found = time.perf_counter() - started, run.manifest(name)
    changes = {"seconds": found["seconds"] | {"prediction": round(spent, 1)}} if of_test else {}
    if "origin" in found:  # of several files, the oldest code is recorded
        codes = {(what := "shifts" if of_shift else "prediction"): origin.code(what)}
        changes["origin"] = found["origin"] | codes if of_test else codes | found["origin"]
    pack = predictions.pack_shift if of_shift else predictions.pack
    store.put({file: pack(made, part.labels)}, **changes)
    named = images if of_test or of_shift else "other"
    say(f"{name}: {len(part):,} {named} images, {passes} pass{'es' * (passes > 1)}, {spent:.0f} s")
