import importlib.metadata
import os
import subprocess
import sys

import kdutils as kd
import pytest
from kdutils.plumbing import machine

BLOCK_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""
READ_RESULTS = """
import kdutils as kd
run = kd.Run({profile}, 0, {root!r}, read_only=True)
teacher, student = run.predictions("SN1"), run.predictions("KD-SN1")
ece = kd.calibration.expected_calibration_error(student.confidence, student.correct)
mupe = kd.transfer.mupe(teacher.confidence, student.confidence)
run.history("SN1"), kd.plumbing.machine.provenance()
print(ece, mupe)
"""
DRAW = """
bins = kd.calibration.reliability_bins(student.confidence, student.correct)
kd.plots.calibration_curves({"a title": {"KD-SN1": bins}})
"""


def python(code, folder):
    environment = os.environ | {"MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", kd.__all__)
def test_every_public_name_is_there(name):
    assert hasattr(kd, name)
    assert name in dir(kd)


def test_short_names_are_those_of_their_modules():
    assert kd.Run is kd.runs.Run
    assert kd.Profile is kd.profiles.Profile
    assert kd.PROFILES is kd.profiles.PROFILES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kdutils' has no attribute 'registry'"):
        _ = kd.registry


def test_the_version_is_that_of_the_installed_package():
    assert kd.__version__ == importlib.metadata.version("kdutils")


def test_importing_the_package_loads_none_of_its_modules(tmp_path):
    code = "import sys, kdutils; print(*sorted(name for name in sys.modules if name.startswith('kdutils')))"
    assert python(code, tmp_path) == ["kdutils"]


@pytest.mark.parametrize("name", ["calibration", "transfer", "profiles", "plots", "runs", "data", "Run", "PROFILES"])
def test_what_works_on_arrays_does_not_import_torch(name, tmp_path):
    code = f"import sys, kdutils as kd; kd.{name}; print('torch' in sys.modules, 'torchvision' in sys.modules)"
    assert python(code, tmp_path) == ["False", "False"]


def test_stored_predictions_are_read_and_measured_without_torch(finished_run, tmp_path):
    read = READ_RESULTS.format(profile=f"kd.{finished_run.profile!r}", root=str(finished_run.root))
    teacher, student = finished_run.predictions("SN1"), finished_run.predictions("KD-SN1")
    ece = kd.calibration.expected_calibration_error(student.confidence, student.correct)
    expected = [str(ece), str(kd.transfer.mupe(teacher.confidence, student.confidence))]
    assert python(BLOCK_TORCH + read + DRAW, tmp_path) == expected
    assert python(read + "import sys; print('torch' in sys.modules)", tmp_path) == [*expected, "False"]


WAITING = "import os; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
DEVICE = "kd.Run('smoke', device='cpu').device; print(torch.get_num_threads())"


def without_policy(code, folder, **more):
    """What `code` prints in a process for which nobody has chosen how OpenMP's threads wait."""
    unset = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    unset.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=unset | more, check=True, encoding="utf-8"
    ).stdout


def test_threads_that_wait_sleep_unless_the_user_has_chosen(tmp_path):
    code = f"import kdutils; {WAITING}"
    assert without_policy(code, tmp_path).split() == ["PASSIVE", "1000"]
    assert without_policy(code, tmp_path, OMP_WAIT_POLICY="ACTIVE").split() == ["ACTIVE", "None"]
    assert without_policy(code, tmp_path, GOMP_SPINCOUNT="7").split() == ["None", "7"]


@pytest.mark.skipif(machine.available_threads() < 2, reason="one processor")
def test_if_torch_came_first_a_thread_is_left_and_that_is_said(tmp_path):
    threads = machine.available_threads()
    late = without_policy(f"import torch, kdutils as kd; {DEVICE}", tmp_path).splitlines()
    said = f"torch was imported before kdutils: computing with {threads - 1} of {threads} threads"
    assert late == [said, str(threads - 1)]
    assert without_policy(f"import kdutils as kd, torch; {DEVICE}", tmp_path).split() == [str(threads)]
    chosen = without_policy(f"import torch, kdutils as kd; {DEVICE}", tmp_path, OMP_WAIT_POLICY="PASSIVE")
    assert chosen.split() == [str(threads)]
