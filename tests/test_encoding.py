"""Files mean the same in every language: whoever reads or writes text names its encoding."""

import ast
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from checkout import ROOT, listed

NAMED = {"read_text": 0, "write_text": 1, "open": 1, "run": None, "check_output": None, "Popen": None}


def sources():
    """{file: its Python}: of pages and notebooks without IPython's lines, of the Snakefile all before its rules."""
    found = {name: (ROOT / name).read_text(encoding="utf-8") for name in listed("*.py", "*.ipynb", "Snakefile")}
    for name in found:
        if name.endswith(".ipynb"):
            cells = [cell.source for cell in nbformat.reads(found[name], 4).cells if cell.cell_type == "code"]
            found[name] = "\n".join(re.sub(r"^( *)[%!].*", r"\1pass", cell, flags=re.MULTILINE) for cell in cells)
    found["Snakefile"] = found["Snakefile"].split("\nrule ")[0]
    for name in listed("*.md"):
        found[name] = "\n".join(
            re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
        )
    return found


def unnamed(text):
    """The lines that read or write text in whatever encoding the machine prefers."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if name not in NAMED or "encoding" in keywords or None in keywords:
            continue
        if NAMED[name] is None:
            if {"text", "universal_newlines"} & keywords.keys():
                yield node.lineno
        elif name == "open":
            owner = getattr(getattr(node.func, "value", None), "id", None)
            mode = [a.value for a in [*node.args, *keywords.values()] if isinstance(a, ast.Constant)]
            binary = any(isinstance(value, str) and "b" in value and len(value) < 4 for value in mode)
            if not binary and owner not in ("tarfile", "zipfile", "webbrowser", "Image", "os", "Run"):
                yield node.lineno
        elif len(node.args) <= NAMED[name]:
            yield node.lineno


def test_every_text_has_its_encoding_named():
    assert {name: lines for name, text in sources().items() if (lines := list(unnamed(text)))} == {}


def test_make_reads_and_writes_utf_8():
    assert "\nexport PYTHONUTF8 = 1\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "code", ["p.read_text(", "p.write_text('', ", "open('f', ", "open('f', 'w', ", "run(c, text=True, ", "p.open('a', "]
)
def test_a_text_without_encoding_is_seen(code):
    assert list(unnamed(code + ")")) == [1]
    assert not list(unnamed(code + "encoding='utf-8')"))


LANGUAGES = {"code page 1252": ("en_US", "CP1252"), "two bytes a letter": ("ja_JP", "EUC-JP")}
CODE = """
import locale
import kdutils as kd
from kdutils.plumbing import machine, store
assert not locale.getpreferredencoding(False).upper().startswith("UTF"), locale.getpreferredencoding(False)
print(store.sha256(store.to_json([kd.notebook.all_committed("table1.json"), kd.origin.code("prediction")])))
machine.provenance()
"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_records_read_the_same_in_every_language(tmp_path, language):
    place, charmap = LANGUAGES[language]
    command = ["localedef", "-c", "-i", place, "-f", charmap, str(tmp_path / "other")]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True).returncode > 1:
        pytest.skip(f"no locale {place}.{charmap} can be made here")
    found = []
    for changes in ({"LOCPATH": str(tmp_path), "LC_ALL": "other", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}):
        code = CODE if changes else CODE.replace("assert not", "assert")
        command = [sys.executable, "-c", code]
        environment = os.environ | {"PYTHONUTF8": "1"} | changes
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", env=environment)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1]
