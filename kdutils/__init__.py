"""kdutils: the helper package of the notebooks on uncertainty transfer by knowledge distillation.

``import kdutils as kd`` is light: each submodule is loaded when it is first used (PEP 562). Everything from stored
predictions on (calibration, transfer, plots) works without torch.
"""

import importlib
import os
import sys

__version__ = "0.1.0"

_SUBMODULES = (
    *("profiles", "recipes", "data", "shifts", "models", "distillation", "training", "mc_dropout", "one_pass"),
    *("predictions", "calibration", "transfer", "stats", "study", "choices", "transferred", "followed"),
    *("judging", "claims", "ours", "plots", "intervals", "origin", "runs", "notebook"),
)
_NAMES = {"PROFILES": "profiles", "Profile": "profiles", "Run": "runs"}

__all__ = [*_SUBMODULES, *_NAMES]

# OpenMP reads these when torch is loaded. A thread that waits then sleeps after a microsecond. By default it spins, and
# beside any other work the computation waits for whichever thread was put aside.
_POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
_CHOSEN = bool(_POLICY.keys() & os.environ.keys())  # by the user, or by the process that started this one
TORCH_CAME_FIRST = "torch" in sys.modules and not _CHOSEN
if not _CHOSEN:
    os.environ.update(_POLICY)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
