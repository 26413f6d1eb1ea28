"""The committed outputs are what the code gives; and the comparison notices when they are not."""

import hashlib
import io
import json
import re

import nbformat
import numpy as np
import pytest
from kdutils.plumbing.store import to_json
from matplotlib.testing.compare import compare_images

EXACT = ("01_data", "05_calibration_and_mupe", "06_figures", "07_what_is_transferred", "08_one_pass")
AT_SMOKE = ("02_teacher", "03_distillation", "04_mc_dropout")
SCALE = (
    dict.fromkeys(EXACT, "paper") | {"08_one_pass": "quick"} | dict.fromkeys(AT_SMOKE, "smoke")
)  # at which a notebook is compared


def test_outputs_of_01_are_reproduced(finished):
    done = finished.nbval("notebooks/01_data.ipynb", KDUTILS_PROFILE="paper")
    assert done.returncode == 0, done.stdout


def test_outputs_of_05_to_07_are_reproduced_without_torch(finished, tmp_path):
    (tmp_path / "torch.py").write_text('raise ImportError("results need no torch")', encoding="utf-8")
    done = finished.nbval(*(f"notebooks/{name}.ipynb" for name in EXACT[1:4]), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    for name in ("table1.json", "sensitivity.json"):
        assert_made_again(finished, "paper", name)


def test_outputs_of_08_are_reproduced(finished):
    """It shows formulas of PyTorch, and turns digits with it."""
    done = finished.nbval("notebooks/08_one_pass.ipynb")
    assert done.returncode == 0, done.stdout
    assert_made_again(finished, "quick", "followed.json")


def test_the_other_scales_table_is_that_of_its_committed_results(project):
    done = project.papermill("notebooks/05_calibration_and_mupe.ipynb", ("profile", "quick"))
    assert done.returncode == 0, done.stderr
    assert_made_again(project, "quick", "table1.json")


def assert_made_again(project, scale, name):
    """The numbers and words of a file in results/ are those that the notebooks have just written."""
    paths = (project.folder / folder / scale / name for folder in ("runs/reference", "results"))
    made, committed = (dict(leaves(json.loads(path.read_text(encoding="utf-8")))) for path in paths)
    assert made.keys() == committed.keys()
    for place, value in committed.items():
        expected = value if isinstance(value, str | None) else pytest.approx(value, rel=1e-5, abs=1e-12)
        assert made[place] == expected, place


def test_the_committed_figures_are_those_of_the_committed_results(finished):
    """Which the tests above have drawn again; another version of a font may move a pixel."""
    committed = finished.folder / "figures"
    folders = [finished.folder / "runs" / "reference" / scale / "figures" for scale in ("paper", "quick")]
    drawn = {path.name: path for folder in folders for path in folder.glob("*.png")}
    assert sorted(drawn) == sorted(path.name for path in committed.glob("figure*.png"))
    for name, path in drawn.items():
        assert compare_images(str(committed / name), str(path), tol=2) is None
    others = committed / "figure1_kd-sn1.png", drawn["figure2_kd-sn2.png"]  # of the same size
    assert compare_images(*map(str, others), tol=2) is not None


def leaves(value, place=""):
    """(place, number or text) of everything in nested dicts and lists."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{place}/{key}")
    else:
        yield place, value


def test_what_02_03_and_04_print_apart_from_training_is_reproduced(finished):
    done = finished.nbval(*(f"notebooks/{name}.ipynb" for name in AT_SMOKE), KDUTILS_PROFILE="smoke")
    assert done.returncode == 0, done.stdout


def printed_and_compared(cell):
    """The printed outputs with a digit that nbval compares."""
    if cell.cell_type != "code" or "nbval-ignore-output" in cell.metadata.get("tags", []):
        return []
    return [output for output in cell.outputs if output.output_type == "stream" and re.search(r"\d", output.text)]


@pytest.mark.parametrize("name", [*EXACT, "02_teacher", "03_distillation"])
def test_an_altered_output_is_noticed(finished, name):
    """One digit of one stored output is changed; all cells after it are dropped, to be quick."""
    nb = nbformat.read(finished.folder / "notebooks" / f"{name}.ipynb", 4)
    first = next(number for number, cell in enumerate(nb.cells) if printed_and_compared(cell))
    output = printed_and_compared(nb.cells[first])[0]
    output.text = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), output.text, count=1)
    nb.cells = nb.cells[: first + 1]
    altered = finished.folder / "notebooks" / "altered.ipynb"
    nbformat.write(nb, altered)
    done = finished.nbval(altered, KDUTILS_PROFILE=SCALE[name])
    altered.unlink()
    assert done.returncode == 1
    assert "1 failed" in done.stdout


ALTERED = {  # what: (file, code, instead, notebook that notices)
    "a bin edge": (
        "calibration.py",
        "np.arange(n_bins + 1) / n_bins)",
        "np.arange(n_bins + 1) / n_bins + 1e-3)",
        EXACT[1],
    ),
    "T²": ("distillation.py", "temperature**2 if", "temperature if", AT_SMOKE[1]),
    "MUPE's formula": ("transfer.py", "((teacher - student) ** 2).mean()", "abs(teacher - student).mean()", EXACT[1]),
    "MUPE over seeds": ("study.py", 'self.rows(name, "mupe_of")) ** 2', 'self.rows(name, "mupe_of")) ** 3', EXACT[1]),
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_formula_is_noticed(finished, what):
    file, code, instead, name = ALTERED[what]
    path = finished.folder / "kdutils" / file
    original = path.read_text(encoding="utf-8")
    assert original.count(code) == 1
    path.write_text(original.replace(code, instead), encoding="utf-8")
    try:
        assert_noticed(finished, name)
    finally:
        path.write_text(original, encoding="utf-8")


def test_an_altered_prediction_is_noticed(finished):
    """One image of one network, with checksums to match."""
    folder = finished.folder / "results" / "paper" / "seed-4" / "KD-SN2"
    before = {path: path.read_bytes() for path in (folder / "predictions.npz", folder / "manifest.json")}
    arrays = dict(np.load(io.BytesIO(before[folder / "predictions.npz"])))
    arrays["mc_mean"][0] = np.log(np.full(10, 0.1))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    manifest = json.loads(before[folder / "manifest.json"])
    del manifest["sha256"]
    manifest["outputs"]["predictions.npz"] = hashlib.sha256(content.getvalue()).hexdigest()
    manifest["sha256"] = hashlib.sha256(to_json(manifest)).hexdigest()
    (folder / "predictions.npz").write_bytes(content.getvalue())
    (folder / "manifest.json").write_bytes(to_json(manifest))
    try:
        assert_noticed(finished, EXACT[1])
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def assert_noticed(finished, name):
    """nbval fails on the notebook, with this project's own kdutils."""
    environment = {"PYTHONPATH": str(finished.folder), "KDUTILS_PROFILE": SCALE[name]}
    done = finished.nbval("-x", f"notebooks/{name}.ipynb", **environment)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout


def test_solutions_are_reproduced(project):
    done = project.nbval(*sorted((project.folder / "notebooks" / "solutions").glob("*.ipynb")))
    assert done.returncode == 0, done.stdout
