"""Two processes on one run: one works, the other waits; a crash leaves no lock."""

import os
import signal

import pytest
from faults import SCRIPT, fault, finish, made, start


def test_of_two_processes_one_trains_and_the_other_waits(undisturbed, tmp_path):
    with fault("two at once"):
        both = [start(SCRIPT, tmp_path) for _ in range(2)]
        ended = [finish(process) for process in both]
        assert [status for status, _ in ended] == [0, 0], ended
        said = "".join(text for _, text in ended)
        assert "waiting for it" in said
        for name in ("TN", "KD-SN1"):
            assert said.count(f"{name} epoch 3/3") == 1, "trained once"
        assert made(tmp_path) == undisturbed


@pytest.mark.faults
def test_who_waits_takes_over_when_the_other_is_killed(undisturbed, tmp_path):
    with fault("two at once"):
        first = start(SCRIPT, tmp_path)
        for line in first.stdout:
            if "epoch 1/3" in line:
                break
        second = start(SCRIPT, tmp_path)
        for line in second.stdout:
            if "waiting for it" in line:
                break
        os.killpg(first.pid, signal.SIGKILL)
        status, said = finish(second)
        finish(first)
        assert status == 0, said
        assert "TN: resumes after epoch" in said
        assert made(tmp_path) == undisturbed
