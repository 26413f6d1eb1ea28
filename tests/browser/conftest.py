"""What the tests in a browser share: a copy of the project, JupyterLab in it, and Debian's Chromium."""

import shutil

import checkout
import lab
import pytest
from playwright.sync_api import sync_playwright

FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with checkout.project(tmp_path_factory) as copied:
        yield copied


@pytest.fixture(scope="module")
def labs(project, chromium):
    """JupyterLab at smoke scale, and as it comes, for notebooks that read the committed results."""
    with lab.started(project, "smoke", KDUTILS_PROFILE="smoke") as smoke, lab.started(project, "quick") as quick:
        yield {"smoke": smoke, "quick": quick}


@pytest.fixture(scope="module")
def chromium():
    """Module-wide, since Playwright's event loop would be in the way of other tests' own."""
    if not (program := shutil.which("chromium")):
        pytest.fail("Chromium is needed, as the command `chromium`: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=[*FLAGS.split(), "--disable-sync"])


@pytest.fixture
def page(chromium):
    with chromium.new_context(viewport={"width": 1400, "height": 1000}) as context:
        yield context.new_page()


@pytest.fixture
def opened(labs, project, page):
    """A function that opens a notebook in one of the Labs, alone; its kernel ends with the test."""
    notebooks = []

    def open_alone(name, scale):
        page.goto(labs[scale])
        page.wait_for_url("**/lab/tree/**")
        page.goto(f"{page.url.split('/lab/')[0]}/lab/tree/notebooks/{name}.ipynb?reset")
        notebooks.append(lab.Notebook(page, project.folder / "notebooks" / f"{name}.ipynb"))
        return notebooks[-1]

    yield open_alone
    for notebook in notebooks:
        notebook.choose("Kernel", "Shut Down Kernel")
