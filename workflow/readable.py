"""Executed notebooks as pages that a browser shows without a network: formulas are MathML, which browsers draw.

python workflow/readable.py runs/quick/notebooks/01_data.ipynb … --to runs/quick/notebooks/pages
"""

import argparse
import re
from pathlib import Path

from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

FETCHED = re.compile(r'<script src="https://[^"]*">\s*</script>|<img alt="([^"]*)" src="https:[^>]*>')
BRACES = r"(?:[^{}]|\{[^{}]*\})*"  # what stands between two braces, with one pair inside at most
SAME = {  # TeX that docutils does not read, or draws with the index below: the same in words that it knows
    r"\\[bB]ig(?![a-zA-Z])": "",
    r"\\dots(?![a-zA-Z])": r"\\ldots ",
    r"\\operatorname\*?\{(\w+)\\,(\w+)\}": r"\\operatorname{\1 \2}",
    r"(\\(?:bar|hat) ?(?:\w|\\[a-zA-Z]+))(?=[_^])": r"\1{}",
    rf"\\underbrace\{{({BRACES})\}}_\{{({BRACES})\}}": r"\\underset{\2}{\\underbrace{\1}}",
}


def formula(tex, block=False):
    """A formula's TeX as MathML; raises MathError where docutils cannot read it."""
    for pattern, same in SAME.items():
        tex = re.sub(pattern, same, tex)
    return tex2mathml(tex, as_block=block)


class Drawn(IPythonRenderer):
    """Markdown whose formulas are drawn; one that docutils cannot read stands as its TeX source."""

    def block_math(self, body):
        try:
            return formula(body, block=True)
        except MathError:
            return super().block_math(body)

    def inline_math(self, body):
        try:
            return formula(body)
        except MathError:
            return super().inline_math(body)


def html(text):
    """A cell's Markdown as HTML."""
    return MarkdownWithMath(renderer=Drawn(escape=False)).render(text)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--to", required=True, type=Path, help="folder of the pages")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter(filters={"markdown2html": html})
    for path in given.notebooks:
        page, _ = exporter.from_filename(str(path))
        (given.to / f"{path.stem}.html").write_text(FETCHED.sub(r"\1", page), encoding="utf-8")


if __name__ == "__main__":
    main()
