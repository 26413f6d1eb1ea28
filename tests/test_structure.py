"""The modules' arrows point one way, and no module or function outgrows its room."""

import ast
from pathlib import Path

import kdutils
import pytest

PACKAGE = Path(kdutils.__file__).parent
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
MODULES = {name: path for name, path in MODULES.items() if not name.endswith("__init__")}
MAY_IMPORT = {  # module: modules of ours that it may import, beside those that these may
    "plumbing.checks": [],
    "plumbing.progress": [],
    "plumbing.store": ["plumbing.progress"],
    "plumbing.fetch": ["plumbing.store"],
    "plumbing.compute": ["plumbing.checks", "plumbing.progress"],
    "plumbing.dropout": [],
    "plumbing.machine": ["plumbing.store"],
    "plumbing.checkpoint": ["plumbing.store"],
    "profiles": ["plumbing.checks", "plumbing.store"],
    "recipes": ["plumbing.checks"],
    "data": ["plumbing.compute", "plumbing.fetch", "plumbing.store"],
    "models": ["data", "profiles", "plumbing.compute"],
    "predictions": ["plumbing.checks", "plumbing.store"],
    "distillation": ["models", "plumbing.checks"],
    "training": ["models", "plumbing.checkpoint", "plumbing.compute", "plumbing.machine"],
    "mc_dropout": ["models", "predictions", "plumbing.dropout"],
    "plumbing.source": [],
    "origin": ["plumbing.source", "plumbing.store"],
    "shifts": ["data", "profiles"],
    "one_pass": ["mc_dropout", "recipes", "shifts"],
    "published": ["mc_dropout", "plumbing.checkpoint"],
    "making": ["origin", "distillation", "training", "one_pass", "published", "shifts"],
    "runs": ["making"],
    "notebook": ["runs"],
    "calibration": ["plumbing.checks"],
    "transfer": ["calibration"],
    "stats": ["calibration"],
    "study": ["stats", "transfer"],
    "transferred": ["study"],
    "judging": ["stats"],
    "claims": ["study", "judging"],
    "followed": ["transferred", "recipes", "shifts"],
    "ours": ["transferred", "judging"],
    "choices": ["claims", "runs"],
    "plots": ["plumbing.machine", "plumbing.store"],
    "intervals": ["choices", "plots"],
}


def imported(path):
    """The modules of ours that a module imports anywhere in it."""
    package = ("kdutils", *path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*base, *((node.module or "").split(".") if node.module else ())))
            names = [f"{base}.{alias.name}" for alias in node.names] + [base]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("kdutils.") for name in names if name.startswith("kdutils.")}
    return found & MODULES.keys()


def reachable(name):
    """The modules that `name` may import: those of MAY_IMPORT, and what they may."""
    return {name for direct in MAY_IMPORT[name] for name in (direct, *reachable(direct))}


def test_every_module_has_its_place():
    assert MAY_IMPORT.keys() == MODULES.keys()


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_arrows_point_one_way(name):
    """`reachable` ends, so there is no circle."""
    assert imported(MODULES[name]) <= reachable(name)


def test_a_wrong_arrow_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("test_structure.PACKAGE", tmp_path)
    path = tmp_path / "plumbing" / "store.py"
    path.parent.mkdir()
    for text in (
        "from ..runs import Run",
        "from .. import runs",
        "import kdutils.runs",
        "def f():\n from .. import runs",
    ):
        path.write_text(text, encoding="utf-8")
        assert imported(path) == {"runs"}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_and_no_function_outgrows_its_room(name):
    source = MODULES[name].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 250
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            described = len((ast.get_docstring(node) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - described <= 45, node.name
