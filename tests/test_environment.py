"""environment.yml, pyproject.toml and what is installed agree."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PINS = dict(re.findall(r"^ *- ([\w-]+)==(\S+)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: group for name, group in PROJECT["optional-dependencies"].items() if name != "bench"}
RANGES = [Requirement(text) for group in (PROJECT["dependencies"], *EXTRAS.values()) for text in group]


def test_every_range_has_a_pin_and_every_pin_a_range():
    assert {requirement.name for requirement in RANGES} == set(PINS)


@pytest.mark.parametrize("requirement", RANGES, ids=str)
def test_the_pin_lies_in_the_range(requirement):
    assert requirement.specifier.contains(PINS[requirement.name])


@pytest.mark.parametrize(("name", "pinned"), PINS.items())
def test_the_pinned_version_is_installed(name, pinned):
    assert version(name) == pinned


def test_python_has_a_lower_bound_and_no_upper_one():
    assert PROJECT["requires-python"] == ">=3.11.4"
    assert re.search(r"^ *- python=3\.11$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_hooks_have_the_same_ruff():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ruff==([\d.]+)", hooks)) == {PINS["ruff"]}
