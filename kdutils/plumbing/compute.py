"""How torch computes here: device, precision, seeds, evaluation mode, and what to do when memory is short."""

import contextlib
import random
import re
import warnings

import numpy as np
import torch

from .checks import as_array
from .progress import say


def choose_device(name):
    """The torch.device for "cpu", "cuda", "mps" or "auto", which is CUDA, else MPS, else the CPU.

    Raises ValueError if that device is not available here.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name, there in found.items() if there]
    if name not in ("auto", *available):
        raise ValueError(f"device {name!r} is not available here: available are {', '.join(available)}")
    return torch.device(available[0] if name == "auto" else name)


def precision(device):
    """The dtype for autocast: bfloat16 or float16 where `device` computes it natively, else float32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major >= 7 else torch.float32
    if device.type == "cpu":
        native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch
        return torch.bfloat16 if any(getattr(torch.cpu, name, bool)() for name in native) else torch.float32
    return torch.float32


def autocast(device, dtype):
    """A context in which torch computes in `dtype` where that is safe; in float32 throughout for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def as_tensor(name, values):
    """`values`, a tensor or as `checks.as_array` takes them, as a tensor, without a copy where torch can do without.

    Torch takes no other byte order and no reversed array: they are copied. ValueError naming `name` unless they are
    numbers. A read-only array stays shared, so nobody may write into the tensor.
    """
    if torch.is_tensor(values):
        return values
    array = as_array(name, values)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    array = array.copy() if min(array.strides, default=0) < 0 else array
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


@contextlib.contextmanager
def seeded(seed, device):
    """Start the global generators of torch, on `device`, too, of NumPy and Python from `seed`; put them back after."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpys)  # noqa: NPY002
            random.setstate(pythons)


@contextlib.contextmanager
def evaluation(model):
    """`model` in evaluation mode and without gradients; its training flags are put back on leaving."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():  # not inference_mode: what a network caches could never be trained with again
            yield
    finally:
        for module, flag in training.items():
            module.training = flag


def with_less_memory(compute, batch_size):
    """compute(batch_size); retries with half the batch size while memory is short, down to 1, and prints that."""
    while True:
        try:
            return compute(batch_size)
        except (RuntimeError, MemoryError) as error:
            if batch_size == 1 or not out_of_memory(error):
                raise
        batch_size //= 2
        say(f"not enough memory: retrying with batches of {batch_size} images")


def out_of_memory(error):
    """Whether `error` says so, in the words of CUDA and MPS, the CPU's allocator, or oneDNN."""
    words = r"out of memory|can't allocate memory|could not (create|execute) a (memory|primitive)(?! desc)|bad_alloc"
    return isinstance(error, MemoryError) or re.search(words, str(error)) is not None
