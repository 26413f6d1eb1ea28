"""The book: what `make book` builds from the executed notebooks, the files in results/ and docstrings."""

import json
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import yaml
from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "workflow"))
import leads  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT.get("urls", {}).get("Repository")  # None until `make links` has written it
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# those that index.md places itself
PAGES = ("index", "summary", "results", "preregistration", "choices", "costs", "made", "api", "cite")
BADGE = r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)"
PICTURE = re.compile(r"^!\[[^\]]*\]\(\.\./figures/([^)]+)\)$", re.MULTILINE)
# what no line breaks: an interval, a range, a number with what belongs to it, the name of a network
WHOLE = r"[\[(]-?\d[^\[\]() ]*,? (?:to )?-?\d[^\[\]() ]*[\])]|[\d.]+(?: to |–)[\d.]+"
WHOLE += r"|(?:±|p (?:[<=≤]|&lt;)) [\d.]+|\d[\d.]* %|(?:KD|ONE)-SN\d(?:-\w+)?|rate-\de-\d"
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"

project = PROJECT["name"]
author = ", ".join(person["name"] for person in CITATION["authors"])
release = CITATION["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "notebooks/**.ipynb"]
exclude_patterns = ["**/.*", "book", "build", "data", "runs"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the cell that installs the project on Colab"  # no other cell is folded
nb_code_prompt_hide = "Hide it again"
myst_enable_extensions = ["attrs_inline", "dollarmath", "substitution"]
myst_heading_anchors = 3
mathjax_path = MATHJAX.name  # in _static: one file, fonts included, nothing fetched
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = "Does a student learn how unsure its teacher is?"
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["_static", str(MATHJAX)]
html_extra_path = ["_extra"]  # index.html, which leads to docs/index.html
html_css_files = ["book.css"]
html_sourcelink_suffix = ""
html_use_index = html_domain_indices = html_show_copyright = html_show_sphinx = False
html_theme_options = {
    "repository_url": REPOSITORY or "",
    "use_repository_button": bool(REPOSITORY),
    "show_toc_level": 2,
    "navbar_persistent": [],  # the sidebar has a search already
}


def bibtex(kind, key, fields):
    """One BibTeX entry, braces about each field."""
    return "\n".join([f"@{kind}{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])


def citations():
    """CITATION.cff as BibTeX: the paper, then this reproduction."""
    (paper,) = CITATION["references"]
    people = " and ".join(f"{person['family-names']}, {person['given-names']}" for person in paper["authors"])
    published = {"author": people, "title": paper["title"], "booktitle": paper["collection-title"]}
    published |= {"pages": f"{paper['start']}--{paper['end']}", "year": paper["year"]}
    ours = {"author": f"{{{author}}}", "title": CITATION["title"], "version": release}
    ours |= {"url": REPOSITORY} if REPOSITORY else {}
    entries = (
        bibtex("inproceedings", f"{paper['authors'][0]['family-names'].lower()}{paper['year']}", published),
        bibtex("software", project, ours),
    )
    return "```bibtex\n" + "\n\n".join(entries) + "\n```"


def contents(caption, pages):
    """A table of contents of pages, if there are any."""
    names = "\n".join(f"/{path.relative_to(ROOT).with_suffix('')}" for path in pages)
    return f"```{{toctree}}\n:maxdepth: 1\n:caption: {caption}\n\n{names}\n```" if pages else ""


def guides():
    """Tables of contents of whatever else lies in docs/, and of the exercises' solutions."""
    pages = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in PAGES]
    solutions = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
    return "\n\n".join((contents("Guides", pages), contents("Exercises, solved", solutions)))


myst_substitutions = {"citations": citations(), "guides": guides()}


def origin(figure, by):
    """The line below a figure that says where it comes from, as Markdown. by: what drew it."""
    told = leads.sentence(figure, by).replace("*", r"\*")
    return f"[{told}]{{.origin}}"


def leads_back(picture):
    """A page's picture of figures/, followed by a line that says and links to what drew it."""
    path, figure = leads.of_file(picture[1])
    by = f"[{figure.cell} of `{path}`](#{leads.label(path, figure)})" if figure.cell else f"`{path}`"
    return f"{picture[0]}\n\n{origin(figure, by)}"


def to_read(app, name, source):
    """Each figure followed by where it comes from. In a notebook, Colab's badge is text, and its cell is folded."""
    path = app.env.doc2path(name)
    if path.suffix != ".ipynb":
        source[0] = PICTURE.sub(leads_back, source[0])
        return
    notebook = json.loads(source[0])
    for figure in reversed(leads.figures(path.relative_to(ROOT))):
        label = leads.label(path.relative_to(ROOT), figure)
        text = f"({label})=\n{origin(figure, f'{figure.cell} of this notebook')}"
        cell = {"cell_type": "markdown", "metadata": {}, "id": label[:64], "source": text}
        notebook["cells"].insert(figure.place + 1, cell)
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = re.sub(BADGE, r"[Open in Colab](\1){.colab}", text)
        elif "google.colab" in text:
            cell["metadata"]["tags"] = ["hide-input"]
        for output in cell.get("outputs", ()):
            if table := output.get("data", {}).get("text/html"):
                output["data"]["text/html"] = re.sub(WHOLE, r'<span class="whole">\g<0></span>', "".join(table))
    source[0] = json.dumps(notebook)


def with_signs(formula):
    """Put a formula, a bracket before it and the signs after it into one inline that no line breaks."""
    within, place = formula.parent, formula.parent.index(formula)
    parts = [formula]
    if place and isinstance(within[place - 1], nodes.Text):
        rest, opening = re.fullmatch(r"(.*?)([(“]?)", within[place - 1], re.DOTALL).groups()
        within[place - 1] = nodes.Text(rest)
        parts.insert(0, nodes.Text(opening))
    if place + 1 < len(within) and isinstance(within[place + 1], nodes.Text):
        closing, rest = re.fullmatch(r"([^\s(]*)(.*)", within[place + 1], re.DOTALL).groups()
        within[place + 1] = nodes.Text(rest)
        parts.append(nodes.Text(closing))
    within[place] = nodes.inline("", "", *parts, classes=["whole"])


def in_one_line(app, tree, name):
    """What no line breaks, marked for book.css: in all text, and a formula with the signs about it."""
    for text in list(tree.findall(nodes.Text)):
        within = text.parent
        if isinstance(within, (nodes.paragraph, nodes.strong, nodes.emphasis)) and re.search(WHOLE, text):
            parts = re.split(f"({WHOLE})", text)
            parts[::2] = map(nodes.Text, parts[::2])
            parts[1::2] = (nodes.inline("", whole, classes=["whole"]) for whole in parts[1::2])
            within.replace(text, parts)
    for formula in list(tree.findall(nodes.math)):
        with_signs(formula)


def as_rst(app, what, name, obj, options, lines):
    """A docstring is plain text with names in backticks: those become literals, all else stands for itself."""
    marked = re.compile(r"`+([^`]+)`+|([*|_\\])")
    lines[:] = [marked.sub(lambda m: rf"\ ``{m[1]}``\ " if m[1] else "\\" + m[2], line) for line in lines]


def is_tuple_field(app, what, name, obj, skip, options):
    """Fields of a named tuple stand in its signature already."""
    return type(obj).__name__ == "_tuplegetter" or None


def setup(app):
    app.connect("source-read", to_read)
    app.connect("doctree-resolved", in_one_line)
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-skip-member", is_tuple_field)
