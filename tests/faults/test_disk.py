"""No room, no permission: one line that names the path; nothing half-written is taken for whole."""

import os
import subprocess

import pytest
from faults import SCRIPT, fault, finish, made, some, start

# everything is loaded first: nobody may not read the interpreter's own folders
NOBODY = """
import os
import kdutils as kd
from kdutils import distillation, mc_dropout, models, training
import torch
network = models.build("SN1")
torch.optim.AdamW(network.parameters(), fused=True)
mnist = kd.data.load_mnist()
kd.runs.load_mnist = lambda root: mnist
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small_disk(tmp_path):
    """A real file system in memory; its size is set with `remount`."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@root_only
@pytest.mark.parametrize("megabytes", some([110, 0.05, 20, 52, 80, 101, 116], few=1))
def test_a_full_disk_is_named_and_gone_on_with_after_room_is_made(megabytes, small_disk, undisturbed):
    """The sizes are such that each kind of file is the one that does not fit, in turn."""
    with fault("disk full, read-only, no permission"):
        remount(small_disk, f"size={round(megabytes * 1e6)}")
        status, said = finish(start(SCRIPT, small_disk))
        assert status != 0
        last = said.strip().splitlines()[-1]
        assert f"cannot write {small_disk}" in last
        assert "No space left on device" in last
        assert "MB needed" in last
        remount(small_disk, "size=2g")
        status, said = finish(start(SCRIPT, small_disk))
        assert status == 0, said
        assert made(small_disk) == undisturbed


@root_only
@pytest.mark.faults
def test_a_read_only_disk_is_named(small_disk, undisturbed):
    with fault("disk full, read-only, no permission"):
        remount(small_disk, "ro")
        status, said = finish(start(SCRIPT, small_disk))
        assert status != 0
        assert f"cannot write {small_disk}" in said.strip().splitlines()[-1]
        assert "Read-only file system" in said
        remount(small_disk, "rw,size=2g")
        assert finish(start(SCRIPT, small_disk))[0] == 0
        assert made(small_disk) == undisturbed


@pytest.mark.parametrize("below", ["", "tiny/seed-0", "tiny/seed-0/TN"])
def test_a_folder_without_permission_is_named(below, tmp_path):
    """As a user who is not root and does not own the folder."""
    closed = tmp_path / below
    closed.mkdir(parents=True, exist_ok=True)
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    closed.chmod(0o555)
    with fault("disk full, read-only, no permission"):
        status, said = finish(start(NOBODY + SCRIPT, tmp_path))
        assert status != 0
        last = said.strip().splitlines()[-1]
        assert f"cannot write {closed}" in last
        assert "Permission denied" in last
