"""Digests of source code, which comments, docstrings and layout do not change."""

import ast
import hashlib
from functools import cache
from pathlib import Path


@cache
def code_digest(*paths):
    """SHA-256 of the code in the files `paths`."""
    return _digest([_shape(_tree(path)) for path in paths])


def function_digest(path, name, loaded=None):
    """SHA-256 of the function `name` of the file `path`; None if that file does not define it.

    loaded: the function of that name in memory. If it comes from elsewhere, its compiled code counts.
    """
    if loaded is not None and Path(loaded.__code__.co_filename).resolve() != path.resolve():
        return _digest(_compiled(loaded.__code__))
    found = [node for node in _tree(path).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return _digest(_shape(found[0])) if found else None


@cache
def _tree(path):
    """The syntax tree of a file, read once: a process runs the code that it has loaded."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _compiled(code):
    parts = [_compiled(part) if hasattr(part, "co_code") else repr(part) for part in code.co_consts]
    return [code.co_code.hex(), code.co_names, parts]


def _shape(node):
    """A syntax tree as nested lists, without docstrings and positions; fields that are empty are left out."""
    if isinstance(node, list):
        return [_shape(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, *([key, _shape(value)] for key, value in fields.items() if value not in (None, []))]


def _digest(shape):
    return hashlib.sha256(repr(shape).encode()).hexdigest()
