"""What the tests of faults share; if none is left out, they write their count to results/faults.json."""

import json

import pytest
from faults import ROOT, SCRIPT, SURVIVED, TRIED, finish, made, start
from kdutils.plumbing import machine, store


def pytest_sessionfinish(session, exitstatus):
    """Replaces the counts of the kinds that were tried; so one file of tests can be run again by itself.

    Not after a part of a file, as -k, a test's name, -x or an interruption leave.
    """
    option, named = session.config.option, any("::" in word for word in session.config.args)
    whole = exitstatus in (0, 1) and not (option.markexpr or option.keyword or named or session.shouldfail)
    if TRIED and whole:
        path = ROOT / "results" / "faults.json"
        before = json.loads(path.read_text(encoding="utf-8"))["faults"] if path.exists() else {}
        counts = {kind: {"tried": TRIED[kind], "survived": SURVIVED[kind]} for kind in TRIED}
        store.write_atomically(path, store.to_json(machine.provenance() | {"faults": before | counts}))


@pytest.fixture
def thorough(request):
    """Whether no fault is left out."""
    return not request.config.option.markexpr


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What SCRIPT makes when nothing disturbs it, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, said = finish(start(SCRIPT, folder))
    assert status == 0, said
    assert len(made(folder)) == 4
    return made(folder)
