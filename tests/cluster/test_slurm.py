"""Two seeds through a real Slurm cluster of one node; what it makes is what this machine makes without it, bit by bit.

Takes minutes, and installs Slurm if it is missing (`make test-cluster`).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkout
import kdutils as kd
import pytest
from slurm import Slurm, install

pytestmark = pytest.mark.cluster


class Project(checkout.Project):
    """A copy of the project in `folder`, and the commands that a user of the cluster would type in it."""

    def __init__(self, folder, environment):
        super().__init__(folder)
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self.environment |= environment | {"PYTHONPATH": str(folder), "PATH": path}

    def make(self, **settings):
        """`make paper` on the cluster, in the background."""
        given = {"PROFILE": "smoke", "SEEDS": "0,1", "THREADS": "1", "SLURM": "1"} | settings
        return self.start(
            "make", "--old-file=.venv/ready", "paper", *(f"{key}={value}" for key, value in given.items())
        )

    def start(self, *command):
        """A command in the background that writes into said.txt."""
        with (self.folder / "said.txt").open("w", encoding="utf-8") as said:
            options = {"cwd": self.folder, "env": self.environment, "stdout": said, "stderr": said}
            self.process = subprocess.Popen(command, start_new_session=True, **options)
        return self.process

    def finish(self, process):
        """(exit status, everything that it printed)."""
        status = process.wait(1800)
        return status, (self.folder / "said.txt").read_text(encoding="utf-8")

    def made(self, runs):
        """{seed and network: the bytes of its predictions} below the folder `runs`."""
        found = (self.folder / runs / "smoke").rglob("predictions.npz")
        return {str(path.parent.relative_to(self.folder / runs)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def cluster():
    install()
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short, as the path of a socket has to be
    try:
        with Slurm(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def project(cluster):
    (cluster.folder / "project").mkdir()
    copied = Project(cluster.folder / "project", cluster.environment)
    yield copied
    if copied.process.poll() is None:  # a test failed before make ended
        os.killpg(copied.process.pid, signal.SIGKILL)


class Interruption:
    """One seed's students are stopped while `network` trains, by what `act` does to Slurm's job."""

    def __init__(self, cluster, project, seed, network):
        self.cluster, self.comment = cluster, f"rule_distillation_wildcards_{seed}"
        self.folder = project.folder / "runs" / "smoke" / f"seed-{seed}"
        self.network = network

    def __call__(self, process, act):
        while not (self.folder / self.network / "manifest.json").exists():  # written when its training begins
            assert process.poll() is None, "make ended too early"
            time.sleep(0.2)
        jobs = self.cluster.run("squeue", "--noheader", "--states=running", "--format=%k %i").splitlines()
        number = dict(map(str.split, jobs))[self.comment]
        self.before = self.weights()
        act(self.cluster, number)
        assert self.network not in self.weights()

    def weights(self):
        """{network: when its weights were written}"""
        return {path.parent.name: path.stat().st_mtime_ns for path in self.folder.glob("*/weights.safetensors")}


def kill(cluster, number):
    """As when memory runs out, or a user cancels it the hard way."""
    cluster.run("scancel", "--signal=KILL", "--full", number)
    cluster.wait("", "squeue", "--noheader", "--states=running,completing", f"--jobs={number}")


def preempt(cluster, number):
    """What Slurm does to a job that has to make room and may be requeued; it waits two minutes less."""
    cluster.run("scontrol", "requeue", number)
    cluster.wait("PENDING", "squeue", "--noheader", "--format=%T", f"--jobs={number}")
    cluster.run("scontrol", "update", f"JobId={number}", "StartTime=now")


def test_training_asks_for_a_gpu_and_reading_data_does_not(project):
    """This node has none: Slurm takes the data's job, refuses the teachers', and the command says so."""
    status, said = project.finish(project.make())
    assert status != 0
    assert (project.folder / "runs/smoke/notebooks/01_data.json").exists()
    assert "sbatch: error: Invalid generic resource (gres) specification" in said
    assert "--gpus=1" in said


def test_interrupted_jobs_run_again_and_end_in_the_same_bits(cluster, project):
    killed, preempted = (Interruption(cluster, project, *which) for which in ((0, "KD-SN2"), (1, "KD-SN3")))
    process = project.make(DEVICE="cpu")
    with ThreadPoolExecutor() as pool:
        for stopped in (pool.submit(killed, process, kill), pool.submit(preempted, process, preempt)):
            stopped.result()
    status, said = project.finish(process)
    assert status == 0, said
    assert said.count("Trying to restart job") == 1  # the killed one; Slurm itself restarted the other
    for stopped in (killed, preempted):
        assert {"TN", "KD-SN1"} <= set(stopped.before)
        assert stopped.before.items() <= stopped.weights().items()  # nothing finished was trained again

    config = ("profile=smoke", "seeds=0,1", "threads=1", "device=cpu", "runs=here")
    status, said = project.finish(
        project.start("snakemake", "--cores", "all", "--until", "mc_dropout", "--config", *config)
    )
    assert status == 0, said
    there, here = project.made("runs"), project.made("here")
    assert set(there) == {f"smoke/seed-{seed}/{name}" for seed in (0, 1) for name in kd.runs.TABLE_1}
    assert {name for name in here if here[name] != there.get(name)} == set()
