"""Tensors as bytes, and the checkpoint from which an interrupted training resumes to the same bits."""

import hashlib
import json
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from .progress import say
from .store import display_path, to_json, write_atomically


class Optimiser(NamedTuple):
    """What moves the parameters: the optimizer, its learning-rate schedule, and the scaler of 16-bit gradients."""

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler


def to_safetensors(tensors):
    """A dict of tensors as the bytes of a safetensors file; tied ones, which share memory, are each stored whole."""
    return safetensors.save({key: value.cpu().contiguous().clone() for key, value in tensors.items()})


def from_safetensors(content):
    """The dict of tensors in the bytes of a safetensors file, on the CPU."""
    return safetensors.load(content)


def save(path, model, optimiser, **notes):
    """Write the state of `model` and `optimiser`, and `notes` that JSON holds, to `path`."""
    optimizer, schedule, scaler = optimiser
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    notes |= {
        "groups": optimizer.state_dict()["param_groups"],
        "schedule": {key: value for key, value in schedule.state_dict().items() if not key.startswith("_schedule")},
        "scaler": scaler.state_dict(),
    }
    tensors["notes"] = _bytes(to_json(notes))
    write_atomically(path, to_safetensors(tensors | {"sha256": _digest(tensors)}))


def resume(path, model, optimiser, settings):
    """Load the state of `model` and `optimiser` from `path`; return the notes that `save` was given.

    Returns None, and leaves both as they are, if there is no usable checkpoint; prints why. settings: what the
    checkpoint's note "settings" must equal.
    """
    if not path.exists():
        return None
    try:
        tensors = from_safetensors(path.read_bytes())
        whole = torch.equal(tensors.pop("sha256"), _digest(tensors))
        notes = json.loads(tensors.pop("notes").numpy().tobytes()) if whole else {}
    except (SafetensorError, KeyError):
        notes = {}
    if "settings" not in notes or notes["settings"] != settings:
        fault = "belongs to other settings" if notes else "is corrupt"
        say(f"{display_path(path)} {fault}: training starts from the beginning")
        return None
    _restore(tensors, notes, model, *optimiser)
    return notes


def _restore(tensors, notes, model, optimizer, schedule, scaler):
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


def _digest(tensors):
    """SHA-256 of tensors {name: tensor}, their names, types and shapes: uint8 (32,)."""
    return _bytes(hashlib.sha256(to_safetensors(tensors)).digest())


def _bytes(content):
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
