"""Prose of the notebooks, the pages and the first page: short sentences, without phrases that stopped a reader."""

import re

import checkout
import nbformat
import pytest
from checkout import ROOT

PAGES = [name for name in checkout.listed("*.md", "*.ipynb") if not name.startswith("tests/")]
WORDS = 30  # the most that a sentence has

# code, displayed formulas, headings, tables, badges, marks and directives
NO_SENTENCES = r"```(?s:.*?)```|\$\$(?s:.*?)\$\$|<!--.*?-->|^#.*|^\|.*|^ *\[?!\[.*|^<img.*|^\{\{.*"
PHRASES = (
    "says what holds",
    "is worth something",
    "its result would mean little",
    "must have begun at",
    "fourth pooling drops",
    "unless the paper rounded",
    "is easily",
    "to take over",
    "trained so cannot",
    "before its first training",
    "so it still holds",
    "as far as the split can be told",
    "which notebook 1 took from here",
    "stays an **inference**",
    "could as well learn",
    "the slider is there where",
    "the method it cites has it",
    "four- or fivefold",
    "is unsure in two ways",
    "need name the same",
    "up to chance",
    "Let us not just say so",
    "which cost nearly everything",
    "*deserves*",
    "is to match",
    "with what they lack",
    "for want of",
    "otherwise than",
    "as often as",
    "of which",
    "for which",
    "with which",
    "none that can be",
    "gone on with",
    "which is said",
)


def prose(name):
    """The Markdown of a page, or of a notebook's cells."""
    if name.endswith(".md"):
        return (ROOT / name).read_text(encoding="utf-8")
    cells = nbformat.read(ROOT / name, 4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def sentences(markdown):
    """The sentences of a text. A list item begins one. Inline code or a formula is one word, an interval none."""
    text = re.sub(NO_SENTENCES, "\n\n", markdown, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[[-\d., %]+\]", "", text)  # intervals
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "X", text).replace("et al.", "et al").replace("pp.", "pp")
    blocks = re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) ", text, flags=re.MULTILINE)
    parts = (part for block in blocks for part in re.split(r"(?<=[.?!])[*)\"”]*\s+", block))
    return [" ".join(part.split()) for part in parts if part.strip()]


def test_sentences_are_found():
    text = "# A. B\n\nHinton et al. (2015) take `a. b` as $x. y$. **Why?** (So.)\n$$z. z$$\n- one two [0.1, 2].\n"
    text += "- [three](four.md)\n\n<!-- a. b -->\n\n| a. b |\n1. Four\nfive"
    assert sentences(text) == [
        "Hinton et al (2015) take X as X.",
        "**Why?",
        "(So.)",
        "one two .",
        "three",
        "Four five",
    ]


@pytest.mark.parametrize("name", PAGES)
def test_no_sentence_is_long(name):
    found = [(len(re.findall(r"\S*\w\S*", one)), one) for one in sentences(prose(name))]
    assert [(count, one) for count, one in found if count > WORDS] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_phrase_stops_a_reader(name):
    text = " ".join(sentences(prose(name)))
    assert [phrase for phrase in PHRASES if phrase in text] == []


@pytest.mark.parametrize("name", PAGES)
def test_percentages_have_one_form(name):
    """With a space in notebooks, as their figures have them; without one on pages, as their tables do."""
    wrong = r"\d%" if name.endswith(".ipynb") else r"\d[ \xa0]%"
    assert re.findall(rf".{{,20}}{wrong}", prose(name)) == []


def test_sections_that_the_teachers_page_names_are_there():
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    named = re.findall(r"[Nn]otebook (\d), (?:up to )?\*([^*]+)\*", page)
    assert len(named) >= 10
    for number, section in named:
        [name] = [name for name in PAGES if re.match(rf"notebooks/0{number}_", name)]
        headings = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
        assert section in headings
