"""Damaged, exchanged and foreign artefacts are found before they are used, named, and recomputed or refused."""

import json
import pickle
import random
import shutil

import kdutils as kd
import pytest
from faults import fault, some
from kdutils.plumbing import checkpoint, store

PROFILE = kd.Profile("tiny", 60, 20, 50, epochs=3, batch_size=20, peak_learning_rate=1e-3, mc_passes=3)
FILES = {  # file: who asks for it
    "TN/soft_targets.npz": lambda run: run.soft_targets().tobytes(),
    "SN1/weights.safetensors": lambda run: weights(run, "SN1"),
    "SN1/history.json": lambda run: json.dumps(run.history("SN1")),
    "SN1/predictions.npz": lambda run: run.predictions("SN1").mc_mean.tobytes(),
    "SN1/manifest.json": lambda run: weights(run, "SN1"),
    "KD-SN1/weights.safetensors": lambda run: weights(run, "KD-SN1"),
    "KD-SN1/history.json": lambda run: json.dumps(run.history("KD-SN1")),
    "KD-SN1/predictions.npz": lambda run: run.predictions("KD-SN1").mc_mean.tobytes(),
    "KD-SN1/manifest.json": lambda run: weights(run, "KD-SN1"),
    "KD-SN1/checkpoint.safetensors": lambda run: weights(run, "KD-SN1"),
}
OTHERS = {"SN1": "KD-SN1", "KD-SN1": "SN1", "TN": "SN1"}


def weights(run, name):
    return b"".join(value.numpy().tobytes() for value in run.network(name).state_dict().values())


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def flipped(draw, content, *_):
    changed = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncated(draw, content, *_):
    return content[: draw.randrange(len(content))]


def emptied(draw, content, *_):
    return b""


def anothers(draw, content, other, marker):
    return other


def a_pickle(draw, content, other, marker):
    return pickle.dumps(Payload(marker))


DAMAGES = [flipped] * 12 + [truncated] * 6 + [emptied, anothers, a_pickle]
CASES = [(file, i) for i in range(len(DAMAGES)) for file in FILES]


@pytest.fixture(scope="module", autouse=True)
def small_teacher():
    """Of SN1's architecture: what is stored and how does not depend on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kd.runs.NETWORKS, "TN", ("SN1", False))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, what each file of it holds, and a checkpoint of KD-SN1 after its first epoch."""
    folder = tmp_path_factory.mktemp("whole")
    run = kd.Run(PROFILE, 0, folder, device="cpu")
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        write = checkpoint.write_atomically

        def write_and_stop(path, content):
            write(path, content)
            if path.name.startswith("checkpoint"):
                kept[f"{path.parent.name}'s checkpoint"] = content
                if path.parent.name == "KD-SN1":
                    raise KeyboardInterrupt

        patch.setattr(checkpoint, "write_atomically", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run.network("SN1"), run.network("KD-SN1")
    begun = run.folder / "KD-SN1"
    kept["begun"] = {path.name: path.read_bytes() for path in begun.iterdir()}
    for name in ("SN1", "KD-SN1"):
        run.predictions(name)
    kept["checkpoint"] = kept["begun"]["checkpoint.safetensors"]
    kept["answers"] = {file: ask(run) for file, ask in FILES.items()}
    for path in run.folder.rglob("*"):
        if path.is_file():
            kept[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    yield run, kept
    shutil.rmtree(folder)


def put_back(run, kept):
    for name in ("TN", "SN1", "KD-SN1"):
        for file, content in kept.items():
            path = run.folder / file
            if file.startswith(f"{name}/") and (not path.exists() or path.read_bytes() != content):
                path.write_bytes(content)


@pytest.mark.parametrize(("file", "number"), some(CASES, few=25))
def test_damage_is_found_named_and_mended(file, number, whole, tmp_path, capsys):
    run, kept = whole
    put_back(run, kept)
    path = run.folder / file
    name, marker = path.parent.name, tmp_path / "unpickled"
    if path.name.startswith("checkpoint"):  # the student is only begun
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        for own, content in kept["begun"].items():
            (path.parent / own).write_bytes(content)
        content, other = kept["checkpoint"], kept["SN1's checkpoint"]
    else:
        content = kept[file]
        other = kept.get(f"{OTHERS[name]}/{path.name}", kept["SN1/predictions.npz"])
    damage = DAMAGES[number]
    with fault("damaged artefacts"):
        path.write_bytes(damage(random.Random(number), content, other, marker))
        try:
            answer, said = FILES[file](run), capsys.readouterr().out
        except ValueError as error:
            answer, said = None, str(error)
        assert str(path if answer else path.parent) in said
        if answer:
            assert answer == kept["answers"][file]
        else:  # another's manifest is not this run's to delete; a flipped bit may have changed the version
            assert path.name == "manifest.json"
            assert damage in (anothers, flipped)
            assert "elete that folder" in said
        assert not marker.exists(), "a pickle was loaded"


@pytest.mark.parametrize(
    ("file", "number"), some([c for c in CASES if c[0].endswith(("ions.npz", "manifest.json"))], few=5)
)
def test_a_read_only_run_names_what_is_damaged(file, number, whole, tmp_path):
    run, kept = whole
    put_back(run, kept)
    path = run.folder / file
    other = kept[f"{OTHERS[path.parent.name]}/{path.name}"]
    with fault("damaged artefacts"):
        path.write_bytes(DAMAGES[number](random.Random(number), kept[file], other, tmp_path / "unpickled"))
        with pytest.raises(ValueError, match=r"is corrupt|other settings") as caught:
            kd.Run(PROFILE, 0, run.root, read_only=True).predictions(path.parent.name)
        assert str(path.parent) in str(caught.value)
        assert not (tmp_path / "unpickled").exists()


SETTINGS = {
    "temperature": {"profile": {"temperature": 8.0}},
    "epochs": {"profile": {"epochs": 4}},
    "seed": {"seed": 1},
    "results_version": {"results_version": 999},
}


@pytest.mark.parametrize("field", SETTINGS)
@pytest.mark.parametrize("name", ["SN1", "KD-SN1"])
def test_a_manifest_of_other_settings_is_never_used(field, name, whole):
    run, kept = whole
    put_back(run, kept)
    manifest = json.loads(kept[f"{name}/manifest.json"])
    del manifest["sha256"]
    for key, value in SETTINGS[field].items():
        manifest[key] = manifest[key] | value if isinstance(value, dict) else value
    manifest["sha256"] = store.sha256(store.to_json(manifest))
    with fault("other settings"):
        (run.folder / name / "manifest.json").write_bytes(store.to_json(manifest))
        with pytest.raises(ValueError, match=rf"other settings: {field} is .*, asked for is .*elete that folder"):
            run.predictions(name)
