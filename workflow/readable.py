"""Executed notebooks as pages that a browser shows without a network: formulas stand as their TeX source.

python workflow/readable.py runs/quick/notebooks/01_data.ipynb … --to runs/quick/notebooks/pages
"""

import argparse
import re
from pathlib import Path

from nbconvert import HTMLExporter

FETCHED = re.compile(r'<script src="https://[^"]*">\s*</script>|<img alt="([^"]*)" src="https:[^>]*>')


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--to", required=True, type=Path, help="folder of the pages")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter()
    for path in given.notebooks:
        page, _ = exporter.from_filename(str(path))
        (given.to / f"{path.stem}.html").write_text(FETCHED.sub(r"\1", page), encoding="utf-8")


if __name__ == "__main__":
    main()
