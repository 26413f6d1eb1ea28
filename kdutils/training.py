"""One training loop for the labels alone and for distillation: AdamW with a one-cycle learning rate."""

import contextlib
import sys
import time

import torch
from torch.nn import functional as F
from tqdm import tqdm

from . import models
from .plumbing import checkpoint as checkpoints
from .plumbing.checks import check_labels
from .plumbing.compute import as_tensor, autocast, out_of_memory, precision, seeded
from .plumbing.machine import in_a_notebook_page
from .plumbing.progress import Told, say
from .profiles import derive_seed

LEARNS_WITHIN = 200  # optimiser steps; by then every network here is far above
MARGIN = 0.05  # of validation accuracy above guessing; among more than ten classes half of what guessing has


def accuracy(logits, labels):
    """Fraction of rows of `logits` (n, classes) whose largest entry is at the label (n,); ValueError for no classes."""
    return float((logits.argmax(1).cpu().numpy() == check_labels("labels", labels, *logits.shape)).mean())


def label_loss(logits, labels, rows=None):
    """The cross-entropy in nats of logits (n, classes) against labels (n,), averaged over the batch: a scalar."""
    return F.cross_entropy(logits.float(), labels)


def optimiser(model, profile, steps, dtype=torch.float32):
    """The Optimiser of `model`: AdamW, one cycle of the learning rate over `steps` steps, a scaler for float16."""
    rate, device = profile.peak_learning_rate, next(model.parameters()).device
    adamw = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=profile.weight_decay, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adamw, max_lr=rate, total_steps=steps, cycle_momentum=False)
    return checkpoints.Optimiser(adamw, cycle, torch.amp.GradScaler(device.type, enabled=dtype == torch.float16))


def step(model, batch, loss, optimiser, dtype=torch.float32, preprocess=None):
    """Take one optimiser step on a batch; return its loss, a scalar tensor.

    batch: (images, labels (n,), rows (n,): the images' numbers in the training part). loss, preprocess: as for `train`.
    """
    images, labels, rows = batch
    inputs = preprocess(images) if preprocess else models.batch_input(images, *models.check_images(model, images))
    with autocast(images.device, dtype):
        logits = model(inputs)
    batch_loss = loss(logits, labels, rows)
    optimiser.optimizer.zero_grad()
    optimiser.scaler.scale(batch_loss).backward()
    optimiser.scaler.step(optimiser.optimizer)
    optimiser.scaler.update()
    optimiser.schedule.step()
    return batch_loss.detach()


def train(
    model,
    train_part,
    validation_part,
    profile,
    *,
    seed,
    name,
    loss=label_loss,
    preprocess=None,
    checkpoint=None,
    settings=None,
    dtype=None,
):
    """Train `model` in place on its device; return (history, seconds).

    train_part, validation_part: `data.Part`, of images as `models.logits` takes them. preprocess: a function from a
    batch of images on the network's device to its inputs instead. loss: a function of (logits, labels, rows) of a
    batch, rows being the images' numbers in train_part; by default that of the labels alone. name: the network's, e.g.
    "KD-SN2". A network trained with and without distillation ("KD-") sees the same batches.
    dtype: computed in, by autocast; by default the device's `compute.precision`.
    history: {"epochs": [{"epoch", "loss", "validation_accuracy"}, …], "step_losses": [loss of each step, …]}.
    checkpoint: a path, written after every epoch. Training resumes from a usable checkpoint whose `settings` (anything
    that JSON holds) are the same, to the same bits: each epoch's order and dropout are seeded anew.
    Raises ValueError for images and labels that do not fit, FloatingPointError if the loss is no longer finite,
    RuntimeError if the network does not learn, MemoryError if a batch does not fit. Each says what to try; no
    checkpoint of such an epoch is written.
    """
    device, dtype, images, labels = _checked("train_part", train_part, model, dtype, preprocess)
    _, _, validation_images, validation_labels = _checked("validation_part", validation_part, model, dtype, preprocess)
    images, labels = images.to(device), labels.to(device)
    steps = -(-len(images) // profile.batch_size)  # an epoch's, the last batch may be smaller
    state = optimiser(model, profile, steps * profile.epochs, dtype)
    history, seconds = {"epochs": [], "step_losses": []}, 0.0
    if checkpoint and (kept := checkpoints.resume(checkpoint, model, state, settings)):
        history, seconds = kept["history"], kept["seconds"]
        say(f"{name}: resumes after epoch {len(history['epochs'])} of {profile.epochs}")
    for epoch in range(len(history["epochs"]) + 1, profile.epochs + 1):
        started = time.perf_counter()
        order_seed = derive_seed(seed, name.removeprefix("KD-"), "order", epoch)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(order_seed)).to(device)
        batches = ((images[rows], labels[rows], rows) for rows in order.split(profile.batch_size))
        with seeded(derive_seed(seed, name, "dropout", epoch), device), _explained(name, profile):
            how, title = (dtype, preprocess), f"{name} epoch {epoch}/{profile.epochs}"
            mean_loss, losses = _epoch(model, batches, loss, state, how, title, len(images))
        spent = time.perf_counter() - started
        logits = models.logits(model, validation_images, dtype=dtype, preprocess=preprocess)
        validation, classes = accuracy(logits, validation_labels), logits.shape[1]
        _refuse_failure(name, mean_loss, validation, classes, epoch, steps * epoch, profile)
        history["epochs"].append({"epoch": epoch, "loss": mean_loss, "validation_accuracy": validation})
        history["step_losses"] += losses
        seconds += time.perf_counter() - started
        if checkpoint:
            checkpoints.save(checkpoint, model, state, history=history, seconds=seconds, settings=settings)
        found = f"loss {mean_loss:.4f}, validation accuracy {validation:.2%}, {len(images) / spent:.0f} images/s"
        say(f"{name} epoch {epoch}/{profile.epochs}: {found}, {spent:.0f} s")
    model.eval()
    return history, seconds


def _checked(name, part, model, dtype, preprocess):
    """The model's device, the dtype to compute in, a Part's images and labels (n,) as tensors.

    ValueError unless it is a Part, and its labels are classes of the model, which is tried on two images.
    """
    if not (hasattr(part, "images") and hasattr(part, "labels")):
        raise ValueError(
            f"{name} must be a data.Part of images and labels, got a {type(part).__name__}; of a DataLoader of pairs, "
            "data.Part(*map(torch.cat, zip(*loader)))"
        )
    device, _ = models.check_images(model, part.images)
    dtype, images = dtype or precision(device), as_tensor(f"{name}.images", part.images)
    classes = models.logits(model, images[:2], dtype=dtype, preprocess=preprocess).shape[1]
    labels = check_labels(f"{name}.labels", part.labels, len(images), classes)
    return device, dtype, images, as_tensor("labels", labels).long()


def _epoch(model, batches, loss, state, how, title, images):
    """Take a step on each batch: (mean loss over `images` images, [loss of each step, 5 decimals])."""
    total, losses = 0, []
    model.train()
    with _progress(title, images) as bar:
        for batch in batches:
            losses.append(step(model, batch, loss, state, *how))
            total = total + losses[-1] * len(batch[1])
            bar.update(len(batch[1]))
    return total.item() / images, [round(value, 5) for value in torch.stack(losses).tolist()]


@contextlib.contextmanager
def _explained(name, profile):
    """A lack of memory inside becomes a MemoryError that names the setting to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryError(
            f"{name}: not enough memory for batches of {profile.batch_size} images: lower the profile's batch_size"
        ) from None


def _refuse_failure(name, loss, validation, classes, epoch, steps, profile):
    """FloatingPointError for a loss that is not finite, RuntimeError for a network still at chance."""
    at = f"epoch {epoch} at a peak learning rate of {profile.peak_learning_rate}"
    if not loss < float("inf"):
        raise FloatingPointError(f"{name}: the loss is {loss} in {at}: try a smaller peak_learning_rate")
    if steps >= LEARNS_WITHIN and validation < 1 / classes + min(MARGIN, 0.5 / classes):
        raise RuntimeError(
            f"{name} does not learn: validation accuracy {validation:.2%} after {steps} steps, in {at}: try another "
            "peak_learning_rate"
        )


def _progress(title, images):
    """A bar with images per second and time left where somebody watches; in a headless run it is told."""
    kind = tqdm if sys.stdout.isatty() or in_a_notebook_page() else Told
    return kind(desc=title, total=images, unit=" images", file=sys.stdout, leave=False, ncols=90)
