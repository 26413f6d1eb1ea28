"""Installed in fresh virtual environments, each of some gigabytes, as users do it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import checkout
import pytest
from checkout import ROOT

pytestmark = pytest.mark.install
USE = """
import kdutils as kd
assert kd.calibration.expected_calibration_error([0.9, 0.9], [True, False]) == 0.4
assert kd.models.parameter_count(kd.models.build("SN1")) == 4_265_066
print(kd.__file__)
"""


@pytest.fixture
def python(tmp_path):
    """A function that runs the Python of a fresh virtual environment, outside the repository."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words):
        command = [tmp_path / "venv" / "bin" / "python", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800, encoding="utf-8"
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    yield run
    shutil.rmtree(tmp_path / "venv")


@pytest.fixture
def source(tmp_path):
    """The project's files alone, as a copy: a build leaves folders."""
    checkout.copy(checkout.listed("kdutils", "*.toml", "*.md", "LICENSE"), tmp_path / "source")
    return tmp_path / "source"


def test_the_package_alone_and_its_wheel(python, source, tmp_path):
    python("-m", "pip", "install", "--quiet", source)
    assert "site-packages" in python("-c", USE)
    python("-m", "pip", "uninstall", "--quiet", "--yes", "kdutils")
    python("-m", "pip", "install", "--quiet", "build")
    python("-m", "build", "--outdir", tmp_path / "dist", source)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    python("-m", "pip", "install", "--quiet", "--no-deps", wheel)
    assert "site-packages" in python("-c", USE)


def test_all_extras_go_together(python, source):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    python("-m", "pip", "install", "--quiet", f"{source}[{','.join(extras)}]")
    python("-m", "pip", "check")
    assert "site-packages" in python("-c", USE)


def test_what_a_conda_user_installs_with_pip(python, source):
    pins = re.findall(r"^ *- (.*==.*)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE)
    python("-m", "pip", "install", "--quiet", *pins)
    python("-m", "pip", "install", "--quiet", "--no-deps", "-e", source)
    python("-m", "pip", "check")
    assert "source" in python("-c", USE)


FAST = ("test_calibration", "test_claims", "test_distillation", "test_environment", "test_models", "test_notebook")
FAST += ("test_plots", "test_predictions", "test_profiles", "test_results_version", "test_stats", "test_structure")
FAST += ("test_study", "test_transfer")


def test_what_make_installs_passes_the_fast_tests(tmp_path):
    """From requirements.lock, by the Makefile's own lines, into an empty folder."""
    checkout.copy(checkout.listed(), tmp_path / "project")
    environment = os.environ | {"KDUTILS_DATA": str(checkout.kd.data.default_root().resolve())}
    environment = {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    tests = [f"tests/{name}.py" for name in FAST]
    for words in (
        ["make", ".venv/ready", f"PYTHON={sys.executable}"],
        [".venv/bin/python", "-m", "pip", "check"],
        [".venv/bin/python", "-m", "pytest", "-q", *tests],
    ):
        done = subprocess.run(
            words, cwd=tmp_path / "project", env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shutil.rmtree(tmp_path / "project")
