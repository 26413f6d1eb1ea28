"""The record of all faults is not overwritten by a part of them."""

import json
import types
from pathlib import Path

import pytest
from faults import Counter

PARTS = {
    "whole": {},
    "-m": {"markexpr": "not faults"},
    "-k": {"keyword": "SN1"},
    "a test's name": {"args": ["tests/faults/test_disk.py::test_a"]},
    "-x": {"shouldfail": "stopping after 1 failures"},
    "interrupted": {"exitstatus": 2},
}


@pytest.mark.parametrize("part", PARTS)
def test_only_whole_files_replace_the_counts_of_their_kinds(part, tmp_path, monkeypatch, request):
    given = {"markexpr": "", "keyword": "", "args": ["tests/faults"], "shouldfail": False, "exitstatus": 0} | PARTS[
        part
    ]
    plugins = request.config.pluginmanager.get_plugins()
    ours = next(p for p in plugins if getattr(p, "__file__", None) == str(Path(__file__).with_name("conftest.py")))
    monkeypatch.setattr(ours, "ROOT", tmp_path)
    monkeypatch.setattr(ours, "TRIED", Counter({"SIGKILL": 2}))
    monkeypatch.setattr(ours, "SURVIVED", Counter({"SIGKILL": 2}))
    record = tmp_path / "results" / "faults.json"
    record.parent.mkdir()
    before = {kind: {"tried": 60, "survived": 60} for kind in ("SIGKILL", "bad parameters")}
    record.write_text(json.dumps({"faults": before}), encoding="utf-8")
    option = types.SimpleNamespace(markexpr=given["markexpr"], keyword=given["keyword"])
    config = types.SimpleNamespace(option=option, args=given["args"])
    ours.pytest_sessionfinish(types.SimpleNamespace(config=config, shouldfail=given["shouldfail"]), given["exitstatus"])
    found = json.loads(record.read_text(encoding="utf-8"))["faults"]
    assert found == before | ({"SIGKILL": {"tried": 2, "survived": 2}} if part == "whole" else {})
