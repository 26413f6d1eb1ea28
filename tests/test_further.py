"""The studies beside the scales: their settings, their data, the commands that train and keep them."""

import dataclasses
import json
import re
import shutil
import subprocess

import further
import kdutils as kd
import keep
import numpy as np
import pytest
import transferred as command
from checkout import ROOT
from kdutils import ours
from kdutils.plumbing.store import sha256
from kdutils.profiles import FURTHER, resolve
from kdutils.runs import NETWORKS, Run

FASHION = FURTHER["quick-fashion"]
FILES = ("predictions.npz", "history.json", "manifest.json")


def test_the_further_studies_are_quick_but_for_epochs_or_data():
    quick = kd.PROFILES["quick"]
    assert {
        "quick-converged": dataclasses.replace(quick, name="quick-converged", epochs=12),
        "quick-fashion": dataclasses.replace(quick, name="quick-fashion"),
    } == FURTHER
    few = ("TN", "SN1", "KD-SN1", "SN2", "KD-SN2")
    trained = {study: further.TRAINED[study] for study in FURTHER}
    assert trained == {"quick-converged": few, "quick-fashion": tuple(NETWORKS)}


@pytest.mark.parametrize("name", FURTHER)
def test_their_names_are_no_scales_names(name):
    """`make paper` would show their numbers beside the paper's."""
    assert resolve(FURTHER[name]) is FURTHER[name]
    with pytest.raises(ValueError, match=f"unknown profile '{name}'"):
        resolve(name)


def test_the_committed_results_were_made_from_fashion_mnist(fashion_folder):
    fashion = kd.data.load_fashion_mnist(fashion_folder)
    for seed in command.files("quick-fashion")["transfer.json"]:
        run = Run(FASHION, seed, ROOT / "results", data=fashion_folder, read_only=True)
        np.testing.assert_array_equal(run.parts["test"].images, fashion.test_images)
        made_from = {name: sha256(part.images.tobytes() + part.labels.tobytes()) for name, part in run.parts.items()}
        for name in NETWORKS:
            assert run.manifest(name)["inputs"].items() >= made_from.items()
            np.testing.assert_array_equal(run.predictions(name).labels, fashion.test_labels)


def test_mnist_is_not_taken_for_fashion_mnist(mnist):
    run = Run(FASHION, 0, data=kd.data.default_root())
    with pytest.raises(ValueError, match="is a file of MNIST, not of Fashion-MNIST"):
        _ = run.parts


# The commands


@pytest.mark.parametrize("study", FURTHER)
def test_the_command_trains_and_predicts(monkeypatch, scratch, tiny, mnist, fashion_folder, study):
    """At a tiny size, and only two networks."""
    (scratch / "data").mkdir()
    for name in kd.data.FILES:
        (scratch / "data" / name).symlink_to(kd.data.default_root().resolve() / name)
    (scratch / "data" / "fashion-mnist").symlink_to(fashion_folder)
    monkeypatch.setenv("KDUTILS_DATA", str(scratch / "data"))
    profile = dataclasses.replace(tiny, name=study)
    monkeypatch.setitem(further.FURTHER, study, profile)
    monkeypatch.setitem(further.TRAINED, study, ("TN", "KD-SN1"))
    further.main([study, "3,5", "--runs", str(scratch / "runs"), "--device", "cpu", "--precision", "float32"])
    expected = {"quick-converged": mnist, "quick-fashion": kd.data.load_fashion_mnist()}[study]
    test = kd.data.split(expected, profile)["test"]
    assert sorted(path.name for path in (scratch / "runs" / study).iterdir()) == ["seed-3", "seed-5"]
    for seed in (3, 5):
        run = Run(profile, seed, scratch / "runs", read_only=True)
        assert {path.name for path in run.folder.iterdir()} == set(further.TRAINED[study])
        for name in further.TRAINED[study]:
            manifest = run.manifest(name)
            assert manifest["inputs"]["test"] == sha256(test.images.tobytes() + test.labels.tobytes())
            assert manifest["training_precision"] == "float32"
            np.testing.assert_array_equal(run.predictions(name).labels, test.labels)


@pytest.mark.parametrize("study", ["quick-fashio", "", "SN1"])
def test_an_unknown_study_is_refused_with_the_known_ones(study, capsys):
    with pytest.raises(SystemExit) as stopped:
        further.main([study, "0"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in (f"'{study}'", *further.TRAINED))


@pytest.mark.parametrize("seeds", ["", "0-", "a", "-1"])
def test_wrong_seeds_are_refused(seeds, scratch):
    with pytest.raises(ValueError, match='seeds must be like 0, "0,1,2" or "0-9", got'):
        further.main(["quick-fashion", "--runs", str(scratch), "--", seeds])
    assert not list(scratch.iterdir())


def test_make_hands_its_settings_on():
    settings = ("PROFILE=quick-converged", "DEVICE=cpu", "RUNS=my runs")
    made = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/ready", "further", *settings],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    words = '"quick-converged" "0-5" --device "cpu" --precision "auto" --runs \'my runs\''
    assert f"python workflow/further.py {words}" in made.stdout.splitlines()


@pytest.mark.parametrize(("target", "rule"), [("sensitivity", "variant"), ("one-pass", "one_pass")])
def test_make_asks_the_graph_for_the_target(target, rule, scratch):
    """The command that `make` would run, as a dry run of its own."""
    words = ["make", "--dry-run", "--old-file=.venv/ready", target, "PROFILE=smoke", f"RUNS={scratch}"]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8")
    (line,) = [line for line in made.stdout.splitlines() if "snakemake" in line]
    command = re.search(r"snakemake[^;]+", line)[0].replace("snakemake ", "snakemake --dry-run ")
    for told, said in (("host", f"rule {rule}:"), ("rules progress host", "")):
        words = command.replace("rules progress host", told)
        done = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr


def test_what_was_made_is_kept(monkeypatch, scratch, capsys):
    monkeypatch.setattr(keep, "ROOT", scratch)
    keep.main(ROOT / "results", "quick-fashion", "1,4")
    assert capsys.readouterr().out.splitlines() == [
        f"kept quick-fashion seed {seed} {name}" for seed in (1, 4) for name in NETWORKS
    ]
    kept = {path.relative_to(scratch).as_posix() for path in scratch.rglob("*") if path.is_file()}
    assert kept == {
        f"results/quick-fashion/seed-{seed}/{name}/{file}" for seed in (1, 4) for name in NETWORKS for file in FILES
    }
    for path in kept:
        assert (scratch / path).read_bytes() == (ROOT / path).read_bytes()


def test_a_scale_is_kept_with_its_variants(monkeypatch, scratch, capsys):
    monkeypatch.setattr(keep, "ROOT", scratch)
    keep.main(ROOT / "results", "quick", "0")
    folders = {path.name for path in (scratch / "results").iterdir()}
    assert folders == {path.name for path in (ROOT / "results").glob("quick*")} - FURTHER.keys()
    assert "kept quick seed 0 TN" in capsys.readouterr().out


# What was transferred


@pytest.fixture
def results(monkeypatch, scratch):
    """Two seeds of quick-fashion as the committed results, without SN3 and KD-SN3."""
    for seed in (2, 4):
        place = f"quick-fashion/seed-{seed}"
        shutil.copytree(ROOT / "results" / place, scratch / place, ignore=shutil.ignore_patterns("*SN3"))
    monkeypatch.setattr(command, "RESULTS", scratch)
    monkeypatch.setattr(command, "SCALES", ())
    return scratch


def test_the_seeds_and_networks_are_those_that_lie_there(results):
    assert command.files("quick-fashion") == {"transfer.json": [2, 4]}
    study = command.kept("quick-fashion", [2, 4])
    assert list(study.predictions) == ["TN", "KD-SN1", "KD-SN2", "SN2", "SN1"]
    assert study.seeds == 2


def test_claims_on_one_pass_students_are_about_shifts_too_where_all_seeds_have_them(monkeypatch):
    monkeypatch.setattr(command, "NETWORKS", ("TN", "SN2", "KD-SN2"))
    monkeypatch.setattr(ours, "CONTROL", "KD-SN1-steps")  # the one that `quick` has
    found = command.claimed("quick", [10, 11], study="not needed")
    assert list(found) == ["fashion", "rotation-45", "test"]
    for images, study in found.items():
        assert list(study.predictions) == ["TN", "SN2", "KD-SN2", "ONE-SN2", "KD-SN1-steps"]
        assert len(study.predictions["ONE-SN2"][1].labels) == (10_000 if images == "test" else 1_000)
    assert command.claimed("quick", [8, 9], study="read before") == {"test": "read before"}


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (range(10), {"transfer.json": [4, 5, 6, 7, 8, 9], "explored.json": [0, 1, 2, 3]}),
        (range(9), {"transfer.json": [0, 1, 2, 3]}),
        (range(4, 12), {"transfer.json": [4, 5, 6, 7, 8, 9, 10, 11]}),
        ((), {}),
    ],
)
def test_what_was_explored_keeps_a_record_beside_the_fresh_seeds(monkeypatch, seeds, expected):
    monkeypatch.setattr(command, "seeds_in", lambda folder: list(seeds))
    monkeypatch.setattr(command.Run, "has", lambda *_: True)
    monkeypatch.setattr(command, "SCALES", ("paper",))
    assert command.files("paper") == expected


def test_a_network_that_only_one_seed_lacks_is_named(results):
    shutil.rmtree(results / "quick-fashion" / "seed-4" / "SN1")
    with pytest.raises(FileNotFoundError, match=r"seed-4/SN1/manifest\.json is missing"):
        command.kept("quick-fashion", [2, 4])


def test_what_is_not_there_is_skipped_and_said(monkeypatch, results, capsys):
    monkeypatch.setattr(command, "record", lambda study, profile, seeds: [profile, seeds])
    command.main()
    assert capsys.readouterr().out == "skipped quick-converged: results/quick-converged holds no seed\n"
    written = json.loads((results / "quick-fashion" / "transfer.json").read_text(encoding="utf-8"))
    assert written == ["quick-fashion", [2, 4]]
    assert not (results / "quick-converged").exists()
