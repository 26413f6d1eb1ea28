"""What was written down before the fresh seeds is what the code judges, and came before each of them."""

import datetime
import json
import subprocess
from pathlib import Path

import preregister
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "preregistration.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(not preregister.PATH.exists(), reason="nothing is written down yet")


@pytest.fixture(scope="module")
def written():
    return json.loads(preregister.PATH.read_text(encoding="utf-8"))


def manifests(seed):
    """{network: manifest} of what is committed of a fresh seed."""
    paths = (ROOT / "results" / "paper" / f"seed-{seed}").glob("*/manifest.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def test_the_plan_is_what_the_code_judges(written):
    plan = json.loads(json.dumps(preregister.plan()))
    for key in ("profile", "recipe"):  # a field that came later has its default
        plan[key] = {field: plan[key][field] for field in written[key]}
    assert {key: written[key] for key in plan} == plan


def test_every_fresh_seed_was_trained_after_it(written):
    """By the time in its manifests, and by code at or after the plan's commit."""
    fixed = datetime.datetime.fromisoformat(written["made"])
    commit = written["commit"].removesuffix("+")
    for seed in written["seeds"]:
        for name, manifest in manifests(seed).items():
            assert datetime.datetime.fromisoformat(manifest["made"]) > fixed
            command = ["git", "merge-base", "--is-ancestor", commit, manifest["commit"].removesuffix("+")]
            assert subprocess.run(command, cwd=ROOT).returncode == 0, (seed, name)


def test_the_students_of_a_fresh_seed_had_one_teacher(written):
    """The one whose predictions are committed, also where it was trained again for them."""
    students = 0
    for seed in written["seeds"]:
        made = manifests(seed)
        teacher = made["TN"]["outputs"]["weights.safetensors"]
        taught = {name: own["inputs"]["teacher"] for name, own in made.items() if "teacher" in own["inputs"]}
        assert set(taught.values()) == {teacher}, seed
        students += len(taught)
    assert students >= 3 * len(written["seeds"])


def test_the_page_says_it_in_words(written):
    for needs in (needs for family in written["families"].values() for needs in family.values()):
        for need in needs:
            assert need.replace("|", "\\|") in PAGE, need


def test_it_is_not_written_again_after_a_fresh_seed(monkeypatch):
    monkeypatch.setattr(preregister, "SEEDS", [0])
    with pytest.raises(SystemExit, match="already"):
        preregister.main()
