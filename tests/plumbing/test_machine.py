import os

from kdutils.plumbing import machine


def test_threads_follow_what_the_process_is_granted(monkeypatch, tmp_path):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    here = machine.available_threads(tmp_path / "none")
    assert 1 <= here == len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    for content, granted in {
        "max 100000": here,
        "100000 100000": 1,
        "50000 100000": 1,
        "99900000 100000": here,
    }.items():
        quota.write_text(content, encoding="utf-8")
        assert machine.available_threads(quota) == granted
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert machine.available_threads(tmp_path / "none") == 1


def test_provenance_does_not_need_every_package(monkeypatch):
    version = machine.metadata.version

    def without_torchvision(name):
        if name == "torchvision":
            raise machine.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(machine.metadata, "version", without_torchvision)
    versions = machine.provenance()["versions"]
    assert versions["torch"] == version("torch")
    assert versions.get("torchvision") is None
