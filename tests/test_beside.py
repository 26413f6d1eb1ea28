"""A user's own numbers beside the committed ones."""

import json
import shutil

import beside
import numpy as np
import pytest
from kdutils.plumbing.store import from_npz, sha256, to_json, to_npz
from kdutils.runs import TABLE_1, Run

SEEDS = (0, 1)


@pytest.fixture
def mine(scratch):
    """A folder of runs that holds two of quick's committed seeds."""
    for seed in SEEDS:
        for name in TABLE_1:
            place = f"quick/seed-{seed}/{name}"
            shutil.copytree(beside.RESULTS / place, scratch / place)
    return scratch


def alter(folder, *, bits=False, **changes):
    """Change a network's predictions, or what its manifest says, with checksums to match."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | changes
    del manifest["sha256"]
    if bits:
        arrays = from_npz((folder / "predictions.npz").read_bytes())
        arrays["mc_mean"][0] = np.log(np.full(10, 0.1))
        content = to_npz(arrays)
        (folder / "predictions.npz").write_bytes(content)
        manifest["outputs"]["predictions.npz"] = sha256(content)
    path.write_bytes(to_json(manifest | {"sha256": sha256(to_json(manifest))}))


def test_committed_seeds_lie_within_their_own_spread_to_the_bit(mine, capsys):
    beside.show(mine, "quick")
    printed = capsys.readouterr().out
    assert "Yours (seeds 0, 1) beside the committed results" in printed
    assert "14 of 14 numbers lie within the spread of the 10 committed seeds." in printed
    for seed in SEEDS:
        assert f"Seed {seed}: all predictions agree with the committed ones to the bit." in printed
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(table) <= 8
    own = Run("quick", 0, mine, read_only=True).predictions("SN2").correct.mean()
    other = Run("quick", 1, mine, read_only=True).predictions("SN2").correct.mean()
    assert f"{(own + other) / 2:.2%} within" in printed


def test_what_differs_is_measured_and_explained(mine, capsys):
    folder = mine / "quick" / "seed-0" / "SN2"
    hardware = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["hardware"]
    alter(folder, bits=True, training_precision="bfloat16", hardware=hardware | {"threads": 7})
    beside.show(mine, "quick")
    printed = capsys.readouterr().out
    assert "Seed 0: predictions of SN2 differ from the committed ones, by up to 0.9 in a probability" in printed
    assert f"(precision bfloat16, there float32; threads 7, there {hardware['threads']})" in printed
    alter(folder, training_precision="float32", hardware=hardware)
    beside.show(mine, "quick")
    assert "(for no reason that the manifests tell)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "place"), [(0.5, "below"), (1, "within"), (2, "within"), (3, "within"), (3.5, "above")]
)
def test_where_a_value_lies(value, place):
    assert beside.place(value, [3, 1, 2]) == place


def test_nothing_is_said_where_nothing_is_committed(scratch, capsys):
    beside.show(scratch, "smoke")
    assert capsys.readouterr().out == ""
