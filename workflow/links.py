"""Write the repository's address everywhere: badges, links, and the notebooks' first cell.

python workflow/links.py owner/name
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "pyproject.toml"  # where the address stands; all else repeats it


def address():
    """owner/name, as pyproject.toml has it."""
    return re.search(r'Repository = "https://github\.com/([^"]+)"', PLACE.read_text(encoding="utf-8"))[1]


def main(new):
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise SystemExit(f"REPO must be owner/name, got {new!r}")
    old = address()
    listed = subprocess.run(
        ["git", "grep", "-lIF", old], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8", newline="\n")
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
