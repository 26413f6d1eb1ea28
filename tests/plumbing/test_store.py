"""Files that are written whole, and a folder whose files are verified."""

import pytest
from kdutils.plumbing.store import Store, to_json, write_atomically


def test_a_file_is_replaced_whole_and_its_folder_made(scratch):
    path = scratch / "new" / "folder" / "file.json"
    for content in (b"one", b"another"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_if_writing_fails_the_old_content_stays_and_nothing_else(scratch):
    path, folder = scratch / "file.json", scratch / "folder"
    folder.mkdir()
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    with pytest.raises(OSError, match="folder"):
        write_atomically(folder, b"new")
    assert path.read_bytes() == b"old"
    assert set(scratch.iterdir()) == {path, folder}


SETTINGS = {"network": "A", "profile": {"epochs": 2, "rate": 0.1}, "results_version": 1}


@pytest.fixture
def store(scratch):
    """A function: a Store of one folder, by default with SETTINGS."""
    return lambda settings=SETTINGS, **options: Store(
        scratch / "A", settings, defaults={"later": 0}, stamp=lambda: {"made": "today"}, remedy="Delete it.", **options
    )


def test_what_is_put_is_read_and_recorded(store):
    store().put({"one": b"1", "two": b"22"}, inputs={"data": "x"})
    found = store()
    assert (found.read("one"), found.read("two"), found.read("three")) == (b"1", b"22", None)
    manifest = found.manifest()
    assert manifest["inputs"] == {"data": "x"}
    assert (manifest["made"], manifest["profile"]) == ("today", SETTINGS["profile"])
    found.put({"one": b"new"})
    assert found.read("one") == b"new"
    assert found.manifest()["outputs"].keys() == {"one", "two"}


def test_get_makes_what_is_missing_once(store):
    made, own = [], store()

    def make():
        made.append(1)
        own.put({"file": b"content"})

    assert [own.get("file", make), own.get("file", make)] == [b"content"] * 2
    assert made == [1]


def test_manifest_changes_nothing_on_disk(store, scratch):
    assert store().manifest() == SETTINGS | {"inputs": {}, "outputs": {}, "seconds": {}}
    assert list(scratch.iterdir()) == []
    store().put({"file": b"content"})
    path = scratch / "A" / "manifest.json"
    path.write_bytes(b"corrupt")
    assert store().manifest()["outputs"] == {}
    assert path.read_bytes() == b"corrupt"


def test_other_settings_are_refused_and_later_ones_have_their_defaults(store):
    store().put({"file": b"content"})
    assert store(SETTINGS | {"later": 0}).read("file") == b"content"
    with pytest.raises(ValueError, match="later is 0, asked for is 1"):
        store(SETTINGS | {"later": 1}).read("file")
    with pytest.raises(ValueError, match=r"epochs is 2, asked for is 3; rate is 0\.1, asked for is 0\.2"):
        store(SETTINGS | {"profile": {"epochs": 3, "rate": 0.2}}).manifest()


@pytest.mark.parametrize("damaged", ["file", "manifest.json"])
def test_a_read_only_store_names_what_is_corrupt_or_missing(store, scratch, damaged):
    with pytest.raises(FileNotFoundError, match=r"A/manifest\.json is missing"):
        store(read_only=True).get("file", None)
    store().put({"file": b"content"})
    (scratch / "A" / damaged).write_bytes(b"other")
    with pytest.raises(ValueError, match=f"A/{damaged} is corrupt"):
        store(read_only=True).get("file", None)


def test_a_corrupt_file_is_recomputed_and_named(store, scratch, capsys):
    own = store()
    own.put({"file": b"content"})
    (scratch / "A" / "file").write_bytes(b"other")
    assert own.get("file", lambda: own.put({"file": b"content"})) == b"content"
    assert "A/file is missing or corrupt: recomputing it" in capsys.readouterr().out
    (scratch / "A" / "manifest.json").write_bytes(to_json({"results_version": 1}))
    assert own.get("file", lambda: own.put({"file": b"content"})) == b"content"
    assert capsys.readouterr().out.count("A/manifest.json is corrupt: recomputing A") == 1


def test_what_is_made_on_the_way_does_not_repeat_the_message(store, scratch, capsys):
    own = store()
    own.put({"one": b"1", "two": b"2"})
    (scratch / "A" / "manifest.json").write_bytes(b"corrupt")

    def make_two():
        one = own.get("one", lambda: own.put({"one": b"1"}))
        own.put({"two": one + b"2"})

    assert own.get("two", make_two) == b"12"
    assert capsys.readouterr().out.count("corrupt") == 1
