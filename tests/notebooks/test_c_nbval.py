"""The committed outputs are what the code gives; and the comparison notices when they are not."""

import json
import re

import nbformat
import pytest

EXACT = ("01_data", "05_calibration_and_mupe", "06_figures")
AT_SMOKE = ("02_teacher", "03_distillation", "04_mc_dropout")


def test_outputs_of_01_05_and_06_are_reproduced(finished):
    done = finished.nbval(*(f"notebooks/{name}.ipynb" for name in EXACT))
    assert done.returncode == 0, done.stdout
    made = finished.folder / "runs" / "reference" / "quick" / "table1.json"
    committed = finished.folder / "results" / "quick" / "table1.json"
    made, committed = (dict(leaves(json.loads(path.read_text()))) for path in (made, committed))
    assert made == pytest.approx(committed, rel=1e-5, abs=1e-12)


def leaves(value, place=""):
    """(place, number or text) of everything in nested dicts and lists; texts without what is computed in them."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{place}/{key}")
    elif not place.endswith("/why"):
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
    done = finished.nbval(altered, KDUTILS_PROFILE="smoke" if name in AT_SMOKE else "")
    altered.unlink()
    assert done.returncode == 1
    assert "1 failed" in done.stdout
