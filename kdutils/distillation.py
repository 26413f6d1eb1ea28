"""Knowledge distillation after Hinton, Vinyals & Dean (2015), as Amara & Clark (2020) use it."""

import inspect

import numpy as np
import torch
from torch.nn import functional as F

from . import models
from .plumbing.checks import as_array, check_soft_weight, check_temperature
from .plumbing.compute import as_tensor

NEVER = -(2**63)  # the label that torch would leave out


def distillation_loss(
    student_logits,
    teacher_logits,
    labels,
    *,
    temperature=4.0,
    soft_weight=0.5,
    scale_by_temperature_squared=True,
):
    """soft_weight · T² · H(softmax(z_T / T), softmax(z_S / T)) + (1 − soft_weight) · H(labels, softmax(z_S)).

    H is the cross-entropy in nats, averaged over the batch. A scalar tensor, in float64 for float64 logits
    and in float32 for anything narrower. Of a perfect copy the soft term is the teacher's entropy, not 0; its gradient
    is 0. The teacher's logits are constants: they get no gradient.

    student_logits, teacher_logits: (n, classes), at least two classes, the teacher's also as an array. labels: whole
    numbers (n,), tensor, array or list; None with soft_weight=1. T²: without it the soft term's gradient shrinks as
    1/T² (Hinton et al., Section 2); `scale_by_temperature_squared=False` leaves it out. ValueError for a temperature
    that is not finite and above 0, a soft_weight outside [0, 1], logits that are no floats or of other shapes, and
    labels that are no classes (on a GPU, torch's error).
    """
    temperature, soft_weight = check_temperature(temperature), check_soft_weight(soft_weight)
    student_logits, teacher_logits = _float_logits(student_logits, teacher_logits)
    shape = tuple(student_logits.shape)
    if len(shape) != 2 or shape != teacher_logits.shape or shape[0] < 1 or shape[1] < 2:
        raise ValueError(
            "student_logits and teacher_logits must both be (n, classes) of at least two classes, "
            f"got {shape} and {tuple(teacher_logits.shape)}"
        )
    hard = _label_term(student_logits, labels) if labels is not None or soft_weight < 1 else 0.0
    targets = torch.softmax(teacher_logits / temperature, dim=1).to(student_logits.dtype)
    least = torch.finfo(student_logits.dtype).min  # a logit of −∞: 0 log 0 = 0
    soft = F.cross_entropy((student_logits / temperature).clamp_min(least), targets)
    scale = temperature**2 if scale_by_temperature_squared else 1.0
    return soft_weight * scale * soft + (1 - soft_weight) * hard


def _label_term(logits, labels):
    """The cross-entropy of logits (n, classes) against labels (n,); ValueError unless each is a class."""
    if not torch.is_tensor(labels):
        labels = as_array("labels", labels)
        labels = torch.from_numpy(labels.astype(np.int64)).to(logits.device) if labels.dtype.kind in "iu" else labels
    n, classes = logits.shape
    wanted = f"labels must be ({n},) whole numbers from 0 to {classes - 1}"
    whole = torch.is_tensor(labels) and not (labels.is_floating_point() or labels.dtype == torch.bool)
    if not whole or labels.shape != (n,):
        raise ValueError(f"{wanted}, got {tuple(labels.shape)} {labels.dtype}")
    try:
        return F.cross_entropy(logits, labels.long(), ignore_index=NEVER)
    except IndexError:
        labels = labels.long()
        outside = labels[(labels < 0) | (labels >= classes)]
        raise ValueError(f"{wanted}, got {outside[0]} ({len(outside)} are outside)") from None


def _float_logits(student, teacher):
    """Both as tensors of at least 32 bits, the teacher's without gradient; ValueError for what is no logits."""
    if not torch.is_tensor(student) or not student.is_floating_point():
        found = student.dtype if torch.is_tensor(student) else type(student).__name__
        raise ValueError(f"student_logits must be a tensor of floats, got {found}")
    if not torch.is_tensor(teacher):
        array = as_array("teacher_logits", teacher)
        teacher = as_tensor("teacher_logits", array).to(student.device) if array.dtype.kind == "f" else array
    if "float" not in str(teacher.dtype):
        raise ValueError(f"teacher_logits must be floats, got {teacher.dtype}")
    return (x if x.dtype == torch.float64 else x.float() for x in (student, teacher.detach()))


def soft_targets(teacher, images):
    """The teacher's logits (n, classes) on `images`, in evaluation mode and without gradient, computed once.

    Row i belongs to image i: index them by image, whatever the order of the batches. images: as for `models.logits`.
    Raises ValueError if a logit is not finite. Warns if they are probabilities, of a teacher that ends in a softmax.
    """
    teacher_logits = models.logits(teacher, images)
    models.warn_of_probabilities(teacher_logits)
    if not torch.isfinite(teacher_logits).all():
        raise ValueError("the teacher's logits are not all finite: it did not train")
    return teacher_logits


def loss_function(profile):
    """The function of this module that `profile.loss` names; raises ValueError if there is none."""
    function = globals().get(profile.loss)
    if not inspect.isfunction(function):
        raise ValueError(f"unknown loss {profile.loss!r}: it must be a function of kdutils.distillation")
    return function


def student_loss(profile, teacher_logits):
    """The loss of a student for `training.train`: a function of (logits, labels, rows) of a batch.

    Calls `loss_function(profile)` with the batch's rows of teacher_logits (n, classes), and gives each of its keyword
    arguments the profile's value of that name.
    """
    function = loss_function(profile)
    parameters = inspect.signature(function).parameters.values()
    settings = {p.name: getattr(profile, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return lambda logits, labels, rows: function(logits, teacher_logits[rows], labels, **settings)
