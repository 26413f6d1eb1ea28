"""One training loop for the labels alone and for distillation: AdamW with a one-cycle learning rate."""

import contextlib
import hashlib
import json
import sys
import time

import torch
from safetensors import SafetensorError
from torch.nn import functional as F
from tqdm import tqdm

from . import data, models, runs
from .distillation import distillation_loss
from .profiles import derive_seed

LEARNS_WITHIN = 200  # optimiser steps; by then every network here is far above
CHANCE = 0.15  # of validation: guessing among ten digits is right in 10 %


def precision(device):
    """The dtype for autocast: bfloat16 or float16 where `device` computes it natively, else float32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major >= 7 else torch.float32
    if device.type == "cpu":
        native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch
        return torch.bfloat16 if any(getattr(torch.cpu, name, bool)() for name in native) else torch.float32
    return torch.float32


@contextlib.contextmanager
def seeded(seed, device):
    """The global generators of the CPU and of `device` start from `seed`, and are put back on leaving."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        yield


def accuracy(logits, labels):
    """Fraction of rows of `logits` (n, classes) whose largest entry is at the label (n,)."""
    return (logits.argmax(1).cpu() == torch.as_tensor(labels)).double().mean().item()


def train(
    model, train_part, validation_part, profile, *, seed, name, teacher_logits=None, checkpoint=None, made_for=None
):
    """Train `model` in place on its device; return (history, seconds).

    train_part, validation_part: `data.Part`. teacher_logits: (n, 10), row i for training image i; None trains
    on the labels alone. name: the network's, e.g. "KD-SN2"; its architecture's part gives the data order, so
    that a network trained with and without distillation sees the same batches.
    history: a dict per epoch, {"epoch", "loss", "validation_accuracy"}.
    checkpoint: a path; written after every epoch, and gone on from if it is there, whole and `made_for` the same
    (anything that JSON holds): the result is the same, since each epoch's order and dropout are seeded anew.
    FloatingPointError if the loss is no longer finite, RuntimeError if the network does not learn, MemoryError
    if a batch does not fit: each says what to try, and no checkpoint of such an epoch is written.
    """
    device = next(model.parameters()).device
    dtype = precision(device)
    images = torch.as_tensor(train_part.images, device=device)
    labels = torch.as_tensor(train_part.labels, device=device).long()
    teacher_logits = None if teacher_logits is None else torch.as_tensor(teacher_logits, device=device)
    fields = ("temperature", "soft_weight", "scale_by_temperature_squared")
    soft = {field: getattr(profile, field) for field in fields}
    steps = -(-len(images) // profile.batch_size)  # an epoch's, the last batch may be smaller

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=profile.peak_learning_rate, weight_decay=profile.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=profile.peak_learning_rate, total_steps=steps * profile.epochs, cycle_momentum=False
    )
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    history, seconds = [], 0.0
    if checkpoint and (kept := _read_checkpoint(checkpoint, name, made_for)):
        history, seconds = _resume(*kept, model, optimizer, schedule, scaler)
        print(f"{name}: goes on after epoch {len(history)} of {profile.epochs}")

    for epoch in range(len(history) + 1, profile.epochs + 1):
        started = time.perf_counter()
        order_seed = derive_seed(seed, name.removeprefix("KD-"), "order", epoch)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(order_seed)).to(device)
        total = torch.zeros((), device=device)
        model.train()
        try:
            with seeded(derive_seed(seed, name, "dropout", epoch), device), _progress(name, epoch, len(images)) as bar:
                for batch in order.split(profile.batch_size):
                    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                        output = model(data.preprocess(images[batch]))
                    if teacher_logits is None:
                        loss = F.cross_entropy(output.float(), labels[batch])
                    else:
                        loss = distillation_loss(output, teacher_logits[batch], labels[batch], **soft)
                    optimizer.zero_grad()
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
                    schedule.step()
                    total += loss.detach() * len(batch)
                    bar.update(len(batch))
        except (RuntimeError, MemoryError) as error:
            if not models.out_of_memory(error):
                raise
            raise MemoryError(
                f"{name}: not enough memory for batches of {profile.batch_size} images: lower the profile's batch_size"
            ) from None
        mean_loss = total.item() / len(images)
        spent = time.perf_counter() - started
        if not mean_loss < float("inf"):
            raise FloatingPointError(
                f"{name}: the loss is {mean_loss} in epoch {epoch} at a peak learning rate of "
                f"{profile.peak_learning_rate}: try a smaller peak_learning_rate"
            )
        validation = accuracy(models.logits(model, validation_part.images, dtype=dtype), validation_part.labels)
        if steps * epoch >= LEARNS_WITHIN and validation < CHANCE:
            raise RuntimeError(
                f"{name} does not learn: validation accuracy {validation:.2%} after {steps * epoch} steps, in epoch "
                f"{epoch} at a peak learning rate of {profile.peak_learning_rate}: try another peak_learning_rate"
            )
        history.append({"epoch": epoch, "loss": mean_loss, "validation_accuracy": validation})
        seconds += time.perf_counter() - started
        if checkpoint:
            _save(checkpoint, model, optimizer, schedule, scaler, history, seconds, made_for)
        print(
            f"{name} epoch {epoch}/{profile.epochs}: loss {mean_loss:.4f}, validation accuracy {validation:.2%}, "
            f"{len(images) / spent:.0f} images/s, {spent:.0f} s",
            flush=True,
        )
    model.eval()
    return history, seconds


def _progress(name, epoch, images):
    """A bar with images per second and time left where somebody watches; nothing in a headless log."""
    watched = sys.stdout.isatty() or runs.in_a_notebook_page()
    title = f"{name} epoch {epoch}"
    return tqdm(desc=title, total=images, unit=" images", file=sys.stdout, leave=False, ncols=90, disable=not watched)


def _save(path, model, optimizer, schedule, scaler, history, seconds, made_for):
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    notes = {
        "groups": optimizer.state_dict()["param_groups"],
        "schedule": {key: value for key, value in schedule.state_dict().items() if not key.startswith("_schedule")},
        "scaler": scaler.state_dict(),
        "history": history,
        "seconds": seconds,
        "made_for": made_for,
    }
    tensors["notes"] = torch.frombuffer(bytearray(runs.to_json(notes)), dtype=torch.uint8)
    runs.write_atomically(path, runs.to_safetensors(tensors | {"sha256": _digest(tensors)}))


def _digest(tensors):
    """SHA-256 (32,) uint8 of tensors {name: tensor}, their names, types and shapes."""
    return torch.frombuffer(bytearray(hashlib.sha256(runs.to_safetensors(tensors)).digest()), dtype=torch.uint8)


def _read_checkpoint(path, name, made_for):
    """(tensors, notes) of a checkpoint; None if there is none, or, which is said, none that can be gone on from."""
    if not path.exists():
        return None
    try:
        tensors = runs.from_safetensors(path.read_bytes())
        whole = torch.equal(tensors.pop("sha256"), _digest(tensors))
        notes = json.loads(tensors.pop("notes").numpy().tobytes()) if whole else {}
    except (SafetensorError, KeyError):
        notes = {}
    if "made_for" in notes and notes["made_for"] == made_for:
        return tensors, notes
    fault = "belongs to something else" if notes else "is damaged"
    print(f"{runs.shown(path)} {fault}: {name} is trained from its beginning", flush=True)
    return None


def _resume(tensors, notes, model, optimizer, schedule, scaler):
    model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
    parameters = optimizer.param_groups[0]["params"]
    state = {index: {} for index in range(len(parameters))}
    for key in [key for key in tensors if key.startswith("optimizer.")]:
        _, index, field = key.split(".")
        value, like = tensors[key], parameters[int(index)]
        # in the parameter's own memory layout: the fused AdamW pairs their elements as they lie in memory
        state[int(index)][field] = torch.empty_like(like).copy_(value) if value.ndim else value
    optimizer.load_state_dict({"state": state, "param_groups": notes["groups"]})
    schedule.load_state_dict(notes["schedule"])
    scaler.load_state_dict(notes["scaler"])
    return notes["history"], notes["seconds"]
