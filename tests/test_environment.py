"""environment.yml, pyproject.toml, requirements.lock and what is installed agree."""

import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = dict(re.findall(r"^ *- ([\w-]+)==(\S+)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: group for name, group in PROJECT["optional-dependencies"].items() if name != "bench"}
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = re.findall(r"^([\w.-]+==[^\\\n]+?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.MULTILINE)
LOCKED = [Requirement(text) for text, _ in LOCKED]  # with markers where a system or a Python needs another version
HERE = {own.name: str(own.specifier)[2:] for own in LOCKED if not own.marker or own.marker.evaluate()}
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


def test_the_lock_holds_the_pins_for_every_system_and_each_line_has_hashes():
    everywhere = {own.name: str(own.specifier) for own in LOCKED if not own.marker}
    assert {name: everywhere.get(name) for name in PINS} == {name: f"=={pinned}" for name, pinned in PINS.items()}
    named = [line for line in LOCK.splitlines() if line and line[0] not in "# "]
    assert len(named) == len(LOCKED)
    assert len(LOCKED) > 3 * len(PINS)


def test_the_lock_names_no_address():
    assert re.findall(r"://|index|find-links|\.(?:org|com|io)\b", LOCK) == []


def test_nothing_that_a_locked_package_needs_is_missing_from_the_lock():
    needed = {name: map(Requirement, requires(name) or ()) for name in HERE}
    needed = {
        name: {canonicalize_name(own.name) for own in found if not own.marker or own.marker.evaluate({"extra": ""})}
        for name, found in needed.items()
    }
    assert {name: found - HERE.keys() for name, found in needed.items() if not found <= HERE.keys()} == {}


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_lock_has_one_version_of_a_package_for_each_system(system):
    for python in ("3.11.4", "3.12.0", "3.13.0"):
        where = {
            "sys_platform": system,
            "python_full_version": python,
            "os_name": "nt" if system == "win32" else "posix",
        }
        found = [own.name for own in LOCKED if not own.marker or own.marker.evaluate(where)]
        assert sorted(found) == sorted(set(found))
        assert set(PINS) <= set(found)


def test_what_is_installed_is_what_is_locked():
    assert {name: version(name) for name in HERE} == HERE
