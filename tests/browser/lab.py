"""JupyterLab as `make lab` starts it, and a notebook in it as its user sees and handles it."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from playwright.sync_api import expect

SCREENSHOTS = Path(__file__).parent / "screenshots"
MINUTES = 60_000  # Playwright counts milliseconds
FIGURES = ".jp-OutputArea img"
FLAWS = ",".join(f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("stderr", "error"))

SCROLL = """element => {
    element.scrollIntoView({block: "center"})
    return new Promise(done => setTimeout(() => done(element.getBoundingClientRect().top), 300))
}"""


@contextlib.contextmanager
def started(project, name, **environment):
    """`make lab` in the project; yields the page that it hands to the user's browser, which is `echo` here."""
    settings = project.folder / "settings" / name
    news = settings / "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false"}), encoding="utf-8")  # else it asks whether to, over the notebook
    environment |= {"JUPYTER_CONFIG_DIR": str(settings), "JUPYTER_RUNTIME_DIR": str(settings / "runtime")}
    environment |= {"BROWSER": "echo", "PYTHONPATH": str(project.folder)}
    with (settings / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["make", "--old-file", ".venv/ready", "lab"],  # with what is installed already
            cwd=project.folder,
            env=project.environment | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield address(process, settings / "log")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def address(process, log):
    """The file:// address that `echo` was called with, once JupyterLab is up."""
    while not (found := re.search(r"^file://\S+", log.read_text(encoding="utf-8"), re.MULTILINE)):
        assert process.poll() is None, f"`make lab` ended: {log.read_text(encoding='utf-8')}"
        time.sleep(0.1)
    return found[0]


class Notebook:
    """The notebook that a page of JupyterLab shows."""

    def __init__(self, page, path):
        self.page, self.path = page, path
        self.panel = page.locator(".jp-NotebookPanel:visible")
        self.code = self.panel.locator(".jp-CodeCell")
        expect(self.code).to_have_count(len(self.code_cells()), timeout=2 * MINUTES)
        expect(self.panel.locator('[data-status="idle"]')).to_be_visible(timeout=2 * MINUTES)

    def code_cells(self):
        """The code cells as they are on disk."""
        return [cell for cell in nbformat.read(self.path, 4).cells if cell.cell_type == "code"]

    def choose(self, menu, entry):
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        labels = self.page.locator(".lm-Menu:visible .lm-Menu-itemLabel")  # without the shortcut beside it
        labels.filter(has_text=re.compile(f"^{entry}$")).click()

    def run_all(self):
        """Run All Cells, on cleared cells, so that whatever they hold later was made now."""
        self.choose("Edit", "Clear Outputs of All Cells")
        expect(self.code.first.locator(".jp-InputPrompt")).to_have_text("[ ]:")
        self.choose("Run", "Run All Cells")
        expect(self.code.first.locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=2 * MINUTES)

    def wait_until_idle(self):
        expect(self.code.locator(".jp-InputPrompt", has_text="[*]:")).to_have_count(0, timeout=10 * MINUTES)
        expect(self.panel.locator('[data-status="idle"]')).to_be_visible()

    def save(self):
        self.choose("File", "Save Notebook")
        expect(self.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)

    def cell(self, source):
        """The one code cell whose source holds `source`."""
        [number] = [number for number, cell in enumerate(self.code_cells()) if source in cell.source]
        return self.code.nth(number)

    def move_slider(self, cell, key):
        """One step by keyboard; waits for the cell's figure, an image that the page holds, to be another one."""
        figure = cell.locator(FIGURES)
        before = figure.get_attribute("src")
        cell.locator(".noUi-handle").press(key)
        expect(figure).not_to_have_attribute("src", before, timeout=MINUTES)
        return before, figure.get_attribute("src")

    def screenshot(self, name, *, at):
        """A picture of the window with `at` in its middle."""
        scroll_to(at)
        self.page.screenshot(path=SCREENSHOTS / f"{self.path.stem}-{name}.png")


def scroll_to(element):
    """Until it stays: a cell gets its real height only when it comes near the window, and then shifts the others."""
    before, now = None, 0
    while before != now:
        before, now = now, element.evaluate(SCROLL)


def colours(image):
    """How many colours the pixels of an element have on the screen."""
    scroll_to(image)
    pixels = plt.imread(io.BytesIO(image.screenshot()))
    return len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0))
