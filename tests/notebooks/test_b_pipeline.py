"""The whole pipeline at smoke scale, from an empty folder, as a user runs it; then what users do next."""

import json
import re
import shutil

import kdutils as kd
import nbformat
import pytest
from checkout import NOTEBOOKS

SIX = NOTEBOOKS[:6]  # one seed without controls is too little for 07


def test_every_notebook_ran_to_its_end(finished):
    executed = sorted((finished.runs / "notebooks").glob("*.ipynb"))
    assert [path.stem.removesuffix("-seed-4") for path in executed] == list(SIX)
    for path in executed:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert None not in [cell.execution_count for cell in cells]
        assert [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"] == []
        assert path.with_suffix(".json").exists()


def test_it_made_networks_predictions_tables_and_figures(finished):
    for name in kd.runs.TABLE_1:
        run = kd.Run("smoke", 4, finished.folder / "runs", read_only=True)
        assert len(run.predictions(name).labels) == run.profile.test_images
        assert set(run.history(name)) >= {"step_losses", "train_accuracy", "validation_accuracy"}
    assert set(json.loads((finished.runs / "table1.json").read_text(encoding="utf-8"))["networks"]) == set(
        kd.runs.TABLE_1
    )
    figures = sorted(path.name for path in (finished.runs / "figures").iterdir())
    stems = ["figure1_kd-sn1", "figure2_kd-sn2", "figure3_kd-sn3", "figure4_all_networks", "figure5_mupe_capacity"]
    stems += ["figure7_image_by_image", "figure8_disagreement", "figure8b_one_digit"]  # 6 needs two seeds
    stems += ["figure9_training", "figure10_choices", "figure10b_definitions", "figure11_claims"]
    assert figures == sorted(f"{stem}.{kind}" for stem in stems for kind in ("pdf", "png"))


def test_what_one_seed_cannot_show_is_left_out_with_a_sentence(finished):
    executed = {
        name: "".join(
            output.get("text", "")
            for cell in nbformat.read(finished.runs / "notebooks" / f"{name}.ipynb", 4).cells
            for output in cell.get("outputs", ())
        )
        for name in SIX[4:]
    }
    assert "Figure 6 is left out: one seed has no other teacher to compare with." in executed[SIX[5]]
    assert "One seed has no other teacher, so there is nothing to count." in executed[SIX[4]]
    assert "nan" not in executed[SIX[4]]
    record = json.loads((finished.runs / "table1.json").read_text(encoding="utf-8"))
    tests = [own for row in record["claims"] for own in row["conditions"] if own["needed"] == "p < 0.05"]
    assert {own["found"].split(";")[0] for own in tests} == {"needs two seeds"}
    assert {own["stands"] for own in tests} == {"open"}


def test_one_thing_changed_stands_beside_the_original(finished):
    """A smaller SN1, by a file: only what hangs on it is trained, and the tables of both stand side by side."""
    (finished.folder / "my-sn1.toml").write_text(
        'base = "smoke"\nstudent = "SN1: 5x5:4 M 5x5:8 M, 16"\n', encoding="utf-8"
    )
    done = finished.snakemake("--dry-run", profile="my-sn1.toml")
    assert done.returncode == 0, done.stderr
    done = finished.papermill(
        "05_calibration_and_mupe.ipynb",
        ("profile", "my-sn1.toml"),
        ("seed", 4),
        ("source", "runs"),
        cwd=finished.folder / "notebooks",
    )
    assert done.returncode == 0, done.stderr
    made = finished.folder / "runs" / "my-sn1"
    assert [path.name for path in (made / "seed-4").iterdir()] == ["KD-SN1"]
    record, before = (json.loads((path / "table1.json").read_text(encoding="utf-8")) for path in (made, finished.runs))
    assert record["original"]["networks"] == before["networks"]
    assert {name for name, row in record["networks"].items() if row != before["networks"][name]} == {"KD-SN1"}
    report = finished.run("python", "workflow/report.py", made).stdout
    row = [before["networks"]["KD-SN1"], record["networks"]["KD-SN1"]]
    assert " / ".join(f"{own['accuracy']['mean']:.2%}" for own in row) in report


def test_the_report_shows_both_tables(finished):
    done = finished.run("python", "workflow/report.py", finished.runs)
    assert done.returncode == 0, done.stderr
    record = json.loads((finished.runs / "table1.json").read_text(encoding="utf-8"))
    assert f"99.21% / {record['networks']['TN']['accuracy']['mean']:.2%}" in done.stdout
    assert all(name in done.stdout for name in SIX)


FETCHES = re.compile(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']https?:[^"']*""")


def test_a_run_is_told_on_one_page_that_needs_no_network(finished):
    """Notebooks, figures and tables, each with its caption; what took how long; the graph."""
    page = finished.runs / "report.html"
    for more in ((), ("--report", page)):
        done = finished.snakemake("reading", *more, seeds="4")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    text = page.read_text(encoding="utf-8")
    assert FETCHES.findall(text) == []
    assert "This page is of profile" in text
    shown = {path.rsplit("/", 1)[1] for path in re.findall(r'"(runs/smoke/[^"]*)": \{"name"', text)}
    figures = {path.name for path in (finished.runs / "figures").glob("*.png")}
    notebooks = {path.with_suffix(".html").name for path in (finished.runs / "notebooks").glob("*.ipynb")}
    assert shown == figures | notebooks | {"table1.json", "sensitivity.json"}
    runtimes = set(re.findall(r'"rule": "(\w+)", "runtime"', text))
    assert runtimes == MEASURED - {"all"} | {"data", "teacher", "distillation", "mc_dropout", "readable"}
    for path in (finished.runs / "notebooks" / "pages").iterdir():
        notebook = path.read_text(encoding="utf-8")
        assert FETCHES.findall(notebook) == []
        assert "Provenance" in notebook


def test_a_second_run_does_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.runs.rglob("*") if path.is_file()}
    done = finished.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in finished.runs.rglob("*") if path.is_file()} == before


MEASURED = {"calibration_and_mupe", "figures", "all"}
HARMED = {  # a file or a folder: the rules that make again what hangs on it, and nothing else
    "figures/figure9_training.png": {"figures", "all"},
    "sensitivity.json": {"figures", "all"},
    "table1.json": MEASURED,
    "notebooks/06_figures.json": {"figures", "all"},
    "notebooks/04_mc_dropout-seed-4.ipynb": MEASURED | {"mc_dropout"},
    "seed-4/KD-SN2/predictions.npz": MEASURED | {"mc_dropout"},
    "seed-4/KD-SN2/weights.safetensors": MEASURED | {"mc_dropout", "distillation"},
    "seed-4/SN2/history.json": MEASURED | {"mc_dropout", "distillation"},
    "seed-4/KD-SN2/manifest.json": MEASURED | {"mc_dropout", "distillation"},
    "seed-4/KD-SN3": MEASURED | {"mc_dropout", "distillation"},
    "seed-4/TN/soft_targets.npz": MEASURED | {"mc_dropout", "distillation", "teacher"},
}


def planned(project, **config):
    """The rules that Snakemake would run."""
    done = project.snakemake("--dry-run", **config)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))


@pytest.fixture
def put_back(finished, tmp_path):
    """A function that copies a file or folder aside; it is put back, and the marks of the graph with it."""
    kept = {}

    def keep(path):
        kept[path] = tmp_path / f"{len(kept)}"
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, kept[path])
        return path

    keep(finished.runs / "notebooks" / ".asked")
    yield keep
    for path, copy in kept.items():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (shutil.copytree if copy.is_dir() else shutil.copy2)(copy, path)


@pytest.mark.parametrize(("seeds", "controls", "runs"), [("0-2", "1", True), ("0-1", "1", False), ("0-2", "", False)])
def test_07_is_planned_where_there_are_three_seeds_with_controls(finished, put_back, seeds, controls, runs):
    """A dry run, too, marks networks that have to be made: `put_back` takes that back."""
    assert ("what_is_transferred" in planned(finished, seeds=seeds, controls=controls)) == runs


@pytest.mark.parametrize("name", HARMED)
def test_what_is_deleted_is_made_again_with_what_hangs_on_it(finished, put_back, name):
    path = put_back(finished.runs / name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert planned(finished) == HARMED[name]


@pytest.mark.parametrize("name", ["predictions.npz", "weights.safetensors", "manifest.json"])
def test_what_is_damaged_is_made_again_with_what_hangs_on_it(finished, put_back, name):
    path = put_back(finished.runs / "seed-4" / "KD-SN2" / name)
    path.write_bytes(path.read_bytes()[:-3] + b"?")
    assert planned(finished) == HARMED[f"seed-4/KD-SN2/{name}"]


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("transfer", MEASURED),
        ("claims", MEASURED),
        ("plots", MEASURED | {"data", "teacher", "distillation", "mc_dropout"}),
        ("mc_dropout", MEASURED | {"mc_dropout"}),
        ("training", MEASURED | {"teacher", "distillation", "mc_dropout"}),
    ],
)
def test_an_edit_to_code_runs_the_notebooks_that_call_it(finished, put_back, module, rules):
    path = put_back(finished.folder / "kdutils" / f"{module}.py")
    path.write_text(path.read_text(encoding="utf-8") + "\n\nEDITED = True\n", encoding="utf-8")
    assert planned(finished) == rules


@pytest.mark.parametrize(
    ("force", "rules"),
    [
        ("KD-SN2", MEASURED | {"distillation", "mc_dropout"}),
        ("1", MEASURED | {"teacher", "distillation", "mc_dropout"}),
        ("SN3", set()),  # without controls nothing of it is stored, and nothing hangs on it
    ],
)
def test_what_is_forced_is_made_again(finished, put_back, force, rules):
    assert planned(finished, force=force) == rules


def test_a_network_that_cannot_be_forced_is_refused(finished):
    done = finished.snakemake("--dry-run", force="SN4")
    assert done.returncode != 0
    assert "unknown network SN4 to force" in done.stderr


def test_an_edit_to_prose_trains_nothing(finished):
    path = finished.folder / "notebooks" / "02_teacher.ipynb"
    nb = nbformat.read(path, 4)
    nb.cells[0].source += "\n\nOne more sentence."
    nbformat.write(nb, path)
    weights = finished.runs / "seed-4" / "TN" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    executed = "runs/smoke/notebooks/02_teacher-seed-4.ipynb"
    done = finished.snakemake(executed)
    assert done.returncode == 0, done.stderr
    text = (finished.folder / executed).read_text(encoding="utf-8")
    assert "One more sentence." in text
    assert "epoch 1/1" not in text
    assert weights.stat().st_mtime_ns == before


def test_a_variant_trains_students_of_the_same_teacher(finished):
    done = finished.snakemake("runs/smoke/notebooks/t8-seed-4.done")
    assert done.returncode == 0, done.stderr
    run = kd.Run("smoke-t8", 4, finished.folder / "runs", read_only=True)
    assert sorted(path.name for path in run.folder.iterdir()) == ["KD-SN1", "KD-SN2"]
    base = kd.Run("smoke", 4, finished.folder / "runs", read_only=True)
    assert run.manifest("KD-SN2")["inputs"]["teacher"] == base.manifest("TN")["outputs"]["weights.safetensors"]
    assert (run.predictions("KD-SN2").mc_mean != base.predictions("KD-SN2").mc_mean).any()


@pytest.fixture
def published(finished):
    """The project with what is published of its smoke run, and without runs/."""
    for script in ("keep", "publish"):
        done = finished.run("python", f"workflow/{script}.py", "runs", "smoke", "4")
        assert done.returncode == 0, done.stderr
    (finished.folder / "runs").rename(finished.folder / "aside")
    yield finished
    shutil.rmtree(finished.folder / "runs", ignore_errors=True)
    (finished.folder / "aside").rename(finished.folder / "runs")
    shutil.rmtree(finished.folder / "results" / "smoke")


def test_03_and_04_are_shown_without_training(published):
    """A class needs no runs/: with source="results" every cell runs, and nothing is trained or predicted."""
    for name in ("03_distillation", "04_mc_dropout"):
        done = published.papermill(f"notebooks/{name}.ipynb", ("profile", "smoke"), ("seed", 4), ("source", "results"))
        assert done.returncode == 0, done.stderr
        text = (published.folder / "out.ipynb").read_text(encoding="utf-8")
        assert "images/s" not in text
        assert "test images, 5 passes," not in text.replace("1 epochs, 5 passes", "")
    assert list((published.folder / "runs").glob("smoke/seed-*")) == []
    again = published.run("python", "workflow/keep.py", "aside", "smoke", "4")  # copies the manifests anew
    assert again.returncode == 0, again.stderr
    run = kd.Run("smoke", 4, published.folder / "results", device="cpu", read_only=True)
    assert kd.runs.PUBLISHED["weights.safetensors"] in run.manifest("TN")["outputs"]


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
    original = path.read_text(encoding="utf-8")
    nb = nbformat.reads(original, 4)
    nb.cells.insert(5, nbformat.v4.new_code_cell("raise SystemExit(0)"))
    nbformat.write(nb, path)
    try:
        done = finished.snakemake("--forcerun", "data", "--until", "data")
    finally:
        path.write_text(original, encoding="utf-8")
    assert done.returncode != 0
    assert "01_data stopped before its last cell" in done.stderr
