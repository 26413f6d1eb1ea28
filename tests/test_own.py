"""The recipes of docs/own.md run as they are printed, and are short."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kdutils as kd
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "own.md"
SECTION = re.compile(r"^## (.+?)\n.*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
RECIPES = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))
FOLDERS = {
    "Change one thing": "my-t3/seed-0/KD-SN1",
    "A student of your own": "smoke/seed-0/KD-SN0",
    "A loss of your own": "smoke-squared/seed-0/KD-SN1",
    "Data of your own": "digits/seed-0/KD-SN1",
}
ALONE = "A network of your own, without the experiment"  # stores nothing


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").touch()
    return folder


def test_there_are_five_recipes():
    assert RECIPES.keys() == FOLDERS.keys() | {ALONE}


@pytest.mark.parametrize("name", [*FOLDERS, ALONE])
def test_a_recipe_is_short_and_runs(repository, name):
    assert len([line for line in RECIPES[name].splitlines() if line.strip()]) <= 15
    environment = os.environ | {"KDUTILS_DATA": str(kd.data.default_root().resolve())}
    command = [sys.executable, "-c", RECIPES[name]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, env=environment)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout.split()[-1]) < 1
    assert name == ALONE or (repository / "runs" / FOLDERS[name] / "predictions.npz").exists()


def test_a_loss_of_ones_own_shares_the_teacher_and_is_recorded(repository):
    assert [path.name for path in (repository / "runs" / "smoke-squared" / "seed-0").iterdir()] == ["KD-SN1"]
    manifest = json.loads((repository / "runs" / FOLDERS["A loss of your own"] / "manifest.json").read_bytes())
    assert manifest["profile"]["loss"] == "squared_logits"
