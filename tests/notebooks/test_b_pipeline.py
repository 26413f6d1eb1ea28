"""The whole pipeline at smoke scale, from an empty folder, as a user runs it; then what users do next."""

import json

import kdutils as kd
import nbformat
import pytest
from checkout import NOTEBOOKS


def test_every_notebook_ran_to_its_end(finished):
    executed = sorted((finished.runs / "notebooks").glob("*.ipynb"))
    assert [path.stem.removesuffix("-seed-0") for path in executed] == list(NOTEBOOKS)
    for path in executed:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert None not in [cell.execution_count for cell in cells]
        assert [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"] == []
        assert path.with_suffix(".json").exists()


def test_it_made_networks_predictions_tables_and_figures(finished):
    for name in kd.runs.TABLE_1:
        run = kd.Run("smoke", 0, finished.folder / "runs", read_only=True)
        assert len(run.predictions(name).labels) == run.profile.test_images
        assert set(run.history(name)) >= {"step_losses", "train_accuracy", "validation_accuracy"}
    assert set(json.loads((finished.runs / "table1.json").read_text())["networks"]) == set(kd.runs.TABLE_1)
    figures = sorted(path.name for path in (finished.runs / "figures").iterdir())
    stems = ["figure1_kd-sn1", "figure2_kd-sn2", "figure3_kd-sn3", "figure4_all_networks", "figure5_mupe_capacity"]
    stems += ["figure6_specificity", "figure7_image_by_image", "figure8_disagreement", "figure9_training"]
    stems += ["figure10_choices", "figure11_claims"]
    assert figures == sorted(f"{stem}.{kind}" for stem in stems for kind in ("pdf", "png"))


def test_the_report_shows_both_tables(finished):
    done = finished.run("python", "workflow/report.py", finished.runs)
    assert done.returncode == 0, done.stderr
    record = json.loads((finished.runs / "table1.json").read_text())
    assert f"99.21% / {record['networks']['TN']['accuracy']['mean']:.2%}" in done.stdout
    assert all(name in done.stdout for name in NOTEBOOKS)


def test_a_second_run_does_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.runs.rglob("*") if path.is_file()}
    done = finished.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in finished.runs.rglob("*") if path.is_file()} == before


def test_an_edit_to_prose_trains_nothing(finished):
    path = finished.folder / "notebooks" / "02_teacher.ipynb"
    nb = nbformat.read(path, 4)
    nb.cells[0].source += "\n\nOne more sentence."
    nbformat.write(nb, path)
    weights = finished.runs / "seed-0" / "TN" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    executed = "runs/smoke/notebooks/02_teacher-seed-0.ipynb"
    done = finished.snakemake(executed)
    assert done.returncode == 0, done.stderr
    text = (finished.folder / executed).read_text()
    assert "One more sentence." in text
    assert "epoch 1/1" not in text
    assert weights.stat().st_mtime_ns == before


def test_a_variant_trains_students_of_the_same_teacher(finished):
    done = finished.snakemake("runs/smoke/notebooks/t8-seed-0.done")
    assert done.returncode == 0, done.stderr
    run = kd.Run("smoke-t8", 0, finished.folder / "runs", read_only=True)
    assert sorted(path.name for path in run.folder.iterdir()) == ["KD-SN1", "KD-SN2"]
    base = kd.Run("smoke", 0, finished.folder / "runs", read_only=True)
    assert run.manifest("KD-SN2")["inputs"]["teacher"] == base.manifest("TN")["outputs"]["weights.safetensors"]
    assert (run.predictions("KD-SN2").mc_mean != base.predictions("KD-SN2").mc_mean).any()


def test_a_notebook_runs_alone_from_its_own_folder(finished):
    done = finished.papermill("01_data.ipynb", ("profile", "smoke"), ("seed", 1), cwd=finished.folder / "notebooks")
    assert done.returncode == 0, done.stderr
    assert (finished.runs / "notebooks" / "01_data.json").exists()


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (("sed", 3), "unknown parameter sed: known are profile, seed, device, precision, runs, data"),
        (("profile", "huge"), "unknown profile 'huge': known are smoke, quick, paper"),
        (("seed", 1.5), "seed must be a whole number of at least 0, got 1.5"),
        (("device", "tpu"), "unknown device 'tpu': known are auto, cpu, cuda, mps"),
    ],
)
def test_a_wrong_parameter_is_refused_and_leaves_nothing(finished, parameter, said):
    before = sorted((finished.folder / "runs").rglob("*"))
    done = finished.papermill("notebooks/02_teacher.ipynb", parameter)
    assert done.returncode != 0
    assert f"SettingsError: {said}" in done.stderr
    assert sorted((finished.folder / "runs").rglob("*")) == before


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"profile": "huge"}, "unknown profile 'huge'"),
        ({"seeds": "a"}, "seeds must be like"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"speed": 9}, "unknown config speed"),
    ],
)
def test_a_wrong_configuration_is_refused(finished, config, said):
    done = finished.snakemake(**config)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_what_make_leaves_empty_is_as_if_it_were_not_given(project):
    done = project.snakemake("--dry-run", runs="", data="", threads="", controls="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_notebook_that_stops_early_is_a_failure(finished):
    """papermill calls SystemExit(0) in a cell a success: the missing proof must not."""
    path = finished.folder / "notebooks" / "01_data.ipynb"
    original = path.read_text()
    nb = nbformat.reads(original, 4)
    nb.cells.insert(5, nbformat.v4.new_code_cell("raise SystemExit(0)"))
    nbformat.write(nb, path)
    try:
        done = finished.snakemake("--forcerun", "data", "--until", "data")
    finally:
        path.write_text(original)
    assert done.returncode != 0
    assert "01_data stopped before its last cell" in done.stderr
