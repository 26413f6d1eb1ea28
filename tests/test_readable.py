"""The pages of `make report`: formulas are drawn without a network, and nothing is lost that cannot be."""

import re
import xml.etree.ElementTree as ET

import nbformat
import pytest
import readable
from checkout import ROOT
from nbconvert.filters.markdown_mistune import MarkdownWithMath

NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/[!.]*.ipynb"))
MATHML = re.compile(r"<math.*?</math>", re.DOTALL)


def parsed(found):
    return ET.fromstring(found.replace("&ApplyFunction;", ""))


class Counted(readable.Drawn):
    """Keeps the source of each formula that it meets."""

    met = ()

    def block_math(self, body):
        self.met = (*self.met, body)
        return super().block_math(body)

    def inline_math(self, body):
        self.met = (*self.met, body)
        return super().inline_math(body)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_formula_of_a_notebook_is_drawn(path):
    """None stands as its source, none has TeX left in it, and code keeps its dollars."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            counted = Counted(escape=False)
            page = MarkdownWithMath(renderer=counted).render(cell.source)
            drawn = [parsed(found) for found in MATHML.findall(page)]
            assert len(drawn) == len(counted.met)
            assert [text for formula in drawn for text in formula.itertext() if "\\" in text] == []


def test_what_docutils_does_not_know_is_said_in_words_that_it_knows():
    def text(tex):
        return "".join(parsed(readable.formula(tex)).itertext()).replace("\n", "").replace(" ", "")

    assert text(r"\big(x\big)^2") == text("(x)^2") == "(x)2"
    assert text(r"\operatorname*{arg\,min}_f f") == "argminff"
    assert text(r"0, \dots, 1") == "0,…,1"


def test_an_index_stands_beside_a_letter_with_a_bar_and_a_braces_words_below_it():
    places = {tex: parsed(readable.formula(tex)) for tex in (r"\bar p_{ij}", r"\underbrace{a + b}_{\text{level}}")}
    bar, brace = ([each.tag.rsplit("}")[-1] for each in found.iter()] for found in places.values())
    assert "msub" in bar
    assert not {"munder", "munderover"} & set(bar)
    assert "msub" not in brace
    assert brace.count("munder") == 2


def test_a_formula_that_cannot_be_drawn_stands_as_its_source():
    assert readable.html(r"So $\unheard{x} < 1$.").strip() == r"<p>So $\unheard{x} &lt; 1$.</p>"
    assert r"$$\unheard$$" in readable.html(r"$$\unheard$$")


def test_a_page_has_formulas_and_keeps_the_dollars_of_code(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("`$HOME` and $x_i$\n\n$$y$$")])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    readable.main([str(tmp_path / "one.ipynb"), "--to", str(tmp_path / "pages")])
    page = (tmp_path / "pages" / "one.html").read_text(encoding="utf-8")
    assert len(MATHML.findall(page)) == 2
    assert 'display="block"' in page
    assert "<code>$HOME</code>" in page
