"""The built book in a real browser, at a desk's and a phone's width (`make test-book`)."""

import functools
import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import kdutils as kd
import leads
import pages
import pytest
import summary
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.book

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
SHOTS = ROOT / "build" / "screenshots"
OUTSIDE = ("https://github.com/", "https://colab.research.google.com/", "https://snakemake.readthedocs.io")
OUTSIDE += ("https://doi.org/", "https://arxiv.org/", "https://jmlr.org/")
PAGES = [path.relative_to(BOOK).as_posix() for path in sorted(BOOK.rglob("*/*.html")) if "_static" not in path.parts]
PAGES = [name for name in PAGES if "/" in name] + ["search.html"]
NOTEBOOKS = sorted(path.relative_to(ROOT) for path in (ROOT / "notebooks").glob("**/[!.]*.ipynb"))
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update")
FLAGS = [f"--{flag}" for flag in (*FLAGS, "disable-sync", "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the book is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=BOOK))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS).new_context()


@pytest.fixture
def visit(browser):
    """A function that opens an address and gives the page and a list of all that goes wrong with it."""

    def opened(url, width=1400):
        page, wrong = browser.new_page(), []
        page.set_viewport_size({"width": width, "height": 900})
        page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.on("response", lambda got: got.status >= 400 and wrong.append(f"{got.status}: {got.url}"))
        page.goto(url)
        page.wait_for_load_state("networkidle")
        page.evaluate("window.MathJax?.startup?.promise")
        return page, wrong

    yield opened
    for page in browser.pages:
        page.close()


def display_formulas(notebook):
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    return sum("".join(cell["source"]).count("$$") // 2 for cell in cells if cell["cell_type"] == "markdown")


def test_every_notebook_and_guide_has_its_page():
    guides = [path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md")]
    assert [str(path) for path in (*NOTEBOOKS, *guides) if path.with_suffix(".html").as_posix() not in PAGES] == []


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_fits(name, width, address, visit):
    page, wrong = visit(address + name, width)
    page.evaluate("Promise.all([...document.images].map(i => (i.loading = 'eager', i.decode().catch(() => {}))))")
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)") == []
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.querySelectorAll('.whole')].filter(e => e.getClientRects().length > 1).map(e => e.innerText)"
    assert page.evaluate(broken) == []
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name.replace('/', '-')}-{width}.png", full_page=True)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_formulas_are_drawn(notebook, address, visit):
    page, _ = visit(address + notebook.with_suffix(".html").as_posix())
    assert page.locator("div.math mjx-container svg").count() >= display_formulas(notebook)
    assert page.locator("mjx-container").count() == page.locator(".math").count()
    assert page.locator("mjx-merror, mjx-container [data-mml-node=merror], mjx-container [fill=red]").count() == 0


def test_an_interval_a_percentage_and_a_name_are_whole(address, visit):
    page, _ = visit(f"{address}notebooks/02_teacher.html")  # docs/ writes 95%, which no line breaks
    assert "99.08 %" in page.locator(".whole").all_inner_texts()
    page, _ = visit(f"{address}docs/results.html")
    whole = page.locator(".whole").all_inner_texts()
    assert {"± 0.002", "p < 0.05", "KD-SN2"} <= set(whole)
    intervals = re.findall(r"\[-?\d\S*, -?\d\S*\]", page.locator("article").inner_text())
    assert [interval for interval in intervals if interval not in whole] == []


def test_a_formula_fits_a_phone_and_keeps_its_full_stop(address, visit):
    page, _ = visit(f"{address}notebooks/07_what_is_transferred.html", 390)
    overflow = "all => all.map(one => one.scrollWidth - one.clientWidth)"
    assert set(page.locator("div.math mjx-container").evaluate_all(overflow)) == {0}
    followed = "all => all.map(one => one.nextSibling?.data?.[0] ?? '')"
    signs = page.locator(".whole:has(span.math)").evaluate_all(followed)
    assert len(signs) > 40
    assert not set(signs) & set(".,;:)")
    assert page.locator(".headerlink:visible").count() == 0


def test_a_table_of_two_headings_has_one_rule_below_both(address, visit):
    page, _ = visit(f"{address}notebooks/05_calibration_and_mupe.html")
    above = page.locator(".cell_output thead tr:not(:last-child)")
    assert above.count() > 0
    assert set(above.evaluate_all("rows => rows.map(row => getComputedStyle(row).borderBottomWidth)")) == {"0px"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_only_cell_that_is_folded_says_what_it_is_for(notebook, address, visit):
    page, _ = visit(address + notebook.with_suffix(".html").as_posix())
    (text,) = page.locator("details.hide").all_inner_texts()
    assert text.strip() == "Show the cell that installs the project on Colab"
    assert "google.colab" in page.locator("details.hide pre").text_content()


DRAWN_BY = re.compile(r"Drawn by .+; commit [0-9a-f]{7}\+?\.")


@pytest.mark.parametrize("name", [name for name in PAGES if name != "search.html"])
def test_every_figure_leads_back(name, address, visit):
    """Each names the cell that drew it, and one on a page links to it; `test_every_local_link…` follows the links."""
    page, _ = visit(address + name)
    told = page.locator(".origin").all_inner_texts()
    assert [text for text in told if not DRAWN_BY.fullmatch(text)] == []
    notebook = Path(name).with_suffix(".ipynb")
    if (ROOT / notebook).exists():
        drawn = leads.figures(notebook)
        assert told == [leads.sentence(figure, f"{figure.cell} of this notebook") for figure in drawn]
    else:
        assert len(told) == page.locator("article img").count()
        linked = page.locator(".origin a").count()
        assert linked == len([text for text in told if "Drawn by cell" in text])


def printed(book):
    """The summary of a book, printed in a process of its own, since this one has a browser."""
    command = (sys.executable, ROOT / "workflow" / "summary.py", book)
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def test_the_summary_is_that_of_the_files_and_prints_on_one_page(address, visit):
    page, _ = visit(f"{address}docs/summary.html")
    shown = " ".join(page.locator("article").inner_text().split())
    parts = " ".join((pages.parts()["answer"], pages.parts()["verdicts"]))
    numbers = re.findall(r"-?\d+(?:\.\d+)?%? \[-?\d[^]]*\]", parts)
    assert len(numbers) > 15
    assert [number for number in numbers if number not in shown] == []
    assert printed(BOOK).returncode == 0
    assert summary.pages((BOOK / "summary.pdf").read_bytes()) == 1


def test_a_summary_of_two_pages_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "summary.html").write_text("<p>A line.</p>" * 200, encoding="utf-8")
    done = printed(tmp_path)
    assert done.returncode != 0
    assert re.search(r"must fit one page, and takes [2-9]", done.stderr)
    assert not (tmp_path / "summary.pdf").exists()


def test_every_local_link_leads_somewhere(address, visit):
    links, anchors = set(), {}
    for name in PAGES:
        page, _ = visit(address + name)
        links |= {(name, href) for href in page.evaluate("[...document.links].map(a => a.getAttribute('href'))")}
        anchors[name] = {"", *page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")}
    broken = []
    for name, href in sorted(links):
        target, fragment = urldefrag(urljoin(address + name, href))
        if not target.startswith(address):
            assert target.startswith(OUTSIDE)
            continue
        path = unquote(urlsplit(target).path[1:])
        if not (BOOK / path).is_file() or unquote(fragment) not in anchors.get(path, {"", fragment}):
            broken.append((name, href))
    assert broken == []


def test_search_finds_mupe(address, visit):
    page, wrong = visit(f"{address}search.html?q=MUPE")
    page.wait_for_selector("ul.search li a")
    found = page.locator("ul.search li > a").evaluate_all("links => links.map(a => a.href.split('?')[0])")
    assert {f"{address}notebooks/05_calibration_and_mupe.html", f"{address}docs/results.html"} <= set(found)
    assert wrong == []


def test_the_package_is_described_whole(address, visit):
    page, _ = visit(f"{address}docs/api.html")
    described = set(page.locator("article h2").evaluate_all("all => all.map(h => h.firstChild.textContent)"))
    modules = {f"kd.{name}" for name in kd.__all__ if name.islower()}
    assert described == modules


def test_opens_from_the_disk_too(visit):
    page, wrong = visit((BOOK / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    page.get_by_role("link", name="3 · Distillation").first.click()
    page.wait_for_selector("div.math mjx-container svg")
    assert wrong == []
