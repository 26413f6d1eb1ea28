"""The notebooks in JupyterLab, by its real menus, in a real browser."""

import contextlib
import re
import shutil

import lab
import nbformat
import pytest
from checkout import NOTEBOOKS
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TRAINED = {"02_teacher": 'run.network("TN")', "03_distillation": "run.network(name)"}  # the cells that train
SLIDERS = {"03_distillation": "explore(soft_target", "05_calibration_and_mupe": "explore(curves"}
FROM_RESULTS = NOTEBOOKS[4:]
FEW = 16  # colours; a blank figure has one

FINE = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()"
FLAWED = {
    "a line in red": "import sys\nprint('!', file=sys.stderr)",
    "an error": "1 / 0",
    "a blank figure": "plt.imshow([[0]])\nplt.axis('off')\nplt.show()",
    "a bar left behind": "print('TN epoch 1: 100%|██| 10/10 [00:05<00:00, 2.00 images/s]')",
}


def test_make_lab_opens_notebook_01(labs, project, page):
    page.goto(labs["smoke"])
    page.wait_for_url("**/lab/tree/notebooks/01_data.ipynb")
    notebook = lab.Notebook(page, project.folder / "notebooks" / "01_data.ipynb")
    expect(notebook.panel.get_by_role("heading", name="1 · The data")).to_be_visible()
    notebook.choose("Kernel", "Shut Down Kernel")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_all_cells_run(name, opened):
    notebook = opened(name, "quick" if name in FROM_RESULTS else "smoke")
    notebook.run_all()
    if name in TRAINED:
        see_a_bar(notebook, "epoch 1/1", notebook.cell(TRAINED[name]))
    notebook.wait_until_idle()
    if name in SLIDERS:
        change_a_figure(notebook, notebook.cell(SLIDERS[name]))
    notebook.save()
    photograph(notebook)
    assert_all_ran(notebook)
    assert_shown_as_meant(notebook)


def see_a_bar(notebook, title, cell):
    """The bar of a training moves, with images per second."""
    bar = cell.get_by_text(re.compile(rf"{title}: +[1-9]\d?%\|.*images/s"))
    expect(bar).to_be_visible(timeout=3 * lab.MINUTES)
    notebook.screenshot("bar", at=cell)


def change_a_figure(notebook, cell):
    """The slider and the list give other figures, and going back the first one."""
    first, moved = notebook.move_slider(cell, "ArrowRight")
    assert notebook.move_slider(cell, "ArrowLeft") == (moved, first)
    cell.get_by_role("combobox").select_option(index=1)
    expect(cell.locator(lab.FIGURES)).not_to_have_attribute("src", first, timeout=lab.MINUTES)
    notebook.screenshot("slider", at=cell)


def photograph(notebook):
    """The window at the notebook's top, at its middle figure, and at its end."""
    figures = notebook.panel.locator(lab.FIGURES)
    notebook.screenshot("top", at=notebook.panel.locator(".jp-Cell").first)
    notebook.screenshot("figure", at=figures.nth(figures.count() // 2))
    notebook.screenshot("end", at=notebook.panel.locator(".jp-Cell").last)


def assert_all_ran(notebook):
    """What is on disk: every cell once and in order, no complaint, no widget's state."""
    cells = notebook.code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    assert "widgets" not in nbformat.read(notebook.path, 4).metadata


def assert_shown_as_meant(notebook):
    """What is on the screen: no complaint, all figures with something in them, all tables, mathematics typeset."""
    expect(notebook.panel.locator(lab.FLAWS)).to_have_count(0)
    outputs = [output.get("data", {}) for cell in notebook.code_cells() for output in cell.outputs]
    figures = notebook.panel.locator(lab.FIGURES).all()
    drawn = {"image/png", "application/vnd.jupyter.widget-view+json"}  # a figure with sliders is a widget
    assert len(figures) == len([data for data in outputs if drawn & set(data)]) > 0
    assert [number for number, figure in enumerate(figures) if lab.colours(figure) <= FEW] == []
    tables = notebook.panel.locator(".jp-OutputArea table").all()
    assert len(tables) == len([data for data in outputs if "<table" in data.get("text/html", "")])
    assert all(table.is_visible() and table.locator("td").count() > 1 for table in tables)
    expect(notebook.panel.locator("mjx-merror")).to_have_count(0)
    bars = notebook.panel.locator(".jp-OutputArea", has_text="images/s]")
    expect(bars).to_have_count(0)


@pytest.mark.parametrize("flaw", [None, *FLAWED])
def test_a_flaw_is_seen(flaw, opened, project):
    """In a little notebook, which without it is accepted."""
    cells = [nbformat.v4.new_code_cell(source) for source in (FINE, FLAWED.get(flaw, "2"), "3")]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    little = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(little, project.folder / "notebooks" / "little.ipynb")
    notebook = opened("little", "quick")
    notebook.run_all()
    notebook.wait_until_idle()
    notebook.save()
    with pytest.raises(AssertionError) if flaw else contextlib.nullcontext():
        assert_all_ran(notebook)
        assert_shown_as_meant(notebook)


def test_an_interrupted_training_goes_on(opened, project):
    """At smoke scale a network has one epoch: what is finished is not trained again, what was stopped is."""
    folders = [project.runs / "seed-4" / name for name in ("KD-SN2", "KD-SN3")]  # the notebook's run above made them
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    notebook = opened("03_distillation", "smoke")
    cell, weights = notebook.cell(TRAINED["03_distillation"]), folders[0] / "weights.safetensors"

    notebook.run_all()
    see_a_bar(notebook, "KD-SN3 epoch 1/1", cell)
    notebook.panel.get_by_role("button", name="Interrupt the kernel").click()
    notebook.wait_until_idle()
    told = cell.get_by_text("KD-SN3 stopped: run the same command again to resume after the last finished epoch")
    expect(told).to_be_visible()
    notebook.screenshot("interrupted", at=told)
    expect(cell).to_contain_text("KD-SN2 epoch 1/1")
    expect(cell).to_contain_text("KeyboardInterrupt")
    expect(cell).not_to_contain_text("Traceback")
    before = weights.stat().st_mtime_ns

    cell.locator(".jp-InputPrompt").click()
    notebook.choose("Run", "Run Selected Cell and All Below")
    expect(cell).to_contain_text("KD-SN3 epoch 1/1", timeout=10 * lab.MINUTES)
    notebook.wait_until_idle()
    notebook.screenshot("gone-on", at=cell)
    expect(cell).not_to_contain_text("KD-SN2 epoch 1/1")
    expect(notebook.code.last).to_contain_text("torchvision")
    expect(notebook.panel.locator(lab.FLAWS)).to_have_count(0)
    assert weights.stat().st_mtime_ns == before
