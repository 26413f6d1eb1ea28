"""docs/cluster.md says what the Snakefile and workflow/slurm/config.yaml ask a cluster for."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROFILE = yaml.safe_load((ROOT / "workflow" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
RULES = dict(
    re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
)
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| .* \| (–|1) \| (\d+) GB \| (\d+) \|$", PAGE, re.MULTILINE)


def test_every_rule_that_runs_something_has_a_row():
    assert {row[0] for row in ROWS} == {rule for rule, body in RULES.items() if "shell:" in body}
    assert set(PROFILE["set-resources"]) <= set(RULES)


@pytest.mark.parametrize(("rule", "gpu", "memory", "minutes"), ROWS)
def test_the_row_is_what_is_asked_for(rule, gpu, memory, minutes):
    asked = PROFILE["default-resources"] | PROFILE["set-resources"].get(rule, {})
    assert asked == {"mem_mb": 1000 * int(memory), "runtime": int(minutes)}
    assert (gpu == "1") == ("gpu=GPU" in RULES[rule])


def test_the_minutes_in_the_text_are_those_of_the_manifests():
    found = re.search(
        r"took about (\d+) minutes for the teacher and (\d+) for the six.*? about (\d+) and (\d+)\.", PAGE
    )
    said = [float(number) for number in found.groups()]
    for seed, expected in ((1, said[:2]), (2, said[:2]), (3, said[2:])):
        paths = (ROOT / "results" / "paper" / f"seed-{seed}").glob("*/manifest.json")
        manifests = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
        papers = [name for name in manifests if not name.startswith(("ONE-", "TN")) and "views" not in name]
        assert len(papers) == 6
        assert {manifests[name]["hardware"]["threads"] for name in papers} == {1}
        minutes = {name: sum(manifests[name]["seconds"].values()) / 60 for name in ("TN", *papers)}
        assert [minutes.pop("TN"), sum(minutes.values())] == pytest.approx(expected, rel=0.03)


def test_the_counts_in_the_text_are_the_profiles():
    assert f"`jobs: {PROFILE['jobs']}`" in PAGE
    assert PROFILE["retries"] == 3
    assert "three times at most (`retries`)" in PAGE
