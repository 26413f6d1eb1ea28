import pytest
from kdutils.plumbing.source import code_digest, function_digest

CODE = '''
"""A module."""
LIMIT = 3


def double(x):
    """Twice x."""
    return 2 * x  # a comment
'''
SAME = {
    "a comment": CODE.replace("# a comment", "# another one"),
    "a docstring": CODE.replace("Twice x.", "x, twice."),
    "no docstring": CODE.replace('    """Twice x."""\n', ""),
    "layout": CODE.replace("2 * x", "(\n        2\n        * x\n    )"),
}
OTHER = {
    "a number": CODE.replace("2 * x", "3 * x"),
    "a name": CODE.replace("LIMIT", "BOUND"),
    "a string": CODE.replace("LIMIT = 3", "LIMIT = '3'"),
    "an operator": CODE.replace("2 * x", "2 + x"),
    "an argument's default": CODE.replace("(x)", "(x=1)"),
}


@pytest.fixture
def written(scratch):
    """A function: a file of its own that holds `text`."""

    def write(text):
        path = scratch / f"module{len(list(scratch.iterdir()))}.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("what", SAME)
def test_words_and_layout_do_not_count(written, what):
    assert SAME[what] != CODE
    assert code_digest(written(SAME[what])) == code_digest(written(CODE))


@pytest.mark.parametrize("what", OTHER)
def test_code_counts(written, what):
    assert OTHER[what] != CODE
    assert code_digest(written(OTHER[what])) != code_digest(written(CODE))
    assert code_digest(written(CODE), written(OTHER[what])) != code_digest(written(CODE), written(CODE))


def test_of_one_function_only_its_own_code_counts(written):
    found = function_digest(written(CODE), "double")
    assert found == function_digest(written(OTHER["a name"]), "double")
    assert found != function_digest(written(OTHER["a number"]), "double")
    assert function_digest(written(CODE), "treble") is None


def test_a_function_that_comes_from_elsewhere_is_its_compiled_code(written):
    def one(x):
        return 2 * x

    def same(x):
        return 2 * x

    def other(x):
        return 3 * x

    path = written(CODE)
    found = [function_digest(path, "double", function) for function in (one, same, other)]
    assert found[0] == found[1] != found[2]
    assert function_digest(path, "double") not in found
