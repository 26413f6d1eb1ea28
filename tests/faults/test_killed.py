"""A killed or interrupted process resumes after its last finished epoch or stage, to the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jupyter_client
import pexpect
import pytest
from faults import APART, ROOT, SCRIPT, fault, finish, made, some, start
from kdutils import data

# ends the process, as `kill -9` would, before or after its n-th file is renamed into place
KILLED_AT_A_FILE = """
import os, signal, sys
count, when, rename = int(sys.argv[2]), sys.argv[3], os.replace
def replace(*names):
    global count
    count -= 1
    if count == 0 and when == "before": os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)
    if count == 0: os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
"""


def in_the_end(folder):
    """What is made when the same command is given again until it is done."""
    status, said = finish(start(SCRIPT, folder))
    assert status == 0, said
    assert not list(folder.rglob("*.tmp")), "a killed process's files are swept away"
    return made(folder)


@pytest.mark.parametrize("chain", some(range(8), few=1))
def test_killed_at_a_file(chain, thorough, undisturbed, tmp_path):
    """Several kills in one run: each time at one of the next files, before or after its renaming."""
    draw = random.Random(chain)
    for _ in range(5 if thorough else 2):
        with fault("SIGKILL"):
            when = draw.choice(["before", "after"])
            status, said = finish(start(KILLED_AT_A_FILE + SCRIPT, tmp_path, draw.randint(1, 6), when))
            assert status in (0, -signal.SIGKILL), said
    assert in_the_end(tmp_path) == undisturbed


@pytest.mark.parametrize("chain", some(range(5), few=1))
def test_killed_at_any_moment(chain, thorough, undisturbed, tmp_path):
    draw = random.Random(100 + chain)
    for _ in range(4 if thorough else 1):
        with fault("SIGKILL"):
            process = start(SCRIPT, tmp_path)
            time.sleep(draw.uniform(1.5, 8))
            os.killpg(process.pid, signal.SIGKILL)
            finish(process)
    assert in_the_end(tmp_path) == undisturbed


@pytest.mark.parametrize("sign", some([signal.SIGTERM, signal.SIGINT], few=1))
def test_stopped_by_a_signal_it_says_so_in_one_line_and_goes_on(sign, undisturbed, tmp_path):
    with fault("SIGINT, SIGTERM, interrupted kernel"):
        process = start(SCRIPT, tmp_path)
        for line in process.stdout:
            if "epoch 1/3" in line:
                break
        process.send_signal(sign)
        sent = time.monotonic()
        status, said = finish(process)
        assert time.monotonic() - sent < 10
        assert status != 0
        told = "TN stopped: run the same command again to resume after the last finished epoch"
        assert told in said.splitlines(), said  # a line of its own, not one of a traceback's
        status, said = finish(start(SCRIPT, tmp_path))
        assert "TN: resumes after epoch" in said
        assert made(tmp_path) == undisturbed


def test_an_interrupted_kernel_lives_and_goes_on(undisturbed, tmp_path):
    with fault("SIGINT, SIGTERM, interrupted kernel"):
        manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
        try:
            client.execute(f"import sys; sys.argv = ['', {str(tmp_path)!r}]\n{SCRIPT}")
            wait_for(client, "epoch 1/3")
            manager.interrupt_kernel()
            said = wait_for(client, "KeyboardInterrupt")
            assert "stopped: run the same command again" in said
            assert "Traceback" not in said
            client.get_shell_msg(timeout=60)  # the interrupted cell's end; what comes before it is aborted
            time.sleep(1)
            client.execute("run.predictions('KD-SN1'); run.predictions('TN'); print('all there')")
            assert "TN: resumes after epoch" in wait_for(client, "all there")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        assert made(tmp_path) == undisturbed


def wait_for(client, text):
    """Everything that the kernel says up to `text`."""
    said = ""
    while text not in said:
        content = client.get_iopub_msg(timeout=120)["content"]
        said += content.get("text", "") + "".join(content.get("traceback", ()))
    return said


def pipeline(folder):
    """The six notebooks by Snakemake, at smoke scale, in a group of their own."""
    command = ["snakemake", "--cores", "2", "--nolock", "--rerun-incomplete", "--quiet", "all", "--config"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command += ["profile=smoke", "device=cpu", f"runs={folder}", f"data={data.default_root().resolve()}"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, **APART)


@pytest.fixture(scope="module")
def piped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("piped")
    status, said = finish(pipeline(folder))
    assert status == 0, said
    return made(folder)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("sign", "seconds"), [(signal.SIGKILL, 25), (signal.SIGKILL, 70), (signal.SIGINT, 40), (signal.SIGTERM, 55)]
)
def test_a_stopped_pipeline_goes_on(sign, seconds, piped, tmp_path):
    with fault("SIGKILL" if sign == signal.SIGKILL else "SIGINT, SIGTERM, interrupted kernel"):
        process = pipeline(tmp_path)
        time.sleep(seconds)
        os.killpg(process.pid, sign)
        sent = time.monotonic()
        finish(process)
        assert time.monotonic() - sent < 20
        status, said = finish(pipeline(tmp_path))
        assert status == 0, said
        assert made(tmp_path) == piped


@pytest.mark.faults
def test_make_in_a_terminal_ends_with_one_line(tmp_path):
    """Ctrl-C reaches make, its shell and the program that runs Snakemake: one of them speaks."""
    with fault("SIGINT, SIGTERM, interrupted kernel"):
        settings = ("PROFILE=smoke", "DEVICE=cpu", f"RUNS={tmp_path / 'runs'}")
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        options = {"cwd": str(ROOT), "env": environment, "dimensions": (24, 200), "timeout": 900, "encoding": "utf-8"}
        child = pexpect.spawn("make", ["paper", "--old-file=.venv/ready", *settings], **options)
        child.expect("TN epoch 1/1, .*left")
        child.sendintr()
        child.expect(
            "stopped; all finished networks and epochs are safe in .*: the same command goes on from there\r\n"
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.before == ""
        assert child.signalstatus == signal.SIGINT
