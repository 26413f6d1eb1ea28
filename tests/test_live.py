"""The line that lives: in a real terminal, in a log, interrupted, where a job fails; and where its times come from."""

import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import textwrap
import time

import costs
import further
import kdutils as kd
import live
import pexpect
import pytest
from checkout import ROOT
from kdutils.plumbing import progress

LIVE = str(ROOT / "workflow" / "live.py")
TRAINS = 'tell "02_teacher-seed-0", title="TN epoch 1/1", done=250, of=1000, rate=100.0\n'


@pytest.fixture
def command(tmp_path):
    """A function: the words of live.py with a program in Snakemake's place, which runs `lines` one after the other.

    Of the lines, "job NAME" begins a job, "tell NAME, **event" tells of it, "log NAME text" writes into its log;
    others are Python.
    """

    def words(lines, *options):
        logs = tmp_path / "runs" / "smoke" / "notebooks" / "logs"
        text = re.sub(r"^(job|tell|log) (.*)$", r"\1(\2)", textwrap.dedent(lines), flags=re.MULTILINE)
        program = tmp_path / "snakemake.py"
        program.write_text(
            f"import json, pathlib, sys, time\nlogs = pathlib.Path({str(logs)!r})\nlogs.mkdir(parents=True)\n"
            "print('Building DAG of jobs...\\nSelect jobs to execute...', flush=True)\n"
            "def tell(name, **event):\n"
            "    with (logs / f'{name}.jsonl').open('a') as file:\n"
            "        file.write((json.dumps(event) + '\\n') if event else '')\n"
            "def job(name):\n    (logs / f'{name}.log').write_text('')\n    tell(name)\n"
            "def log(name, text):\n    (logs / f'{name}.log').write_text(text)\n" + text,
            encoding="utf-8",
        )
        config = ["profile=smoke", "seeds=0", "device=cpu", f"runs='{tmp_path / 'runs'}'"]
        return [sys.executable, LIVE, *options, sys.executable, str(program), "--config", *config]

    return words


@pytest.fixture
def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def screen(text):
    """The lines that a terminal shows in the end: what follows a carriage return overwrites what was there."""
    shown = []
    for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n"):
        left = ""
        for part in line.split("\r"):
            left = part + left[len(part) :]
        shown.append(left.rstrip())
    return [line for line in shown if line]


def test_a_terminal_shows_one_line_that_lives(command, environment):
    lines = f"""
        job "01_data"
        tell "01_data", ended=True
        job "02_teacher-seed-0"
        {TRAINS.strip()}
        time.sleep(3)
        tell "02_teacher-seed-0", says="TN epoch 1/1: loss 2.3"
        tell "02_teacher-seed-0", ended=True
        time.sleep(1)
    """
    child = pexpect.spawn(*split(command(lines)), env=environment, dimensions=(24, 120), timeout=60, encoding="utf-8")
    child.expect(r"02 seed 0: TN epoch 1/1, 25%, 100 images/s, 8 s left; whole \d+%, \d+ (s|min) left")
    assert "\n" not in child.match.group()
    before = child.before + child.after
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    shown = screen(before + child.before)
    assert "epoch 1/1, 25%" not in "\n".join(shown)  # the line is gone when all is done
    assert shown[1:] == ["01_data is done", "TN epoch 1/1: loss 2.3", "02_teacher-seed-0 is done"]
    assert "Select jobs" not in before + child.before


def split(words):
    return words[0], words[1:]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_one_line_and_nothing_else(command, environment, sign, tmp_path):
    lines = 'job "02_teacher-seed-0"\n' + TRAINS + "import os\nlog('pid', str(os.getpid()))\ntime.sleep(60)"
    child = pexpect.spawn(*split(command(lines)), env=environment, dimensions=(24, 200), timeout=60, encoding="utf-8")
    child.expect("TN epoch 1/1, 25%.*left; whole")
    child.sendintr() if sign == signal.SIGINT else child.kill(sign)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    kept = tmp_path / "runs" / "smoke"
    with pytest.raises(ProcessLookupError):
        os.kill(int((kept / "notebooks" / "logs" / "pid.log").read_text(encoding="utf-8")), 0)
    said = f"stopped; all finished networks and epochs are safe in {kept}: the same command goes on from there"
    assert [line for line in screen(child.before.replace("^C", "")) if "epoch 1/1" not in line] == [said]


def test_what_does_not_stop_is_killed(monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", ((signal.SIGINT, 1), (signal.SIGKILL, 5)))
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    live.stop(process)
    assert process.poll() == -signal.SIGKILL


def ran(words, environment):
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120, encoding="utf-8"
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_a_log_has_a_line_now_and_then(command, environment):
    lines = 'job "02_teacher-seed-0"\n' + TRAINS + 'time.sleep(2)\ntell "02_teacher-seed-0", ended=True\ntime.sleep(1)'
    status, shown, _ = ran(command(lines, "--every", "0.7"), environment)
    assert status == 0
    assert "\r" not in "".join(shown)
    told = [line for line in shown if line.startswith("02 seed 0: TN epoch 1/1, 25%, 100 images/s, 8 s left; whole")]
    assert 1 <= len(told) <= 5
    assert shown[0].startswith("logs of the notebooks: ")
    assert "02_teacher-seed-0 is done" in shown


ERROR = """
---------------------------------------------------------------------------
Exception encountered at "In [7]":
---------------------------------------------------------------------------
\x1b[31mValueError\x1b[39m                         Traceback (most recent call last)
Cell In[7], line 1
----> 1 f()
\x1b[31mValueError\x1b[39m: temperature must be above 0,
got -1
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ERROR, " in cell 7: ValueError: temperature must be above 0,\ngot -1"),
        ("nbclient.exceptions.DeadKernelError: Kernel died\n", ": nbclient.exceptions.DeadKernelError: Kernel died"),
        ("02_teacher-seed-0 stopped before its last cell", ": 02_teacher-seed-0 stopped before its last cell"),
        ("", ": it printed nothing"),
    ],
)
def test_a_failure_shows_the_notebooks_own_error_and_where_its_log_is(command, environment, log, said, tmp_path):
    lines = f'job "02_teacher-seed-0"\nlog "02_teacher-seed-0", {log!r}\ntime.sleep(0.5)\nsys.exit(1)'
    status, _, errors = ran(command(lines), environment)
    assert status == 1
    where = tmp_path / "runs" / "smoke" / "notebooks" / "logs" / "02_teacher-seed-0.log"
    assert "\n".join(errors) == f"02_teacher-seed-0 failed{said}\nits log: {where}"


def test_without_a_job_that_failed_it_is_snakemakes_own_words_that_are_shown(command, environment):
    assert ran(command("print('no such rule')\nsys.exit(1)"), environment)[2][-1] == "no such rule"


def test_wrong_settings_are_refused_before_anything_runs(command, environment, tmp_path):
    words = [word.replace("profile=smoke", "profile=huge") for word in command("pass")]
    status, _, errors = ran(words, environment)
    assert status == 2
    assert [line[:32] for line in errors] == ["kdutils: unknown profile 'huge':"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "1 s"), (98, "98 s"), (100, "2 min"), (3600, "60 min"), (6300, "1 h 45 min")]
)
def test_durations_in_words(seconds, words):
    assert live.spelled(seconds) == words


def test_the_known_costs_are_those_of_the_committed_manifests():
    paths = sorted((ROOT / "results" / "quick").glob("seed-*/SN2/manifest.json"))
    found = [json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in paths]
    expected = statistics.median(own["training"] + own["evaluation"] for own in found)
    assert costs.seconds(kd.PROFILES["quick"])["SN2", "training"] == pytest.approx(expected)


def test_costs_that_are_not_known_grow_with_the_images():
    quick, smoke = (costs.seconds(kd.PROFILES[name]) for name in ("quick", "smoke"))
    assert smoke["TN", "training"] == pytest.approx(quick["TN", "training"] / 24)  # 1,000 images once, not 8,000 thrice
    assert smoke["TN", "prediction"] == pytest.approx(quick["TN", "prediction"] / 20)


def test_the_plan_holds_what_is_lacking(tmp_path):
    run = kd.Run("smoke", 0, tmp_path)
    plan = costs.planned([run], "")
    networks = {(name, stage) for job, name, stage in plan if job == "seed-0"}
    assert networks == {(name, stage) for name in kd.runs.TABLE_1 for stage in ("training", "prediction")}
    assert {job for job, name, _ in plan if not name} == {"01_data", "05_calibration_and_mupe", "06_figures"}
    lacks = kd.Run.lacks
    try:
        kd.Run.lacks = lambda self, name, *files: name == "SN2" and "predictions.npz" in files
        assert [key for key in costs.planned([run], "") if key[1]] == [("seed-0", "SN2", "prediction")]
        kd.Run.lacks = lambda *_: False
        assert not any(name for _, name, _ in costs.planned([run], "1"))
    finally:
        kd.Run.lacks = lacks
    sensitivity = costs.planned([run], "", "sensitivity")
    assert ("t8-seed-0", "KD-SN2", "training") in sensitivity
    assert ("t1-seed-0", "SN2", "training") in sensitivity  # the base's, which the first variant makes
    assert sum(name == "SN2" and stage == "training" for _, name, stage in sensitivity) == 2  # and "twice" its own


def test_the_plan_of_one_pass_students_is_that_of_their_study(tmp_path):
    plan = costs.planned([kd.Run("quick", 10, tmp_path)], "", "one_pass")
    assert {name for _, name, stage in plan if stage == "training"} == set(further.TRAINED["quick"])
    assert {job for job, name, _ in plan if name} == {"one-pass-seed-10"}


def test_the_time_left_is_corrected_by_the_own_pace(tmp_path):
    plan = {("seed-0", "TN", "training"): 100.0, ("seed-0", "TN", "prediction"): 20.0, ("06_figures", "", ""): 30.0}
    watch = live.Watch(tmp_path, plan)
    now = watch.started
    assert watch.left(now) == (0, 150)
    (tmp_path / "02_teacher-seed-0.jsonl").write_text(
        '{"title": "TN epoch 2/2", "done": 0, "of": 10, "rate": 1.0}\n{"title": "TN epo', encoding="utf-8"
    )
    watch.read()
    share, left = watch.left(now + 50)  # half of 100 seconds in 50: the known pace
    assert (share, left) == (pytest.approx(1 / 3), pytest.approx(100))
    assert watch.left(now + 160)[1] == pytest.approx(200)  # at half the known pace, twice as long
    with (tmp_path / "02_teacher-seed-0.jsonl").open("a", encoding="utf-8") as file:
        file.write('ch 2/2", "done": 10, "of": 10, "rate": 1.0}\n{"title": "TN predicts"}\n{"ended": true}\n')
    assert watch.read() == ["02_teacher-seed-0 is done"]
    assert watch.left(now + 120)[0] == pytest.approx(120 / 150)


def test_the_folder_that_make_names_is_the_one_that_is_watched(tmp_path):
    words = ["make", "-n", "--old-file=.venv/ready", "paper", "PROFILE=smoke", f"RUNS={tmp_path}"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8").stdout
    (runs,) = set(re.findall(r"(?<= )runs=\S+", printed))
    watch = live.watch_of(["snakemake", "--config", "profile=smoke", *shlex.split(runs)])
    assert watch.folder == tmp_path / "smoke" / "notebooks" / "logs"


def test_files_of_an_earlier_run_are_left_aside(tmp_path):
    (tmp_path / "01_data.jsonl").write_text('{"ended": true}\n', encoding="utf-8")
    watch = live.Watch(tmp_path, {})
    assert watch.read() == []
    assert watch.left(time.time()) == (None, None)


def test_what_is_said_is_told_only_where_somebody_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KDUTILS_PROGRESS", raising=False)
    progress.say("a line")
    monkeypatch.setenv("KDUTILS_PROGRESS", str(tmp_path / "told"))
    progress.say("another")
    monkeypatch.setenv("KDUTILS_PROGRESS", str(tmp_path / "no folder" / "told"))
    progress.say("a third")
    assert capsys.readouterr().out == "a line\nanother\na third\n"
    assert (tmp_path / "told").read_text(encoding="utf-8") == '{"says": "another"}\n'
