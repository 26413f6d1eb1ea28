"""The repository's address: no link needs it before it is known; `make links` writes it and the links everywhere."""

import re
import subprocess
import sys

import checkout
import links
import pytest
from checkout import ROOT

LISTED = checkout.listed()
PAGES = [name for name in LISTED if name.endswith((".ipynb", ".md", ".toml", ".cff", ".py", ".yml"))]
NOTEBOOKS = [name for name in LISTED if name.endswith(".ipynb")]
NEW, OTHER = "/".join(("somebody", "a-fork.2")), "/".join(("others", "elsewhere"))  # whole, they would be changed here


def addresses(folder):
    """{(page, owner/name)} of every link to a repository, also by way of Colab."""
    found = set()
    for name in PAGES:
        text = (folder / name).read_text(encoding="utf-8")
        for owner, repository in re.findall(r"github(?:\.com)?/([\w-]+)/([\w.-]*[\w-])", text):
            found.add((name, f"{owner}/{repository}"))
    return found


@pytest.fixture
def copied(tmp_path):
    checkout.copy(PAGES, tmp_path)
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def write(folder, address):
    return subprocess.run(
        [sys.executable, "workflow/links.py", address], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


def texts(folder):
    return {name: (folder / name).read_text(encoding="utf-8") for name in PAGES}


def test_no_link_goes_astray():
    assert {where for _, where in addresses(ROOT)} == {links.address()}


def test_every_notebook_knows_its_way_home():
    assert len(NOTEBOOKS) >= 6
    for name in NOTEBOOKS:
        assert f'\\"https://github.com/{links.address()}\\"' in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.skipif(links.address() != links.UNKNOWN, reason="the address is known")
def test_no_link_is_dead_while_the_address_is_unknown():
    """It stands in the place of an address in the notebooks' first cell alone."""
    known = {name for name, _ in addresses(ROOT)}
    assert known == set(NOTEBOOKS)
    for name in NOTEBOOKS:
        assert (ROOT / name).read_text(encoding="utf-8").count(links.UNKNOWN) == 1


def test_a_new_address_is_written_everywhere(copied):
    assert write(copied, NEW).returncode == 0
    text = texts(copied)
    assert {where for _, where in addresses(copied)} == {NEW}
    for name in NOTEBOOKS:
        assert text[name].count(f"colab.research.google.com/github/{NEW}/blob/main/{name})") == 1
        assert text[name].count(f'\\"https://github.com/{NEW}\\"') == 1
    assert f"https://github.com/{NEW}/actions/workflows/test.yml/badge.svg" in text["README.md"]
    assert f"github/{NEW}/blob/main/notebooks/01_data.ipynb" in text["README.md"]
    assert len(text["README.md"].encode()) <= 10_000
    assert f'\nrepository-code: "https://github.com/{NEW}"\n' in text["CITATION.cff"]
    assert f'\n[project.urls]\nRepository = "https://github.com/{NEW}"\n' in text["pyproject.toml"]
    assert links.address(copied) == NEW


def test_another_address_takes_the_place_of_the_first(copied):
    write(copied, NEW)
    write(copied, OTHER)
    twice = texts(copied)
    subprocess.run(["git", "checkout", "--quiet", "."], cwd=copied, check=True)
    write(copied, OTHER)
    assert texts(copied) == twice
    assert write(copied, OTHER).stdout == ""


@pytest.mark.parametrize("wrong", ["", "name", "https://example.org/a/b", "a/b/c", "a b/c", links.UNKNOWN])
def test_a_wrong_address_is_refused(wrong):
    done = write(ROOT, wrong)
    assert done.returncode == 1
    assert "REPO must be owner/name" in done.stderr
