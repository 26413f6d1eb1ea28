"""The settings of an experiment at three scales, the seeds that derive from one, and who owns a shared network."""

import hashlib
import math
import numbers
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, replace

from .plumbing.checks import check_seed, check_soft_weight, check_temperature, number, whole_number


def _of_distillation(default):
    """A field that only distilled networks depend on."""
    return field(default=default, metadata={"distillation": True})


@dataclass(frozen=True)
class Profile:
    """How large an experiment is and how its networks are trained.

    A variant is a `dataclasses.replace` of a known profile with a `name` of its own: the name is the folder in which
    its networks lie. A manifest without a field is taken to have that field's default. Raises ValueError for a wrong
    field.
    """

    name: str
    train_images: int
    validation_images: int
    test_images: int
    epochs: int
    batch_size: int
    peak_learning_rate: float  # of the one-cycle schedule
    mc_passes: int  # stochastic passes N of MC dropout
    weight_decay: float = 0.01
    temperature: float = _of_distillation(4.0)
    soft_weight: float = _of_distillation(0.5)  # weight of the soft-target term; the labels get the rest
    scale_by_temperature_squared: bool = _of_distillation(True)
    mc_soft_targets: bool = _of_distillation(False)  # the teacher's MC mean instead of its output with dropout off
    loss: str = _of_distillation("distillation_loss")  # a function of `kdutils.distillation`
    base: str = ""  # the profile that shares its teacher, and whatever else is the same; "": none

    def __post_init__(self):
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name must be lower-case letters, digits, '.', '_', '-', got {self.name!r}")
        counts = ("train_images", "validation_images", "test_images", "epochs", "batch_size", "mc_passes")
        plain = {name: whole_number(name, getattr(self, name), minimum=1) for name in counts}
        for name in ("peak_learning_rate", "weight_decay"):
            wanted = "a finite number of at least 0"
            plain[name] = number(name, getattr(self, name), wanted, lambda value: 0 <= value < math.inf)
        plain["temperature"] = check_temperature(self.temperature)
        plain["soft_weight"] = check_soft_weight(self.soft_weight)
        for name, value in plain.items():  # NumPy's numbers as Python's, which JSON holds
            object.__setattr__(self, name, value)
        for name in ("scale_by_temperature_squared", "mc_soft_targets"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if not isinstance(self.loss, str) or not self.loss.isidentifier():
            raise ValueError(f"loss must be the name of a function of kdutils.distillation, got {self.loss!r}")
        base = resolve(self.base) if self.base else self
        for name in ("train_images", "validation_images", "test_images"):
            if getattr(base, name) != getattr(self, name):
                raise ValueError(f"{name} must be its base's {getattr(base, name)}, got {getattr(self, name)}")


DEFAULTS = {field.name: field.default for field in fields(Profile) if field.default is not MISSING}
_KNOWN = (
    Profile("smoke", 1_000, 500, 500, epochs=1, batch_size=50, peak_learning_rate=5e-4, mc_passes=5),
    Profile("quick", 8_000, 2_000, 10_000, epochs=3, batch_size=64, peak_learning_rate=5e-4, mc_passes=100),
    Profile("paper", 50_000, 10_000, 10_000, epochs=2, batch_size=128, peak_learning_rate=1e-3, mc_passes=100),
)
PROFILES = {profile.name: profile for profile in _KNOWN}
FURTHER = {  # studies beside the scales; `resolve` takes these profiles, not their names
    "quick-converged": replace(PROFILES["quick"], name="quick-converged", epochs=12),
    "quick-fashion": replace(PROFILES["quick"], name="quick-fashion"),  # on Fashion-MNIST, as `runs.DATA` says
}


def variants(profile):
    """{name: changed fields}: for each choice that the paper leaves open, another one than that of `profile`.

    Empty for a variant: one choice at a time.
    """
    if profile.base:
        return {}
    return {f"t{temperature}": {"temperature": float(temperature)} for temperature in (1, 2, 8, 16)} | {
        "no-t2": {"scale_by_temperature_squared": False},
        "soft-0.9": {"soft_weight": 0.9},
        "mc-targets": {"mc_soft_targets": True},
        "twice": {"epochs": 2 * profile.epochs},
    }


def resolve(profile):
    """The Profile for a known name, such as "quick" or its variant "quick-t8", or `profile` itself if it is one.

    Raises ValueError, which lists the known names, for any other.
    """
    if isinstance(profile, Profile):
        return profile
    base, dash, variant = profile.partition("-") if isinstance(profile, str) else ("", "", "")
    changes = variants(PROFILES[base]) if base in PROFILES else {}
    if dash and variant in changes:
        return replace(PROFILES[base], name=profile, base=base, **changes[variant])
    if not isinstance(profile, str) or profile not in PROFILES:
        known = f"{', '.join(PROFILES)}, and variants of them such as quick-t8"
        raise ValueError(f"unknown profile {profile!r}: known are {known}")
    return PROFILES[profile]


def owner(profile, *, teacher=False, distilled=False):
    """The Profile in whose folder a network lies: that of its base, where the two differ in nothing that it depends on.

    A teacher is always its base's. A network without distillation depends on no field of distillation.
    """
    if not profile.base:
        return profile
    base = resolve(profile.base)
    other = {"name", "base"} | {field.name for field in fields(Profile) if field.metadata.get("distillation")}
    same = all(getattr(base, key) == value for key, value in asdict(profile).items() if key not in other)
    return owner(base, teacher=teacher, distilled=distilled) if teacher or (same and not distilled) else profile


def derive_seed(seed, *purpose):
    """A 63-bit seed for one purpose, e.g. ``derive_seed(0, "SN2", "initialisation")``.

    Seeds of different purposes are independent (SHA-256): two parts of a run share a random stream only if their
    purposes are equal.
    """
    words = "/".join(map(str, (whole_number("seed", seed, minimum=0), *purpose)))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1


def seeds_in(folder):
    """The seeds of a profile's folder, those of its folders seed-<seed>, sorted."""
    return sorted(int(path.name.removeprefix("seed-")) for path in folder.glob("seed-*"))


def parse_seeds(seeds):
    """Whole numbers from 0, a list of them, or text such as "0-9" or "0,2,5-7", as a sorted list; else ValueError."""
    if isinstance(seeds, str) and re.fullmatch(r" *\d+(-\d+)? *(, *\d+(-\d+)? *)*", seeds):
        ranges = [[int(end) for end in part.split("-")] for part in seeds.split(",")]
        if sum(ends[-1] - ends[0] for ends in ranges) > 10_000:
            raise ValueError(f"seeds must be at most 10,000, got {seeds!r}")
        seeds = [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)] or seeds
    listed = seeds if isinstance(seeds, list) else [seeds]
    if not listed or not all(
        isinstance(seed, numbers.Integral) and not isinstance(seed, bool) and seed >= 0 for seed in listed
    ):
        raise ValueError(f'seeds must be like 0, "0,1,2" or "0-9", got {seeds!r}')
    return sorted({check_seed(seed) for seed in listed})
