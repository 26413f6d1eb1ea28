"""The settings of an experiment at three scales, and the seeds that derive from one."""

import hashlib
import math
import numbers
import re
from dataclasses import dataclass, replace


def whole_number(name, value, minimum):
    """`value` as an int; ValueError naming `name` unless it is a whole number of at least `minimum`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def check_seed(value):
    """`value` as an int; ValueError unless it is a whole number from 0 to 2**32 - 1."""
    if whole_number("seed", value, minimum=0) >= 2**32:
        raise ValueError(f"seed must be below 2**32, got {value}")
    return int(value)


def check_temperature(value):
    """ValueError unless `value` is a finite number above 0."""
    if not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"temperature must be a finite number above 0, got {value!r}")


def check_soft_weight(value):
    """ValueError unless `value` is a number in [0, 1]."""
    if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"soft_weight must be a number in [0, 1], got {value!r}")


@dataclass(frozen=True)
class Profile:
    """How large an experiment is and how its networks are trained.

    A variant is a `dataclasses.replace` of a known profile with a `name` of its own: the name is the
    folder in which its networks lie. Every field is checked; a wrong one is a ValueError.
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
    temperature: float = 4.0
    soft_weight: float = 0.5  # weight of the soft-target term; the labels get the rest
    scale_by_temperature_squared: bool = True
    mc_soft_targets: bool = False  # the teacher's MC mean in the place of its output with dropout off
    base: str = ""  # the profile whose teacher, and whatever else is the same, is shared; "" has its own

    def __post_init__(self):
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name must be lower-case letters, digits, '.', '_', '-', got {self.name!r}")
        for field in ("train_images", "validation_images", "test_images", "epochs", "batch_size", "mc_passes"):
            whole_number(field, getattr(self, field), minimum=1)
        for field in ("peak_learning_rate", "weight_decay"):
            value = getattr(self, field)
            if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
                raise ValueError(f"{field} must be a finite number of at least 0, got {value!r}")
        check_temperature(self.temperature)
        check_soft_weight(self.soft_weight)
        for field in ("scale_by_temperature_squared", "mc_soft_targets"):
            if not isinstance(getattr(self, field), bool):
                raise ValueError(f"{field} must be True or False, got {getattr(self, field)!r}")
        base = resolve(self.base) if self.base else self
        for field in ("train_images", "validation_images", "test_images"):
            if getattr(base, field) != getattr(self, field):
                raise ValueError(f"{field} must be its base's {getattr(base, field)}, got {getattr(self, field)}")


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", 1_000, 500, 500, epochs=1, batch_size=50, peak_learning_rate=5e-4, mc_passes=5),
        Profile("quick", 8_000, 2_000, 10_000, epochs=3, batch_size=64, peak_learning_rate=5e-4, mc_passes=100),
        Profile("paper", 50_000, 10_000, 10_000, epochs=2, batch_size=128, peak_learning_rate=1e-3, mc_passes=100),
    )
}


def variants(profile):
    """{name: changed fields}: one choice each that the paper leaves open, made otherwise than by `profile`.

    None of a variant itself: one choice at a time.
    """
    return (
        {}
        if profile.base
        else {
            **{f"t{temperature}": {"temperature": float(temperature)} for temperature in (1, 2, 8, 16)},
            "no-t2": {"scale_by_temperature_squared": False},
            "soft-0.9": {"soft_weight": 0.9},
            "mc-targets": {"mc_soft_targets": True},
            "twice": {"epochs": 2 * profile.epochs},
        }
    )


def resolve(profile):
    """The Profile for a known name, such as "quick" or its variant "quick-t8", or `profile` itself if it is one.

    ValueError lists the known names.
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


def derive_seed(seed, *purpose):
    """A 63-bit seed for one purpose, e.g. ``derive_seed(0, "SN2", "initialisation")``.

    Seeds of different purposes are independent (SHA-256), so that no two parts of a run share a random
    stream unless they are meant to.
    """
    words = "/".join(map(str, (whole_number("seed", seed, minimum=0), *purpose)))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
