"""A copy of the project in an empty folder, and the commands that a user would type in it."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kdutils as kd

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = tuple(sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")))


def listed(*patterns):
    """The names of the project's files, as git would hand them out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.splitlines()
    return [name for name in found if (ROOT / name).is_file()]


def copy(names, folder):
    """Copy these files to `folder`."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


@contextlib.contextmanager
def project(tmp_path_factory):
    """A Project in a folder of its own, with a space and umlauts in its name, which is gone afterwards."""
    folder = tmp_path_factory.mktemp("project")
    yield Project(folder / "Übung in München")
    shutil.rmtree(folder)


class Project:
    """The project as git would hand it out, copied to `folder`."""

    def __init__(self, folder):
        copy(listed(), folder)
        self.folder = folder
        self.runs = folder / "runs" / "smoke"
        kd.data.load_mnist()  # fetched once, for all
        self.environment = {key: value for key, value in os.environ.items() if key != "KDUTILS_PROFILE"}
        self.environment |= {"KDUTILS_DATA": str(kd.data.default_root()), "JUPYTER_PREFER_ENV_PATH": "1"}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"

    def run(self, *command, cwd=None, **environment):
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=1200,
            encoding="utf-8",
        )

    def snakemake(self, *more, **config):
        settings = [f"{key}={value}" for key, value in ({"profile": "smoke"} | config).items()]
        command = ("snakemake", "--cores", "all", "--nolock", "--rerun-incomplete", *more, "--config", *settings)
        return self.run(*command)

    def papermill(self, notebook, *parameters, cwd=None):
        words = [word for name, value in parameters for word in ("-p", name, value)]
        return self.run("papermill", notebook, "out.ipynb", *words, "--no-progress-bar", cwd=cwd)

    def nbval(self, *paths, **environment):
        command = (sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", *paths)
        return self.run(*command, **environment)
