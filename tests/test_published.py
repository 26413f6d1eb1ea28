"""What is committed of a trained network shows its passes, and an archive of all networks spares the training."""

import shutil
import zipfile

import kdutils as kd
import numpy as np
import publish
import pytest
import weights
from kdutils import published
from kdutils.plumbing.checkpoint import from_safetensors
from kdutils.runs import PUBLISHED

SHOWN = ("TN", "KD-SN1")


@pytest.fixture(scope="module")
def made(finished_run, tmp_path_factory):
    """A finished run whose teacher has predicted, too."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(finished_run.root, root / "runs")
    run = kd.Run(finished_run.profile, 0, root / "runs", device="cpu")
    run.predictions("TN")
    yield run
    shutil.rmtree(root)


@pytest.fixture
def committed(made, scratch, monkeypatch):
    """A read-only Run over results/, with the predictions of a finished run and what is published of it."""
    monkeypatch.setattr(publish, "ROOT", scratch)
    monkeypatch.setattr(publish, "SHOWN", SHOWN)
    folder = scratch / "results" / made.profile.name / "seed-0"
    for name in SHOWN:
        (folder / name).mkdir(parents=True)
        for file in ("predictions.npz", "history.json", "manifest.json"):
            shutil.copy(made.folder / name / file, folder / name)
    publish.main(made.root, made.profile, 0)
    return kd.Run(made.profile, 0, scratch / "results", device="cpu", read_only=True)


@pytest.mark.parametrize("name", SHOWN)
def test_its_passes_are_those_of_the_whole_network(committed, made, name, capsys):
    part, whole = committed.network(name), made.network(name)
    assert f"{name}: as committed, its layers from the first dropout on" in capsys.readouterr().out
    images = made.parts["test"].images[5:9]
    found, expected = (kd.mc_dropout.predict(model, images, passes=20) for model in (part, whole))
    np.testing.assert_allclose(found.mean, expected.mean, atol=2e-3)
    np.testing.assert_allclose(found.variance, expected.variance, atol=2e-3)
    assert (found.mean != expected.mean).any()  # 16 bits
    np.testing.assert_array_equal(committed.predictions(name).mc_mean, made.predictions(name).mc_mean)


def test_its_soft_targets_are_the_teachers(committed, made):
    soft_targets = committed.soft_targets()
    assert soft_targets.dtype == np.float32
    np.testing.assert_allclose(soft_targets, made.soft_targets(), rtol=1e-3, atol=1e-4)


def test_images_are_found_by_their_pixels_in_any_order(made):
    model, images = made.network("TN"), made.parts["test"].images
    tensors = from_safetensors(published.pack(model, images, [3, 30, 8]))
    part = published.unpack(tensors, kd.models.build("TN"), images)
    found, expected = (kd.models.logits(each, images[[8, 3, 8]]).numpy() for each in (part, model))
    np.testing.assert_allclose(found, expected, atol=2e-2)
    assert not part.training
    with pytest.raises(ValueError, match="features of image 1 are not among the 3 committed ones: choose another"):
        kd.models.logits(part, images[[3, 4]])


def test_the_manifest_goes_on_to_tell_where_the_network_was_trained(committed, made):
    for name in SHOWN:
        before, after = made.manifest(name), committed.manifest(name)
        files = set(PUBLISHED.values()) if name == "TN" else {PUBLISHED["weights.safetensors"]}
        assert after.pop("outputs").keys() == before.pop("outputs").keys() | files
        assert after == before


def test_a_damaged_or_missing_file_is_refused(committed):
    path = committed.folder / "TN" / PUBLISHED["weights.safetensors"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match=f"{path.name} is corrupt"):
        committed.network("TN")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name} is missing"):
        committed.network("TN")


def test_what_is_not_published_is_missing(committed):
    with pytest.raises(FileNotFoundError, match=r"SN2.manifest.json is missing"):
        committed.network("SN2")


def test_notebook_4_shows_only_published_images(made, monkeypatch):
    monkeypatch.setattr(publish, "EACH", 1)
    teacher = made.predictions("TN")
    keys = (-teacher.entropy, teacher.expected_entropy, teacher.mutual_information)
    assert set(publish.chosen(teacher)) == {key.argmax() for key in keys}


@pytest.fixture
def archive(finished_run, scratch, monkeypatch):
    monkeypatch.setattr(weights, "ROOT", scratch)
    weights.main(finished_run.root, finished_run.profile, 0)
    return scratch / "build" / f"weights-{finished_run.profile.name}-seed-0.zip"


def test_unpacked_weights_are_used(archive, finished_run, scratch, capsys):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(scratch / "runs")
        listed = dict(line.split("  ")[::-1] for line in packed.read("SHA256SUMS").decode().splitlines())
        assert {*listed, "SHA256SUMS"} == set(packed.namelist())
    run = kd.Run(finished_run.profile, 0, scratch / "runs", device="cpu")
    capsys.readouterr()
    for name in ("TN", "SN1", "KD-SN1"):
        pairs = zip(run.network(name).parameters(), finished_run.network(name).parameters(), strict=True)
        assert all(one.equal(other) for one, other in pairs)
    assert run.history("TN") == finished_run.history("TN")
    assert capsys.readouterr().out == ""  # nothing was trained


def test_the_same_networks_give_the_same_archive(archive, finished_run, capsys):
    before = archive.read_bytes()
    with zipfile.ZipFile(archive) as packed:
        assert {member.date_time for member in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # none of its making
    weights.main(finished_run.root, finished_run.profile, 0)
    assert archive.read_bytes() == before
    digest = archive.with_suffix(".zip.sha256").read_text(encoding="utf-8").split()[0]
    assert f"SHA-256 {digest}" in capsys.readouterr().out
    assert kd.runs.sha256(before) == digest


def test_a_damaged_network_is_not_packed(finished_run, scratch, monkeypatch):
    monkeypatch.setattr(weights, "ROOT", scratch)
    shutil.copytree(finished_run.root, scratch / "runs")
    path = scratch / "runs" / finished_run.profile.name / "seed-0" / "SN1" / "history.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"history.json is corrupt"):
        weights.main(scratch / "runs", finished_run.profile, 0)
    assert not list((scratch / "build").glob("*.zip"))


def test_a_seed_without_networks_is_refused(scratch, monkeypatch, tiny):
    monkeypatch.setattr(weights, "ROOT", scratch)
    with pytest.raises(SystemExit, match="holds no network"):
        weights.main(scratch / "runs", tiny, 7)
