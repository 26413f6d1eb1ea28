"""The settings of an experiment at three scales, the seeds that derive from one, and who owns a shared network."""

import hashlib
import math
import numbers
import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields, replace

from .plumbing.checks import check_seed, check_soft_weight, check_temperature, number, whole_number
from .plumbing.store import located

FIRST_FRESH = 4  # seed of `paper`; seeds 0 to 3 and all of `quick` were explored
FEWEST_FRESH = 6  # seeds that are shown in the place of the explored ones
LAYERS = r"(?:(?:5x5:)?[1-9]\d*|M)"
STUDENT = re.compile(rf"(SN[123]): ({LAYERS}(?: {LAYERS})*), ([1-9]\d*(?:, [1-9]\d*)*)")  # as in `Profile.student`


def _of_distillation(default):
    """A field that only distilled networks depend on."""
    return field(default=default, metadata={"distillation": True})


@dataclass(frozen=True)
class Profile:
    """How large an experiment is and how its networks are trained.

    A variant is a `dataclasses.replace` of a known profile with a `name` of its own: the name is the folder in which
    its networks lie. A file says one, too (`read`). A manifest without a field is taken to have that field's default.
    Raises ValueError for a wrong field.
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
    data: str = "mnist"  # "mnist", "fashion_mnist", or the path of an NPZ file, as `data.load_parts` takes it
    student: str = ""  # another design of one, "SN1: 5x5:16 M 5x5:32 M, 128", words as in `models.ARCHITECTURES`

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
        if not isinstance(self.data, str) or not (self.data in DATA or self.data.endswith(".npz")):
            raise ValueError(f"data must be one of {', '.join(DATA)} or the path of an NPZ file, got {self.data!r}")
        if self.student != "" and not (isinstance(self.student, str) and STUDENT.fullmatch(self.student)):
            raise ValueError(f"student must be like 'SN1: 5x5:16 M 5x5:32 M, 128', got {self.student!r}")
        _ = self.base and resolve(self.base)  # an unknown one is refused

    @property
    def changes(self):
        """{field: value} of what is another than in the base; {} without a base."""
        known = {key: getattr(resolve(self.base), key) for key in _FIELDS} if self.base else {}
        return {key: getattr(self, key) for key, value in known.items() if getattr(self, key) != value}

    def design(self, architecture):
        """(features, hidden sizes) of `student`, if that is of this architecture; None: as in `models`."""
        name, layers, hidden = STUDENT.fullmatch(self.student).groups() if self.student else ("", "", "")
        return (layers, tuple(map(int, hidden.split(", ")))) if name == architecture else None


DATA = ("mnist", "fashion_mnist")
IMAGES = ("train_images", "validation_images", "test_images", "data")  # all that a teacher does not share beyond them
_FIELDS = [field.name for field in fields(Profile) if field.name not in ("name", "base")]
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
    """The Profile for a known name, such as "quick" or its variant "quick-t8", or for a file, such as "my-t3.toml".

    `profile` itself if it is one. Raises ValueError, which lists the known names, for any other.
    """
    if isinstance(profile, Profile):
        return profile
    if isinstance(profile, str) and profile.endswith(".toml"):
        return read(profile)
    base, dash, variant = profile.partition("-") if isinstance(profile, str) else ("", "", "")
    changes = variants(PROFILES[base]) if base in PROFILES else {}
    if dash and variant in changes:
        return replace(PROFILES[base], name=profile, base=base, **changes[variant])
    if not isinstance(profile, str) or profile not in PROFILES:
        known = f"{', '.join(PROFILES)}, variants of them such as quick-t8, and files such as my-t3.toml"
        raise ValueError(f"unknown profile {profile!r}: known are {known}")
    return PROFILES[profile]


def read(file):
    """The Profile that a TOML file says: `base` is a known one, every other key a field with another value.

    file: a path, seen from the working directory or from the repository's root. The file's name is the profile's.
    Raises ValueError, which begins with the path, for a missing file, for unknown keys and wrong values.
    """
    path = located(file)
    try:
        changes = tomllib.loads(path.read_text(encoding="utf-8"))
        if unknown := changes.keys() - {"base", *_FIELDS}:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}: known are base, {', '.join(_FIELDS)}")
        base = changes.pop("base", None)
        if base not in PROFILES:
            raise ValueError(f"base must be one of {', '.join(PROFILES)}, got {base!r}")
        taken = {f"{name}-{variant}" for name in PROFILES for variant in variants(PROFILES[name])}
        if path.stem in taken | {*PROFILES, *FURTHER}:
            raise ValueError(f"{path.stem} is a profile of kdutils: give the file another name")
        return replace(PROFILES[base], name=path.stem, base=base, **changes)
    except (OSError, ValueError) as error:
        raise ValueError(f"profile {file}: {getattr(error, 'strerror', None) or error}") from None


def owner(profile, architecture, distilled=False):
    """The Profile in whose folder a network lies: that of its base, where the two differ in nothing that it depends on.

    A teacher is its base's unless the images are others. A network without distillation depends on no field of
    distillation, and none on the design of another architecture.
    """
    differs = profile.changes.keys()
    if architecture == "TN":
        differs = differs & set(IMAGES)
    elif not profile.design(architecture):
        differs = differs - {"student"}
    if not distilled:
        differs = differs - {field.name for field in fields(Profile) if field.metadata.get("distillation")}
    return profile if differs or not profile.base else owner(resolve(profile.base), architecture, distilled)


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


def of_one_stage(profile, seeds):
    """Of the seeds of a profile, a name, those that may stand in one table: never fresh ones among explored ones."""
    explored = [seed for seed in seeds if profile != "paper" or seed < FIRST_FRESH]
    fresh = [seed for seed in seeds if seed not in explored]
    return fresh if len(fresh) >= FEWEST_FRESH or not explored else explored


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
