"""Each notebook opened alone in an empty machine like Colab's: what it has installed is left alone, the rest comes.

Real but for the machine: a virtual environment with Colab's kind of packages, a module called google.colab, and git
told that the repository's address is this folder, of whose last commit it clones what the notebook reads. Nobody looks
at a page here, so the sliders' cells draw plain figures; the browser's test moves them. (Sliders run by papermill can
hang it: nbclient's answers to their output areas get in the way of the kernel's replies.)
"""

import json
import os
import shutil
import subprocess
import sys

import kdutils as kd
import links
import nbformat
import pytest
from checkout import NOTEBOOKS, ROOT

pytestmark = pytest.mark.colab
BASE = ["torch==2.14.1", "torchvision==0.29.1", "numpy==2.0.2", "pandas==2.2.2", "scipy==1.16.3", "matplotlib==3.10.0"]
BASE += ["seaborn==0.13.2", "statsmodels==0.14.6", "scikit-learn", "tqdm", "jinja2", "ipykernel", "ipywidgets"]


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=1200, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """(folder, python, environment) of a machine with Colab's packages and a kernel called colab."""
    folder = tmp_path_factory.mktemp("colab")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *BASE)
    (folder / "modules" / "google" / "colab").mkdir(parents=True)
    (folder / "modules" / "google" / "colab" / "__init__.py").touch()
    startup = folder / "ipython" / "profile_default" / "startup" / "colab.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("import google.colab\n", encoding="utf-8")
    kernel = folder / "jupyter" / "kernels" / "colab" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}), encoding="utf-8")
    address = f"https://github.com/{links.address()}"
    kd.data.load_mnist()  # fetched once, for all
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "KDUTILS_PROFILE")}
    environment |= {
        "PYTHONPATH": str(folder / "modules"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PATH": str(folder / "jupyter"),
        "KDUTILS_DATA": str(kd.data.default_root()),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
    }
    settings = {f"url.file://{ROOT}.insteadOf": address, "uploadpack.allowFilter": "true"}  # as GitHub allows it
    settings |= {"safe.directory": "*"}
    for key, value in settings.items():
        run("git", "config", "--global", key, value, env=environment)
    yield folder, python, environment
    shutil.rmtree(folder)


def installed(python):
    freeze = run(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    return {package["name"]: package["version"] for package in json.loads(freeze)}


def opened_alone(machine, name, scale):
    """(clone, executed notebook) of a notebook that is opened in an empty folder of the machine."""
    folder, python, environment = machine
    before = installed(python)
    assert "kdutils" not in before
    empty = folder / name
    empty.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "opened.ipynb")
    out = folder / "executed.ipynb"
    command = [sys.executable, "-m", "papermill", folder / "opened.ipynb", out, "-k", "colab", "--cwd", empty]
    run(*command, "--no-progress-bar", env=environment | scale)

    after = installed(python)
    assert after.pop("kdutils") == kd.__version__
    assert {package: after[package] for package in before} == before
    run(python, "-m", "pip", "uninstall", "--yes", "--quiet", "kdutils")
    return empty / "uncertainty-transfer", nbformat.read(out, 4)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_alone_in_an_empty_machine(machine, name):
    scale = {} if name[:2] in ("05", "06", "07", "08") else {"KDUTILS_PROFILE": "smoke"}  # those read committed results
    clone, executed = opened_alone(machine, name, scale)
    assert list((clone / "runs").rglob(f"{name}*.json"))
    assert (clone / "runs" / "smoke").exists() == bool(scale)
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"] == []
    objects = run("git", "rev-list", "--objects", "--missing=print", "HEAD", cwd=clone).splitlines()
    assert any(line.startswith("?") for line in objects)  # files that it does not read never came


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_solutions_find_what_they_read(machine, name):
    opened_alone(machine, f"solutions/{name}", {})
