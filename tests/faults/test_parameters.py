"""Wrong parameters: one line in the words of the interface, an exit status that is not 0, nothing left behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import kdutils as kd
import pytest
from faults import ROOT, fault, some
from hypothesis import example, given
from hypothesis import strategies as st

GOOD = {"profile": "smoke", "seed": 0, "device": "cpu", "precision": "auto", "runs": "", "data": ""}
WRONG = {  # parameter: values of a wrong type, out of range, unknown, empty, huge
    "profile": ["", "Quick", "huge", "../quick", 3, None, True, [], 1e9, "quick\n", "q" * 10_000],
    "seed": ["", "zero", -1, 1.5, None, True, [0], 2**32, 10**400, float("nan"), {"seed": 0}],
    "device": ["", "gpu", "cuda:9", "CPU", None, 0, True, ["cpu"], "cpu " * 1000, "tpu", "cuda", "mps"],
    "precision": ["", "float16", "Float32", None, 32, True, ["float32"]],
    "runs": [None, 0, True, ["runs"], 1.5, {}, b"runs"],
    "data": [None, 0, True, ["data"], 1.5, {}, b"data"],
    "seeds": [
        "-1",
        "0-",
        "a",
        "0..9",
        "1,,2",
        1.5,
        True,
        [],
        [-1],
        [0.5],
        "0-99999999999",
        [2**32],
        "9-0",
        "٣" * 3 + "x",
    ],
}
WRONG["controls"] = ["yes", 1, 0, "", [True]]
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def ids(value):
    return repr(value)[:30]


@pytest.mark.parametrize(("name", "value"), CASES, ids=ids)
def test_python_refuses(name, value, tmp_path, monkeypatch):
    with fault("bad parameters"):
        monkeypatch.chdir(tmp_path)
        given = GOOD | ({"runs": str(tmp_path / "runs")} if name != "runs" else {}) | {name: value}
        with pytest.raises(kd.notebook.SettingsError) as caught:
            kd.notebook.from_parameters(**given)
        message = str(caught.value)
        assert name.removesuffix("s") in message
        assert "\n" not in message.replace(repr(value), "")
        assert caught.value._render_traceback_() == [f"SettingsError: {message}"]
        assert not list(tmp_path.iterdir())


@given(st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.none(), st.booleans(), st.binary(max_size=5)))
@example("0-9")
def test_seeds_are_whole_numbers_or_refused(value):
    try:
        seeds = kd.profiles.parse_seeds(value)
    except ValueError as error:
        seeds = str(error)
    if isinstance(seeds, str):
        assert "seed" in seeds
    else:
        assert seeds == sorted(set(seeds))
        assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)


def call(*command, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "KDUTILS_DATA": str(kd.data.default_root().resolve())} | environment
    environment.pop("KDUTILS_PROFILE", None)
    done = subprocess.run(
        [str(w) for w in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
    )
    return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


PAPERMILL = [
    *(("profile", value) for value in ("huge", "3", "''")),
    *(("seed", value) for value in ("-1", "1.5", "zero", "99999999999", "true")),
    *(("device", value) for value in ("gpu", "0")),
    *(("runs", value) for value in ("3", "null")),
    ("sead", "1"),
    ("profle", "smoke"),
]


@pytest.mark.parametrize(("name", "value"), some(PAPERMILL, few=1), ids=ids)
def test_papermill_refuses(name, value, tmp_path):
    with fault("bad parameters"):
        given = {"profile": "smoke", "runs": tmp_path / "runs"} | {name: value}
        words = [word for key, setting in given.items() for word in ("-p", key, setting)]
        if value in ("''", "null", "true"):
            words = ["-y", f"{name}: {value}", *([] if name == "runs" else ["-p", "runs", tmp_path / "runs"])]
        status, said = call(
            "papermill", "notebooks/02_teacher.ipynb", tmp_path / "out.ipynb", *words, "--no-progress-bar"
        )
        assert status != 0
        [line] = [line for line in said.splitlines() if line.startswith("SettingsError: ")]
        assert name in line
        assert not (tmp_path / "runs").exists()


SNAKEMAKE = [
    ("PROFLE", "smoke"),
    *(("profile", value) for value in ("huge", "", "3", "../quick")),
    *(("seeds", value) for value in ("", "-1", "a", "0-", "0-99999999999", "1.5")),
    *(("device", value) for value in ("gpu", "", "cuda")),
    *(("threads", value) for value in ("0", "-1", "two", "1.5")),
    ("controls", "yes"),
    ("sead", "1"),
    ("profle", "smoke"),
]


@pytest.mark.parametrize(("name", "value"), some(SNAKEMAKE, few=2), ids=ids)
def test_snakemake_refuses(name, value, tmp_path):
    with fault("bad parameters"):
        config = {"profile": "smoke", "runs": tmp_path / "runs"} | {name: value}
        settings = [f"{key}={setting}" for key, setting in config.items()]
        status, said = call("snakemake", "--cores", "1", "--nolock", "--config", *settings)
        assert status != 0
        [line] = [line for line in said.splitlines() if line.startswith("kdutils: ")]
        assert name in line
        assert "Traceback" not in said
        assert not (tmp_path / "runs").exists()


MAKE = [
    ("PROFLE", "smoke"),
    *(("PROFILE", value) for value in ("huge", "3", "../quick", "a b")),
    *(("SEEDS", value) for value in ("", "-1", "a", "0-99999999999")),
    *(("DEVICE", value) for value in ("gpu", "", "cuda")),
    *(("THREADS", value) for value in ("0", "two")),
    ("SEED", "1"),
]


@pytest.mark.parametrize(("name", "value"), some(MAKE, few=2), ids=ids)
def test_make_refuses(name, value, tmp_path):
    with fault("bad parameters"):
        given = {"PROFILE": "smoke", "RUNS": tmp_path / "runs"} | {name: value}
        status, said = call(
            "make", "paper", "--old-file=.venv/ready", *(f"{key}={word}" for key, word in given.items())
        )
        assert status != 0
        lines = [line for line in said.splitlines() if name.lower() in line.lower() and not line.startswith("== ")]
        assert lines, said
        assert "Traceback" not in said
        assert not (tmp_path / "runs").exists()
