"""kdutils: the helper package of the six notebooks on uncertainty transfer by knowledge distillation.

``import kdutils as kd`` is light: each submodule is loaded when it is first used (PEP 562), so that
everything from stored predictions on (calibration, transfer, plots) works without torch.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "calibration",
    "data",
    "distillation",
    "mc_dropout",
    "models",
    "plots",
    "profiles",
    "runs",
    "stats",
    "training",
    "transfer",
)
_NAMES = {"PROFILES": "profiles", "Profile": "profiles", "Run": "runs"}

__all__ = [*_SUBMODULES, *_NAMES]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
