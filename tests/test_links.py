"""The repository's address stands in pyproject.toml; all else repeats it."""

import re
import subprocess
import sys

import checkout
import pytest
from checkout import ROOT

LISTED = checkout.listed()
PAGES = [name for name in LISTED if name.endswith((".ipynb", ".md", ".toml", ".cff", ".py", ".yml"))]


def addresses(folder):
    """{(page, owner/name)} of every link to a repository, also by way of Colab."""
    found = set()
    for name in PAGES:
        text = (folder / name).read_text(encoding="utf-8")
        for owner, repository in re.findall(r"github(?:\.com)?/([\w-]+)/([\w.-]*[\w-])", text):
            found.add((name, f"{owner}/{repository}"))
    return found


def address(folder):
    return re.search(
        r'Repository = "https://github\.com/([^"]+)"', (folder / "pyproject.toml").read_text(encoding="utf-8")
    )[1]


def test_no_link_goes_astray():
    assert {where for _, where in addresses(ROOT)} == {address(ROOT)}


def test_every_notebook_has_its_badge_and_its_way_home():
    notebooks = [name for name in LISTED if name.endswith(".ipynb")]
    assert len(notebooks) >= 6
    for name in notebooks:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert f"colab.research.google.com/github/{address(ROOT)}/blob/main/{name})" in text
        assert f'\\"https://github.com/{address(ROOT)}\\"' in text


def test_a_new_address_is_written_everywhere(tmp_path):
    checkout.copy(PAGES, tmp_path)
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    before = addresses(tmp_path)
    links = [sys.executable, "workflow/links.py"]
    subprocess.run([*links, "somebody/a-fork.2"], cwd=tmp_path, check=True, capture_output=True)
    assert addresses(tmp_path) == {(name, "somebody/a-fork.2") for name, _ in before}


@pytest.mark.parametrize("wrong", ["", "name", "https://example.org/a/b", "a/b/c", "a b/c"])
def test_a_wrong_address_is_refused(wrong):
    done = subprocess.run(
        [sys.executable, "workflow/links.py", wrong], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 1
    assert "REPO must be owner/name" in done.stderr
