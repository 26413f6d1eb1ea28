"""The one-pass students, their controls, and the recipe that trains them."""

import math
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from .plumbing.checks import number, whole_number

KINDS = ("affine", "mixture", "noise")  # what makes a view of an image
LOSSES = ("brier", "cross_entropy")  # functions of `kdutils.one_pass`


class Student(NamedTuple):
    """What a network of `ONE_PASS` learns from: answers to the training images, and with `views` to views of them.

    answers: "mc", the MC teacher's mean and mutual information; "off", the teacher's with dropout off; "labels";
    "distillation", those that the paper's loss takes. Without views it takes as many steps.
    """

    architecture: str
    answers: str
    views: bool


ONE_PASS = {  # name: a one-pass student; with a suffix, a control: what differs from that student or the paper's
    f"{kind}-{architecture}{suffix}": Student(architecture, answers, views)
    for architecture in ("SN1", "SN2")
    for kind, suffix, answers, views in (
        ("ONE", "", "mc", True),
        ("ONE", "-clean", "mc", False),
        ("ONE", "-off", "off", True),
        ("ONE", "-labels", "labels", True),
        ("KD", "-views", "distillation", True),
        ("KD", "-steps", "distillation", False),
    )
}


STUDY = ("ONE-SN1", "KD-SN1-steps", "ONE-SN2", "KD-SN2-steps")  # those that every seed has


@dataclass(frozen=True)
class Recipe:
    """How the networks of `ONE_PASS` are trained. Raises ValueError for a wrong field.

    workflow/one_pass.py chose it. A manifest without a field is taken to have that field's default.
    """

    views: int = 4  # of each training image
    kinds: str = "affine mixture"  # of views, words of `KINDS`
    steps: int = 5_000  # of the optimiser, rounded to whole epochs over the images learned from
    batch_size: int = 128
    peak_learning_rate: float = 2e-3
    loss: str = "brier"
    dropout: bool = False  # in training; the paper's distillation has it always

    def __post_init__(self):
        plain = {name: whole_number(name, getattr(self, name), minimum=1) for name in ("views", "steps", "batch_size")}
        name, wanted = "peak_learning_rate", "a finite number of at least 0"
        plain[name] = number(name, self.peak_learning_rate, wanted, lambda value: 0 <= value < math.inf)
        for name, value in plain.items():  # NumPy's numbers as Python's, which JSON holds
            object.__setattr__(self, name, value)
        if not isinstance(self.kinds, str):
            raise ValueError(f"kinds must be words among {', '.join(KINDS)}, got {self.kinds!r}")
        if unknown := set(self.kinds.split()) - set(KINDS):
            raise ValueError(f"kinds must be words among {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")
        if not isinstance(self.dropout, bool):
            raise ValueError(f"dropout must be True or False, got {self.dropout!r}")

    def settings(self):
        """The recipe as a manifest records it, beside the profile's fields."""
        return {f"recipe_{key}": value for key, value in asdict(self).items()}

    def schedule(self, name, profile):
        """The Profile by which a network is trained: `profile`, for one of `ONE_PASS` with the recipe's steps.

        The paper's distillation keeps the rate of `profile`: with the recipe's, it follows its teacher less well.
        """
        if name not in ONE_PASS:
            return profile
        images = profile.train_images * (1 + self.views * ONE_PASS[name].views)
        epochs = max(1, round(self.steps / -(-images // self.batch_size)))
        rate = self.peak_learning_rate if answers_once(name) else profile.peak_learning_rate
        return replace(profile, epochs=epochs, batch_size=self.batch_size, peak_learning_rate=rate)

    def has_dropout(self, name):
        """Whether a network is trained with dropout."""
        return not answers_once(name) or self.dropout

    def loss_of(self, name, profile, distilled):
        """(module, function): where the loss of a network stands. distilled: whether it learns from the teacher."""
        if answers_once(name):
            return "one_pass", self.loss
        return ("distillation", profile.loss) if distilled else ("training", "label_loss")


def answers_once(name):
    """Whether a network answers in one pass: those of `ONE_PASS` without the paper's distillation."""
    return name in ONE_PASS and ONE_PASS[name].answers != "distillation"


_RECIPES = {"smoke": Recipe(views=1, steps=50), "quick": Recipe(), "paper": Recipe(views=2, steps=4_700)}
DEFAULTS = Recipe().settings()


def recipe_of(profile):
    """The Recipe at the scale of a Profile: that of its base, else that of `quick`."""
    return _RECIPES.get(profile.base or profile.name, Recipe())
