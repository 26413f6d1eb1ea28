"""Where a figure comes from: the cell that drew it, what was read for it, and the commit, out of notebooks and git.

A notebook's last cell prints its commit, its settings cell the profile and the seeds. What a cell hangs on are the
cells that assigned its names. In a notebook with a cell for each step that is enough to tell what was read.
Of the settings cell each statement counts alone: `study` holds all seeds, and `run = study[0]` the first.
"""

import ast
import json
import re
import subprocess
import symtable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NETWORKS_READ = re.compile(r"\.(?:predictions|network|history|answers|soft_targets)\(")
FILES_READ = re.compile(r"""(all_)?committed\(\s*["']([\w./-]+)["']""")
PATHS_READ = re.compile(r"""["'](results/[\w./-]+\.\w+)["']""")
RUNS_READ = re.compile(r"""kd\.Run\(["']([\w-]+)["'], (\d+)""")
CHOICES_READ = {"choices.with_variants(": "results/quick", "choices.side_by_side(": "results/*-*"}
ALL_SEEDS = re.compile(r"(?<!len\()(?<![\w.])study(?![\w.]|\[0\])")
THERE = re.compile(r"\.has\(\w+\) for \w+ in study")  # asks which networks there are, and reads none
PICTURE_READ = re.compile(r'"figures" / "([\w.]+)"')
IMAGES_READ = re.compile(r"\bload_\w*mnist\(|\.parts\b")
SETTINGS = re.compile(r"profile ([\w.-]+)[^\n]*\nseeds? ([\d, ]+), networks and predictions in (\S+)")
COMMIT = re.compile(r"\bcommit ([0-9a-f]{7})[0-9a-f]*(\+?)")


class Figure(NamedTuple):
    """A figure: the place and the name of its cell, the files saved, what was read for it, the commit."""

    place: int | None
    cell: str | None
    saved: list
    read: list
    commit: str | None


def names(source):
    """(those that a cell assigns, those that it takes from others); what a function has for itself is neither."""
    cell = symtable.symtable(source, "cell", "exec")
    given = {own.get_name() for own in cell.get_symbols() if own.is_assigned() or own.is_imported()}
    used, scopes = set(), [cell]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        within = (own for own in scope.get_symbols() if own.is_referenced() and (scope is cell or own.is_global()))
        used |= {own.get_name() for own in within}
    return given, used - given


def pieces(sources):
    """The cells of these sources, and in the place of the settings cell its statements."""
    for source in sources:
        settings = "from_parameters(" in source
        yield from (ast.get_source_segment(source, one) for one in ast.parse(source).body) if settings else [source]


def hangs_on(sources, number):
    """Cell `number` of these sources, and before it the pieces on whose names it hangs."""
    wanted, found = names(sources[number])[1], [sources[number]]
    for piece in reversed(list(pieces(sources[:number]))):
        given, used = names(piece)
        if given & wanted:
            found.insert(0, piece)
            wanted = (wanted - given) | used
    return found


def outputs(cell):
    """What a cell printed."""
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def read_for(cells, number):
    """What was read for code cell `number` of a notebook: files and folders of results/, or MNIST."""
    sources = ["".join(cell["source"]) for cell in cells]
    hung = hangs_on(sources, number)
    text = "\n".join(hung)
    found = [f"results/{'*/' if every else ''}{name}" for every, name in FILES_READ.findall(text)]
    found += PATHS_READ.findall(text)
    found += [f"figures/{name}" for name in PICTURE_READ.findall(text)]
    found += [f"results/{profile}, seed {seed}" for profile, seed in RUNS_READ.findall(text)]
    found += [read for call, read in CHOICES_READ.items() if call in text]
    settings = SETTINGS.search("".join(map(outputs, cells)))
    if settings and NETWORKS_READ.search(text):
        profile, seeds, folder = settings.groups()
        if not any(ALL_SEEDS.search(THERE.sub("", piece)) for piece in hung if "from_parameters(" not in piece):
            seeds = seeds.split(",")[0]
        found.insert(0, f"{folder}/{profile}, seed{'s' * (',' in seeds)} {seeds}")
    return found + ["MNIST"] * bool(IMAGES_READ.search(text))


def last_commit(path):
    """The last commit that changed a file, as seven digits; None outside a repository."""
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%H", "--", str(path)]
    try:
        return subprocess.run(git, capture_output=True, text=True, encoding="utf-8", check=True).stdout[:7] or None
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def figures(notebook):
    """The Figures that a notebook of this repository drew, in its order."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    printed = COMMIT.search("".join(map(outputs, code)))
    commit = "".join(printed.groups()) if printed else last_commit(notebook)
    found = []
    for place, cell in enumerate(cells):
        if cell["cell_type"] == "code" and any("image/png" in own.get("data", {}) for own in cell["outputs"]):
            saved = re.findall(r"[\w-]+\.png", outputs(cell))
            read = read_for(code, code.index(cell))
            found.append(Figure(place, f"cell {cell['execution_count']}", saved, read, commit))
    return found


def of_file(name):
    """(the notebook or script that drew figures/<name>, its Figure); LookupError if there is none."""
    for path in sorted((ROOT / "notebooks").glob("[!.]*.ipynb")):
        for figure in figures(path.relative_to(ROOT)):
            if name in figure.saved:
                return path.relative_to(ROOT), figure
    for path in [*(ROOT / "workflow").glob("*.py"), *(ROOT / "tests" / "benchmarks").glob("*.py")]:
        source = path.read_text(encoding="utf-8")
        if re.search(rf'save_figure\(.*"{Path(name).stem}"\)', source):
            read = re.findall(r'"results" / "([\w.]+\.json)"', source)
            read = [f"results/{file}" for file in read]
            return path.relative_to(ROOT), Figure(None, None, [name], read, last_commit(f"figures/{name}"))
    raise LookupError(f"no notebook and no script draws figures/{name}")


def label(notebook, figure):
    """The name by which a page links to a notebook's figure."""
    return f"{Path(notebook).with_suffix('').as_posix()}-{figure.cell}".replace("/", "-").replace(" ", "-")


def sentence(figure, by):
    """Who drew a figure, from what, at which commit."""
    *others, last = figure.read or [""]
    read = "; ".join(others) + " and " * bool(others) + last
    return f"Drawn by {by}" + f", from {read}" * bool(read) + f"; commit {figure.commit}" * bool(figure.commit) + "."
