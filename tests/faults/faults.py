"""Real faults against real runs. A few of each with `make test`, all of them with `make test-faults`.

`make test-faults` tries every fault, and writes to results/faults.json how many were survived.
"""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import kdutils as kd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TRIED, SURVIVED = Counter(), Counter()

# What a process of ours does: a teacher and a student, a few images, three epochs. The teacher has SN1's architecture
# here, as what is stored and how does not depend on it, and there are many runs; the pipeline's tests have the real TN.
SCRIPT = """
import sys
import kdutils as kd
kd.runs.NETWORKS["TN"] = ("SN1", False)
profile = kd.Profile("tiny", 200, 20, 50, epochs=3, batch_size=20, peak_learning_rate=1e-3, mc_passes=3)
run = kd.Run(profile, 0, sys.argv[1], device="cpu")
for name in ("TN", "KD-SN1"):
    run.predictions(name)
"""


# options of a process in a group of its own, which heeds SIGINT even where this one, in the background, does not
APART = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "start_new_session": True,
    "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
}


def some(cases, few):
    """All `cases`, marked `faults` but for `few` of them, spread over the list."""
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    step = -(-len(cases) // few)
    return [pytest.param(*case, marks=[pytest.mark.faults] if i % step else []) for i, case in enumerate(cases)]


@contextlib.contextmanager
def fault(kind):
    """Counts one fault as tried and, if the block ends without an error, as survived."""
    TRIED[kind] += 1
    yield
    SURVIVED[kind] += 1


def start(script, *arguments, env=None):
    """A Python process of its own, in a group of its own, that runs `script`."""
    environment = os.environ | {"KDUTILS_DATA": str(kd.data.default_root().resolve())} | (env or {})
    command = [sys.executable, "-u", "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, **APART)


def finish(process, timeout=600):
    """(exit status, everything that it printed)."""
    said, _ = process.communicate(timeout=timeout)
    return process.returncode, said


def made(folder):
    """{path: bytes} of the weights and predictions below `folder`: what has to be the same, bit by bit."""
    found = [path for pattern in ("weights.safetensors", "predictions.npz") for path in folder.rglob(pattern)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
