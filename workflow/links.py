"""Write the repository's address everywhere, and the badges and links that need it.

python workflow/links.py owner/name

Until its address is known, the repository has no such link. Given another address, all links are changed to that.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNKNOWN = "/".join(("OWNER", "REPOSITORY"))  # the notebooks' first cell has it in the address's place
COLAB = "https://colab.research.google.com"
PROJECT = '[project.urls]\nRepository = "https://github.com/{}"\n\n'  # in pyproject.toml, before its next table
CITATION = 'repository-code: "https://github.com/{}"\n'


def address(root=ROOT):
    """owner/name, as pyproject.toml has it; `UNKNOWN` if it has none."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "https://github\.com/([^"]+)"', text, re.MULTILINE)
    return found[1] if found else UNKNOWN


def badge(new, notebook):
    """The badge that opens a notebook, given by its path in the repository, in Colab."""
    image = f"![Open in Colab]({COLAB}/assets/colab-badge.svg)"
    return f"[{image}]({COLAB}/github/{new}/blob/main/{notebook})"


def first_page(text, new):
    """README.md with two badges below its title."""
    tests = f"https://github.com/{new}/actions/workflows/test.yml"
    badges = f"[![Tests]({tests}/badge.svg)]({tests}) {badge(new, 'notebooks/01_data.ipynb')}"
    title, rest = text.split("\n\n", 1)
    return f"{title}\n\n{badges}\n\n{rest}"


def notebook(text, new, name):
    """A notebook's JSON with the badge below its title."""
    content = json.loads(text)
    first = content["cells"][0]["source"]
    content["cells"][0]["source"] = [first[0], "\n", f"{badge(new, name)}\n", *first[1:]]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def linked(name, text, new):
    """A file's text with the links that it has only once the address is known."""
    if name.endswith(".ipynb"):
        return notebook(text, new, name)
    if name == "README.md":
        return first_page(text, new)
    if name == "pyproject.toml":
        return text.replace("[tool.setuptools]\n", PROJECT.format(new) + "[tool.setuptools]\n", 1)
    if name == "CITATION.cff":
        return text.replace("authors:\n", CITATION.format(new) + "authors:\n", 1)
    return text


def main(new=""):
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new) or new == UNKNOWN:
        raise SystemExit(f"REPO must be owner/name, got {new!r}")
    old = address()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".ipynb", ".md", ".toml", ".cff", ".py", ".yml") or not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        text = before.replace(old, new)
        text = linked(name, text, new) if old == UNKNOWN else text
        if text != before:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
