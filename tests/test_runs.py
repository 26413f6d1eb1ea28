import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import time
from dataclasses import asdict, replace

import kdutils as kd
import numpy as np
import pytest
import torch
from kdutils import data, distillation, mc_dropout, models, origin, runs, shifts, training
from kdutils.plumbing import checkpoint, store
from kdutils.profiles import derive_seed
from kdutils.runs import NETWORKS
from torch.nn import functional as F

STORED = {
    "TN": {"weights.safetensors", "history.json", "manifest.json", "soft_targets.npz"},
    "SN1": {"weights.safetensors", "history.json", "manifest.json", "predictions.npz"},
    "KD-SN1": {"weights.safetensors", "history.json", "manifest.json", "predictions.npz"},
}


@pytest.fixture
def copied(finished_run, scratch):
    """A function: a Run of its own with copies of the named networks."""

    def copy(*names, **options):
        for name in names:
            shutil.copytree(finished_run.folder / name, scratch / "tiny" / "seed-0" / name)
        return kd.Run(finished_run.profile, 0, scratch, device="cpu", **options)

    return copy


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def read(run, name, file="manifest.json"):
    return json.loads((run.folder / name / file).read_text(encoding="utf-8"))


def edit_manifest(run, name, **changes):
    path = run.folder / name / "manifest.json"
    changed = json.loads(path.read_text(encoding="utf-8")) | changes
    del changed["sha256"]
    path.write_bytes(store.to_json(changed | {"sha256": hashlib.sha256(store.to_json(changed)).hexdigest()}))


def strings(value):
    if isinstance(value, dict):
        return [*value, *(s for v in value.values() for s in strings(v))]
    return [value] if isinstance(value, str) else []


# What is stored


def test_each_network_has_its_folder_with_these_files_and_no_others(finished_run, tiny):
    assert finished_run.folder == finished_run.root / "tiny" / "seed-0"
    expected = {f"tiny/seed-0/{name}/{file}" for name, of_network in STORED.items() for file in of_network}
    assert set(files(finished_run.root)) == expected


@pytest.mark.parametrize("name", STORED)
def test_manifest_says_what_was_made_of_what(finished_run, tiny, name):
    manifest = read(finished_run, name)
    assert manifest["network"] == name
    assert manifest["profile"] == asdict(tiny)
    assert (manifest["seed"], manifest["results_version"]) == (0, runs.RESULTS_VERSION)
    outputs = {file: sha256(finished_run.folder / name / file) for file in STORED[name] - {"manifest.json"}}
    assert manifest["outputs"] == outputs
    assert set(manifest["inputs"]) == {"train", "validation", "test"} | ({"teacher"} if name == "KD-SN1" else set())
    for part in ("train", "validation", "test"):
        images, labels = vars(finished_run.parts[part]).values()
        assert manifest["inputs"][part] == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert manifest.pop("sha256") == hashlib.sha256(store.to_json(manifest)).hexdigest()
    assert manifest == finished_run.manifest(name)


def test_manifest_of_a_student_names_its_teachers_weights(finished_run):
    teacher = sha256(finished_run.folder / "TN" / "weights.safetensors")
    assert read(finished_run, "KD-SN1")["inputs"]["teacher"] == teacher


def test_manifest_says_where_and_when_without_naming_the_machine(finished_run):
    manifest = read(finished_run, "SN1")
    assert datetime.datetime.fromisoformat(manifest["made"]).utcoffset() == datetime.timedelta(0)
    assert manifest["versions"]["torch"] == torch.__version__.split("+")[0]
    assert manifest["versions"]["python"] == platform.python_version()
    assert manifest["versions"]["kdutils"] == kd.__version__
    assert manifest["hardware"]["cores"] == os.cpu_count()
    assert set(manifest["seconds"]) == {"training", "evaluation", "prediction"}
    assert manifest["commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", manifest["commit"])
    assert (manifest["device"], manifest["training_precision"]) in [("cpu", "float32"), ("cpu", "bfloat16")]
    private = {str(finished_run.root), str(store.project_root()), platform.node()} - {""}
    for text in strings(manifest):
        assert not text.startswith(("/", "~"))
        assert not any(word in text for word in private)


def test_history_has_every_epoch_and_the_accuracies_at_the_end(finished_run):
    history, parts = finished_run.history("SN1"), finished_run.parts
    assert history == read(finished_run, "SN1", "history.json")
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    assert all(set(epoch) == {"epoch", "loss", "validation_accuracy"} for epoch in history["epochs"])
    network = finished_run.network("SN1")
    for part in ("train", "validation"):
        expected = training.accuracy(models.logits(network, parts[part].images), parts[part].labels)
        assert history[f"{part}_accuracy"] == expected
    assert len(history["step_losses"]) == 6
    assert history.keys() == {"epochs", "step_losses", "train_accuracy", "validation_accuracy"}


def test_soft_targets_are_the_teachers_logits_in_the_order_of_the_training_images(finished_run):
    found = finished_run.soft_targets()
    expected = models.logits(finished_run.network("TN"), finished_run.parts["train"].images).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["SN1", "KD-SN1"])
def test_predictions_come_back_as_they_were_made(finished_run, name):
    found, test = finished_run.predictions(name), finished_run.parts["test"]
    seed = derive_seed(0, name, "mc_dropout")
    made = mc_dropout.predict(finished_run.network(name), test.images, passes=3, seed=seed)
    np.testing.assert_array_equal(found.labels, test.labels)
    np.testing.assert_allclose(found.mc_mean, made.mean, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(found.deterministic, made.deterministic, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(found.mc_mean.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(found.expected_entropy, made.expected_entropy, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.expected_max, made.expected_max, rtol=1e-6)
    variance = np.take_along_axis(made.variance, made.predicted[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(found.mc_variance, variance, rtol=1e-6, atol=1e-12)


def test_confidences_near_1_come_back_within_a_hundred_thousandth(copied):
    run = copied("SN1")
    network = run.network("SN1")
    with torch.no_grad():  # sure of one class, but not wholly, whatever was learned
        network.classifier[-1].weight.mul_(0.2)
        network.classifier[-1].bias[0] = 11
    sure = checkpoint.to_safetensors(network.state_dict())
    (run.folder / "SN1" / "weights.safetensors").write_bytes(sure)
    edit_manifest(
        run,
        "SN1",
        outputs={
            "weights.safetensors": hashlib.sha256(sure).hexdigest(),
            "history.json": read(run, "SN1")["outputs"]["history.json"],
        },
    )
    found = run.predictions("SN1")
    seed = derive_seed(0, "SN1", "mc_dropout")
    made = mc_dropout.predict(network, run.parts["test"].images, passes=3, seed=seed)
    for ours, exact in [
        (found.confidence, made.confidence),
        (found.deterministic_confidence, made.deterministic.max(1)),
    ]:
        near_1 = exact > 0.998
        assert (near_1 & (exact < 0.99999)).any()
        assert np.abs(ours - exact)[near_1].max() < 1e-5


def test_predictions_name_their_classes_and_confidences(finished_run):
    found = finished_run.predictions("SN1")
    np.testing.assert_array_equal(found.confidence, found.mc_mean.max(1))
    np.testing.assert_array_equal(found.correct, found.mc_mean.argmax(1) == found.labels)
    np.testing.assert_array_equal(found.deterministic_confidence, found.deterministic.max(1))
    np.testing.assert_array_equal(found.deterministic_correct, found.deterministic.argmax(1) == found.labels)
    assert found.correct.dtype == bool
    assert 0 < found.correct.mean() < 1


@pytest.mark.parametrize("file", ["SN1/predictions.npz", "TN/soft_targets.npz"])
def test_arrays_are_stored_without_pickle(finished_run, file):
    with np.load(finished_run.folder / file, allow_pickle=False) as stored:
        kinds = {key: (stored[key].dtype.name, stored[key].shape) for key in stored.files}
    if file == "TN/soft_targets.npz":
        assert kinds == {"logits": ("float32", (30, 10))}
    else:
        two = dict.fromkeys(("mc_mean", "deterministic"), ("float16", (50, 10)))
        three = dict.fromkeys(("mc_variance", "expected_entropy", "expected_max"), ("float32", (50,)))
        assert kinds == {"labels": ("uint8", (50,))} | two | three


# What is reused, resumed, or refused


def test_a_second_call_makes_nothing_anew(finished_run, tiny):
    before = files(finished_run.root)
    again = kd.Run(tiny, 0, finished_run.root, device="cpu")
    for name in ("SN1", "KD-SN1"):
        again.predictions(name)
        again.network(name)
        again.history(name)
    again.network("TN")
    again.soft_targets()
    assert files(finished_run.root) == before


def test_a_loaded_network_is_the_trained_one_in_evaluation_mode(finished_run, copied):
    run = copied()
    trained = run.network("SN1")
    loaded = kd.Run(run.profile, 0, run.root, device="cpu").network("SN1")
    for network in (trained, loaded):
        assert not any(module.training for module in network.modules())
    for key, weights in trained.state_dict().items():
        assert torch.equal(weights, loaded.state_dict()[key])


def test_two_runs_in_two_folders_agree_bit_by_bit(finished_run, copied):
    other = copied()
    other.predictions("SN1")
    assert read(other, "SN1")["outputs"]["weights.safetensors"] == sha256(
        finished_run.folder / "SN1/weights.safetensors"
    )
    assert other.history("SN1") == finished_run.history("SN1")
    for key, array in vars(other.predictions("SN1")).items():
        np.testing.assert_array_equal(array, getattr(finished_run.predictions("SN1"), key))


def test_another_seed_is_another_network_on_the_same_data(finished_run, tiny, scratch):
    other = kd.Run(tiny, 1, scratch, device="cpu")
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(other.parts[part].images, finished_run.parts[part].images)
        np.testing.assert_array_equal(other.parts[part].labels, finished_run.parts[part].labels)
    weights = other.network("SN1").state_dict()
    assert other.folder == scratch / "tiny" / "seed-1"
    for key, value in finished_run.network("SN1").state_dict().items():
        assert not torch.equal(value, weights[key])


def test_a_network_starts_from_the_same_weights_with_and_without_distillation(copied, monkeypatch):
    run, started = copied("TN"), {}

    def stop(model, *_, name, loss=training.label_loss, **__):
        started[name] = model.state_dict(), loss
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    for name in ("SN1", "KD-SN1"):
        with pytest.raises(KeyboardInterrupt):
            run.network(name)
    for key, weights in started["SN1"][0].items():
        assert torch.equal(weights, started["KD-SN1"][0][key])
    logits, labels, rows = torch.randn(5, 10), torch.arange(5), torch.tensor([3, 1, 4, 0, 5])
    teacher_logits = torch.from_numpy(run.soft_targets())[rows]
    assert started["SN1"][1](logits, labels, rows) == F.cross_entropy(logits, labels)
    expected = distillation.distillation_loss(logits, teacher_logits, labels)
    assert started["KD-SN1"][1](logits, labels, rows) == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_a_network_starts_from_the_weights_of_its_runs_seed(tiny, scratch, monkeypatch, seed):
    def stop(model, *_, **settings):
        assert settings["seed"] == seed
        for key, weights in models.build("SN1", seed).state_dict().items():
            assert torch.equal(model.state_dict()[key], weights)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        kd.Run(tiny, seed, scratch, device="cpu").network("SN1")


def test_an_interrupted_network_is_gone_on_with_to_the_same_weights(finished_run, copied, interrupt, capsys):
    run = copied("TN")
    interrupt(run, "KD-SN1", batch=4)
    assert set(files(run.folder / "KD-SN1")) == {"manifest.json", "checkpoint.safetensors"}
    assert read(run, "KD-SN1")["outputs"] == {}

    kd.Run(run.profile, 0, run.root, device="cpu").network("KD-SN1")
    assert "KD-SN1: resumes after epoch 1 of 2" in capsys.readouterr().out
    assert set(files(run.folder / "KD-SN1")) == STORED["KD-SN1"] - {"predictions.npz"}
    straight = finished_run.manifest("KD-SN1")["outputs"]["weights.safetensors"]
    assert sha256(run.folder / "KD-SN1" / "weights.safetensors") == straight


@pytest.mark.parametrize(
    ("changed", "said"),
    [("train", r"made from other data \(train\)"), ("teacher", "distilled from another TN")],
)
def test_a_network_begun_with_other_data_or_another_teacher_is_not_gone_on_with(copied, interrupt, changed, said):
    run = copied("TN")
    interrupt(run, "KD-SN1", batch=4)
    edit_manifest(run, "KD-SN1", inputs=read(run, "KD-SN1")["inputs"] | {changed: "0" * 64})
    with pytest.raises(ValueError, match=f"KD-SN1 was {said}"):
        run.network("KD-SN1")


def test_predictions_without_their_manifest_are_made_again(finished_run, copied):
    run = copied("SN1")
    outputs = read(run, "SN1")["outputs"]
    edit_manifest(run, "SN1", outputs={file: outputs[file] for file in ("weights.safetensors", "history.json")})
    np.testing.assert_array_equal(run.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    assert read(run, "SN1")["outputs"] == outputs


@pytest.mark.parametrize("ask", ["network", "predictions", "history", "manifest"])
def test_what_other_settings_made_is_refused_with_what_differs(finished_run, ask):
    before = files(finished_run.root)
    changed = replace(finished_run.profile, epochs=3, temperature=2.0)
    run = kd.Run(changed, 0, finished_run.root, device="cpu")
    with pytest.raises(ValueError, match="SN1 was made with other settings") as error:
        getattr(run, ask)("SN1")
    assert "epochs is 2, asked for is 3" in str(error.value)
    assert "temperature is 4.0, asked for is 2.0" in str(error.value)
    assert "batch_size" not in str(error.value)
    assert files(finished_run.root) == before


def test_what_older_code_made_is_refused(finished_run, monkeypatch):
    monkeypatch.setattr(runs, "RESULTS_VERSION", runs.RESULTS_VERSION + 1)
    run = kd.Run(finished_run.profile, 0, finished_run.root, device="cpu")
    with pytest.raises(ValueError, match="results_version is 2, asked for is 3"):
        run.predictions("SN1")


@pytest.mark.parametrize("damage", ["a flipped bit", "gone"])
@pytest.mark.parametrize(
    ("name", "file", "ask"),
    [
        ("SN1", "weights.safetensors", lambda run: run.network("SN1").state_dict()["classifier.1.bias"].numpy()),
        ("SN1", "history.json", lambda run: run.history("SN1")["epochs"]),
        ("SN1", "predictions.npz", lambda run: run.predictions("SN1").mc_mean),
        ("TN", "soft_targets.npz", lambda run: run.soft_targets()),
    ],
    ids=["weights", "history", "predictions", "soft targets"],
)
def test_a_damaged_or_missing_file_is_named_and_made_again(finished_run, copied, capsys, name, file, ask, damage):
    run = copied(name)
    path = run.folder / name / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "a flipped bit":
        path.write_bytes(content)
    np.testing.assert_array_equal(ask(run), ask(finished_run))
    assert f"{name}/{file} is missing or corrupt: recomputing it" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"z", b"\xff{}", b"{}", b"[]", b'{"results_version": 2}'])
def test_a_damaged_manifest_is_named_and_made_again(finished_run, copied, capsys, content):
    run = copied("SN1")
    (run.folder / "SN1" / "manifest.json").write_bytes(content)
    np.testing.assert_array_equal(run.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    assert "SN1/manifest.json is corrupt: recomputing SN1" in capsys.readouterr().out


def test_a_manifest_with_one_number_altered_is_damaged(finished_run, copied, capsys):
    run = copied("SN1")
    path = run.folder / "SN1" / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"training": ', '"training": 1'), encoding="utf-8")
    np.testing.assert_array_equal(run.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    assert "SN1/manifest.json is corrupt: recomputing SN1" in capsys.readouterr().out


def test_a_run_computes_with_the_threads_that_slurm_grants(tiny, scratch, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    try:
        torch.set_num_threads(2)
        assert kd.Run(tiny, 0, scratch, device="cpu").device.type == "cpu"
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("ask", ["network", "predictions", "history"])
def test_a_student_of_another_teacher_is_refused(copied, ask):
    run = copied("TN", "KD-SN1")
    getattr(run, ask)("KD-SN1")
    edit_manifest(run, "TN", outputs={"weights.safetensors": "0" * 64})
    with pytest.raises(ValueError, match="KD-SN1 was distilled from another TN"):
        getattr(run, ask)("KD-SN1")


# What a read-only run does not do


def test_a_read_only_run_reads(finished_run, copied):
    run = copied("SN1", read_only=True)
    np.testing.assert_array_equal(run.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    assert run.history("SN1") == finished_run.history("SN1")


@pytest.mark.parametrize("ask", ["network", "predictions", "history"])
def test_a_read_only_run_says_what_is_missing_and_makes_nothing(tiny, scratch, ask):
    run = kd.Run(tiny, 0, scratch, read_only=True)
    with pytest.raises(FileNotFoundError, match=r"tiny/seed-0/KD-SN1/manifest\.json is missing"):
        getattr(run, ask)("KD-SN1")
    assert files(scratch) == {}


@pytest.mark.parametrize("ask", ["network", "predictions", "history"])
def test_a_read_only_run_does_not_go_on_with_what_was_begun(copied, ask):
    run = copied("SN1", read_only=True)
    edit_manifest(run, "SN1", outputs={})
    before = files(run.root)
    with pytest.raises(FileNotFoundError, match=r"SN1/.* is missing"):
        getattr(run, ask)("SN1")
    assert files(run.root) == before


def test_a_read_only_run_does_not_predict(copied):
    run = copied("TN", read_only=True)
    before = files(run.root)
    with pytest.raises(FileNotFoundError, match=r"TN/predictions\.npz is missing"):
        run.predictions("TN")
    assert files(run.root) == before


def test_a_read_only_run_without_weights_has_predictions_but_no_network(copied):
    run = copied("SN1", read_only=True)
    (run.folder / "SN1" / "weights.safetensors").unlink()
    assert run.predictions("SN1").labels.shape == (50,)
    with pytest.raises(FileNotFoundError, match=r"SN1/weights\.safetensors is missing"):
        run.network("SN1")


# What is asked for wrongly


@pytest.mark.parametrize("ask", ["network", "predictions", "history", "manifest"])
@pytest.mark.parametrize("unknown", ["SN4", "kd-sn1", "", None, "../TN"])
def test_an_unknown_network_lists_the_known_ones(tiny, scratch, ask, unknown):
    with pytest.raises(ValueError, match=", ".join(NETWORKS)):
        getattr(kd.Run(tiny, 0, scratch), ask)(unknown)
    assert files(scratch) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": "huge"}, "unknown profile 'huge': known are smoke, quick, paper"),
        ({"profile": 3}, "unknown profile 3"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"seed": "0"}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"device": "gpu"}, "unknown device 'gpu': known are auto, cpu, cuda, mps"),
        ({"device": None}, "unknown device None"),
    ],
)
def test_a_wrong_argument_of_a_run_is_refused(scratch, arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.Run(**({"profile": "smoke", "root": scratch} | arguments))
    assert files(scratch) == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_with_those_that_are(tiny, scratch):
    with pytest.raises(ValueError, match=r"device 'cuda' is not available .*: available are .*cpu"):
        kd.Run(tiny, 0, scratch, device="cuda").network("SN1")
    assert not list(scratch.rglob("*.safetensors"))


def test_a_run_lies_in_the_repository_unless_told_otherwise(repository):
    assert kd.Run("smoke", 2).folder == repository / "runs" / "smoke" / "seed-2"


# Variants


@pytest.fixture
def variant(copied, tiny, monkeypatch):
    """A function: the Run of a variant of the tiny profile beside copies of TN and SN1."""
    monkeypatch.setitem(kd.PROFILES, "tiny", tiny)
    root = copied("TN", "SN1").root
    return lambda name: kd.Run(f"tiny-{name}", 0, root, device="cpu")


def test_a_variant_shares_what_its_choice_leaves_as_it_is(variant, finished_run):
    run = variant("t8")
    before = files(run.root)
    np.testing.assert_array_equal(run.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    np.testing.assert_array_equal(run.soft_targets(), finished_run.soft_targets())
    assert run.manifest("TN") == finished_run.manifest("TN")
    assert run.has("SN1")
    assert not run.has("KD-SN1")
    assert files(run.root) == before

    run.predictions("KD-SN1")
    made = set(files(run.root)) - set(before)
    assert made == {f"tiny-t8/seed-0/KD-SN1/{file}" for file in STORED["KD-SN1"]}
    recorded = read(run, "KD-SN1")
    assert recorded["profile"]["temperature"] == 8
    assert recorded["inputs"]["teacher"] == sha256(finished_run.folder / "TN" / "weights.safetensors")
    assert not np.array_equal(run.predictions("KD-SN1").mc_mean, finished_run.predictions("KD-SN1").mc_mean)


def test_twice_the_epochs_concern_the_students_without_distillation_too(variant):
    run = variant("twice")
    assert not run.has("SN1")
    assert len(run.history("SN1")["epochs"]) == 4
    assert len(run.history("TN")["epochs"]) == 2
    assert (run.folder / "SN1").exists()


def test_soft_targets_from_the_mc_mean(variant, finished_run, tiny):
    run = variant("mc-targets")
    found = run.soft_targets()
    assert np.isfinite(found).all()
    probabilities = np.exp(found.astype(float))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    plain = finished_run.soft_targets().astype(float)
    assert not np.allclose(probabilities, np.exp(plain) / np.exp(plain).sum(1, keepdims=True), atol=1e-3)
    passes = {"passes": 2000, "seed": 5}
    many = mc_dropout.predict(finished_run.network("TN"), finished_run.parts["train"].images, **passes)
    deviations = np.abs(probabilities - many.mean) / np.sqrt(many.variance / tiny.mc_passes)
    assert deviations.mean() < 1.2  # standard errors of a mean over the profile's few passes
    np.testing.assert_array_equal(variant("mc-targets").soft_targets(), found)
    assert (run.root / "tiny" / "seed-0" / "TN" / "mc_soft_targets.npz").exists()
    np.testing.assert_array_equal(variant("t8").soft_targets(), plain)


def test_a_manifest_from_before_a_setting_existed_is_of_what_held_then(copied):
    run = copied("SN1")
    later = ("loss", "mc_soft_targets", "base")
    profile = {key: value for key, value in read(run, "SN1")["profile"].items() if key not in later}
    edit_manifest(run, "SN1", profile=profile)
    assert run.has("SN1")
    edit_manifest(run, "SN1", profile=profile | {"base": "quick"})
    with pytest.raises(ValueError, match="base is 'quick', asked for is ''"):
        run.has("SN1")


# What made it


def test_a_manifest_records_architecture_loss_code_and_precision(finished_run):
    manifests = {name: finished_run.manifest(name) for name in STORED}
    for name, manifest in manifests.items():
        assert manifest["origin"]["modules"] == models.description(NETWORKS[name][0])
        assert manifest["origin"]["training"] == origin.code("training")
        assert manifest["training_precision"] == str(finished_run.dtype).removeprefix("torch.")
    assert manifests["SN1"]["origin"]["modules"]["classifier.3"] == "Dropout(p=0.5, inplace=False)"
    assert manifests["SN1"]["origin"]["loss"] != manifests["KD-SN1"]["origin"]["loss"]
    assert "prediction" in manifests["SN1"]["origin"]
    assert "prediction" not in manifests["TN"]["origin"]


ASK = ["network", "predictions", "history", "manifest"]


def drop_less(monkeypatch):
    class Less(torch.nn.Dropout):
        def __init__(self, p):
            super().__init__(0.2)

    monkeypatch.setattr(models.nn, "Dropout", Less)


@pytest.mark.parametrize("ask", ASK)
def test_another_architecture_is_refused_with_what_differs(finished_run, monkeypatch, ask):
    before = files(finished_run.root)
    drop_less(monkeypatch)
    with pytest.raises(
        ValueError, match=r"SN1 was made with other settings: .*classifier\.3 is Dropout\(p=0\.5.*Less\(p=0\.2"
    ):
        getattr(finished_run, ask)("SN1")
    monkeypatch.setitem(models.ARCHITECTURES, "SN1", ("5x5:48 M 5x5:128 M", (1280, 64)))
    with pytest.raises(ValueError, match=r"Delete that folder, remake it with FORCE=1"):
        getattr(finished_run, ask)("SN1")
    assert files(finished_run.root) == before


@pytest.mark.parametrize("ask", ASK)
def test_what_hangs_on_a_teacher_of_another_architecture_is_refused(finished_run, monkeypatch, ask):
    monkeypatch.setitem(models.ARCHITECTURES, "TN", models.ARCHITECTURES["SN2"])
    with pytest.raises(
        ValueError, match=r"TN was made with other settings: features\.10 is Conv2d\(.*, asked for is None"
    ):
        getattr(finished_run, ask)("KD-SN1")
    finished_run.predictions("SN1")


@pytest.mark.parametrize(
    ("network", "module", "name"), [("KD-SN1", distillation, "distillation_loss"), ("SN1", training, "label_loss")]
)
def test_another_loss_is_refused(finished_run, monkeypatch, network, module, name):
    monkeypatch.setattr(module, name, lambda *_, **__: torch.zeros(()))
    with pytest.raises(ValueError, match=f"{network} was made with other settings: the code of its loss is another"):
        finished_run.predictions(network)
    if network == "KD-SN1":
        finished_run.predictions("SN1")


@pytest.mark.parametrize("what", ["training", "prediction"])
def test_other_code_with_the_same_settings_is_said_once(finished_run, monkeypatch, capsys, what):
    code = origin.code
    monkeypatch.setattr(origin, "code", lambda own: "0" * 64 if own == what else code(own))
    run = kd.Run(finished_run.profile, 0, finished_run.root, device="cpu")
    capsys.readouterr()
    made = run.predictions("SN1"), run.predictions("SN1")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert re.search(rf"seed-0/SN1: made by other code \({what}.*\); FORCE=SN1 remakes it", printed[0])
    np.testing.assert_array_equal(made[0].mc_mean, finished_run.predictions("SN1").mc_mean)
    kd.Run(finished_run.profile, 0, finished_run.root, read_only=True).predictions("SN1")
    assert capsys.readouterr().out == ""


def test_a_manifest_without_an_origin_is_read(copied, monkeypatch, capsys):
    run = copied("SN1")
    edit_manifest(run, "SN1", origin=None)
    path = run.folder / "SN1" / "manifest.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["origin"], found["sha256"]
    path.write_bytes(store.to_json(found | {"sha256": hashlib.sha256(store.to_json(found)).hexdigest()}))
    drop_less(monkeypatch)
    run.predictions("SN1")
    assert capsys.readouterr().out == ""


def test_another_precision_is_refused(finished_run):
    own = str(finished_run.dtype).removeprefix("torch.")
    other = {"float32": "bfloat16", "bfloat16": "float32"}[own]
    kd.Run(finished_run.profile, 0, finished_run.root, device="cpu", precision=own).predictions("SN1")
    run = kd.Run(finished_run.profile, 0, finished_run.root, device="cpu", precision=other)
    with pytest.raises(
        ValueError, match=f"SN1 was made with other settings: precision is '{own}', asked for is '{other}'"
    ):
        run.predictions("SN1")


def test_precision_is_that_of_the_training(tiny, scratch):
    weights = {}
    for precision in ("float32", "bfloat16"):
        run = kd.Run(tiny, 0, scratch / precision, device="cpu", precision=precision)
        weights[precision] = run.network("SN1").classifier[-1].weight
        assert run.manifest("SN1")["training_precision"] == precision
        assert run.trained_in(["SN1"]) == precision
    assert not torch.equal(*weights.values())


# What is forced


def test_a_forced_network_is_remade_once_to_the_same_bits(finished_run, copied, capsys):
    run = copied("SN1")
    before = read(run, "SN1")
    time.sleep(1.1)  # the times in manifests are whole seconds
    forced = kd.Run(run.profile, 0, run.root, device="cpu", force="SN1")
    assert forced.to_remake("SN1")
    assert forced.lacks("SN1", "weights.safetensors")
    assert not forced.has("SN1")
    for _ in range(2):
        np.testing.assert_array_equal(forced.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    assert capsys.readouterr().out.count("remaking SN1") == 1
    after = read(run, "SN1")
    assert after["outputs"] == before["outputs"]
    assert after["made"] > before["made"]
    assert not forced.lacks("SN1", "weights.safetensors", "predictions.npz")


def test_with_the_teacher_go_its_students_and_no_others(copied, monkeypatch):
    run = copied("TN", "KD-SN1", "SN1")
    monkeypatch.setenv("KDUTILS_FORCE", "TN@2999-01-01T00:00:00+00:00")
    forced = kd.Run(run.profile, 0, run.root, device="cpu")
    assert [name for name in STORED if forced.to_remake(name)] == ["TN", "KD-SN1"]
    assert not any(map(kd.Run(run.profile, 0, run.root, read_only=True).to_remake, STORED))


def test_what_other_settings_made_can_be_forced(finished_run, copied):
    run = copied("SN1")
    time.sleep(1.1)
    changed = replace(run.profile, peak_learning_rate=2e-3)
    forced = kd.Run(changed, 0, run.root, device="cpu", force="1")
    forced.predictions("SN1")
    assert read(run, "SN1")["profile"]["peak_learning_rate"] == 2e-3
    with pytest.raises(ValueError, match=r"peak_learning_rate is 0\.002, asked for is 0\.001"):
        run.predictions("SN1")


def test_the_old_stays_until_the_new_is_whole(finished_run, copied, interrupt, capsys):
    run = copied("SN1")
    time.sleep(1.1)
    forced = kd.Run(run.profile, 0, run.root, device="cpu", force="SN1")
    interrupt(forced, "SN1", batch=4)
    again = kd.Run(run.profile, 0, run.root, device="cpu")
    np.testing.assert_array_equal(again.predictions("SN1").mc_mean, finished_run.predictions("SN1").mc_mean)
    capsys.readouterr()
    forced.network("SN1")
    assert "SN1: resumes after epoch 1 of 2" in capsys.readouterr().out


@pytest.mark.parametrize("harm", ["gone", "damaged", "other settings", "nothing"])
def test_what_a_run_lacks(copied, harm):
    run = copied("SN1")
    path = run.folder / "SN1" / "weights.safetensors"
    if harm == "gone":
        path.unlink()
    elif harm == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "other settings":
        run = kd.Run(replace(run.profile, epochs=7), 0, run.root, device="cpu")
    assert run.lacks("SN1", "weights.safetensors") == (harm != "nothing")
    assert run.lacks("SN1", "predictions.npz") == (harm == "other settings")
    assert run.lacks("KD-SN1", "weights.safetensors")


# Other data


@pytest.fixture
def colours():
    """Parts of the tiny profile's sizes: 8 x 8 images of three colours."""
    rng = np.random.default_rng(0)
    sizes = {"train": 30, "validation": 20, "test": 50}
    return {
        name: data.Part(rng.integers(0, 256, (n, 3, 8, 8), np.uint8), (np.arange(n) % 10).astype(np.uint8))
        for name, n in sizes.items()
    }


def test_other_data_go_through_training_distillation_and_prediction(tiny, scratch, colours):
    run = kd.Run(tiny, 0, scratch, device="cpu", parts=colours)
    made = run.predictions("KD-SN1")
    np.testing.assert_array_equal(made.labels, colours["test"].labels)
    assert run.network("KD-SN1").features[0].in_channels == 3
    assert (made.mc_variance > 0).all()
    again = kd.Run(tiny, 0, scratch, device="cpu", parts=colours)
    np.testing.assert_array_equal(again.predictions("KD-SN1").mc_mean, made.mc_mean)


@pytest.mark.parametrize("ask", ["network", "predictions", "history", "manifest", "has"])
def test_what_other_data_made_is_refused(tiny, scratch, colours, ask):
    kd.Run(tiny, 0, scratch, device="cpu", parts=colours).network("SN1")
    changed = colours | {"test": data.Part(colours["test"].images[::-1].copy(), colours["test"].labels)}
    with pytest.raises(ValueError, match=r"SN1 was made from other data \(test\)"):
        getattr(kd.Run(tiny, 0, scratch, device="cpu", parts=changed), ask)("SN1")
    for read_only in (False, True):
        with pytest.raises(ValueError, match=r"SN1 was made from other data \(not MNIST\)"):
            getattr(kd.Run(tiny, 0, scratch, device="cpu", read_only=read_only), ask)("SN1")


def test_mnist_results_are_refused_for_other_data(finished_run, colours):
    run = kd.Run(finished_run.profile, 0, finished_run.root, device="cpu", parts=colours)
    with pytest.raises(ValueError, match=r"SN1 was made from other data \(train, validation, test\)"):
        run.predictions("SN1")


@pytest.mark.parametrize("wrong", ["a part is missing", "a part is too small"])
def test_parts_that_are_not_of_the_profiles_sizes_are_refused(tiny, scratch, colours, wrong):
    part = colours.pop("test")
    if wrong == "a part is too small":
        colours["test"] = data.Part(part.images[1:], part.labels[1:])
    with pytest.raises(ValueError, match=r"parts must hold as many images as the profile says, .*'test': 50.*, got"):
        kd.Run(tiny, 0, scratch, parts=colours)


# Shifts of the test images

SHIFT = "predictions-rotation-45.npz"


@pytest.fixture
def shifted(copied):
    """A run with SN1's predictions on one shift, and those."""
    run = copied("SN1")
    return run, run.predictions("SN1", "rotation-45")


def same(found, expected):
    return all(np.array_equal(array, getattr(expected, key)) for key, array in vars(found).items())


@pytest.mark.parametrize("name", ["SN1", "KD-SN1"])
@pytest.mark.parametrize("shift", ["rotation-45", "noise-0.4", "mixtures", "digits"])
def test_predictions_on_a_shift_come_back_as_they_were_made(copied, name, shift):
    run = copied("TN", name)
    before = files(run.folder / name)
    found, part = run.predictions(name, images=shift), shifts.part(shift, run.parts["test"])
    seed = derive_seed(0, name, "mc_dropout", shift)
    made = mc_dropout.predict(run.network(name), part.images, passes=3, seed=seed)
    np.testing.assert_array_equal(found.labels, part.labels)
    np.testing.assert_array_equal(found.predicted, made.predicted)
    np.testing.assert_allclose(found.confidence, made.confidence, atol=1e-3)
    np.testing.assert_allclose(found.entropy, made.entropy, rtol=1.1e-3)
    np.testing.assert_allclose(found.mutual_information, made.mutual_information, rtol=1.1e-3, atol=1e-9)
    np.testing.assert_allclose(found.deterministic_confidence, made.deterministic.max(1), atol=1e-3)
    np.testing.assert_array_equal(found.deterministic_predicted, made.deterministic.argmax(1))
    after = files(run.folder / name)
    assert after.keys() - before.keys() == {f"predictions-{shift}.npz"}
    assert {file for file in before if after[file] != before[file]} == {"manifest.json"}


def test_predictions_on_a_shift_are_recorded_and_not_made_twice(finished_run, shifted):
    run, found = shifted
    manifest, before = read(run, "SN1"), files(run.root)
    assert manifest["outputs"] == finished_run.manifest("SN1")["outputs"] | {SHIFT: sha256(run.folder / "SN1" / SHIFT)}
    assert manifest["origin"] == finished_run.manifest("SN1")["origin"] | {"shifts": origin.code("shifts")}
    assert manifest["seconds"] == finished_run.manifest("SN1")["seconds"]
    for again in (kd.Run(run.profile, 0, run.root, device="cpu"), kd.Run(run.profile, 0, run.root, read_only=True)):
        assert same(again.predictions("SN1", "rotation-45"), found)
    assert files(run.root) == before


def test_predictions_on_a_shift_hold_classes_and_16_bit_scalars_alone(shifted):
    with np.load(shifted[0].folder / "SN1" / SHIFT, allow_pickle=False) as stored:
        kinds = {key: (stored[key].dtype.name, stored[key].shape) for key in stored.files}
    assert kinds == {"classes": ("uint8", (3, 50)), "roots": ("float16", (5, 50))}


def test_what_a_run_has_and_lacks_of_a_shift(shifted):
    run, _ = shifted
    assert run.has("SN1", "rotation-45")
    assert not run.has("SN1", "rotation-60")
    assert not run.has("KD-SN1", "rotation-45")
    assert not run.lacks("SN1", "predictions.npz", SHIFT)
    assert run.lacks("SN1", SHIFT, "predictions-rotation-60.npz")
    (run.folder / "SN1" / SHIFT).unlink()
    assert run.lacks("SN1", SHIFT)


@pytest.mark.parametrize("damage", ["a flipped bit", "half", "gone"])
def test_damaged_predictions_on_a_shift_are_named_and_made_again(shifted, capsys, damage):
    run, found = shifted
    path = run.folder / "SN1" / SHIFT
    content = path.read_bytes()
    path.unlink()
    if damage == "a flipped bit":
        path.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    capsys.readouterr()
    assert same(run.predictions("SN1", "rotation-45"), found)
    assert path.read_bytes() == content
    assert f"SN1/{SHIFT} is missing or corrupt: recomputing it" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["while it predicts", "before the manifest"])
def test_interrupted_predictions_on_a_shift_are_made_again(shifted, monkeypatch, when):
    run, found = shifted
    (run.folder / "SN1" / SHIFT).unlink()

    def stop(*_, **__):
        raise KeyboardInterrupt

    def write(path, content):
        return stop() if path.name == "manifest.json" else write_atomically(path, content)

    write_atomically = store.write_atomically
    with monkeypatch.context() as patch:
        if when == "while it predicts":
            patch.setattr(mc_dropout, "predict", stop)
        else:
            patch.setattr(store, "write_atomically", write)
        with pytest.raises(KeyboardInterrupt):
            run.predictions("SN1", "rotation-45")
    assert (run.folder / "SN1" / SHIFT).exists() == (when == "before the manifest")
    assert same(kd.Run(run.profile, 0, run.root, device="cpu").predictions("SN1", "rotation-45"), found)


def test_other_code_of_the_shifts_is_said_and_the_oldest_recorded(shifted, monkeypatch, capsys):
    run, found = shifted
    code = origin.code
    monkeypatch.setattr(origin, "code", lambda what: "0" * 64 if what == "shifts" else code(what))
    run = kd.Run(run.profile, 0, run.root, device="cpu")
    capsys.readouterr()
    assert same(run.predictions("SN1", "rotation-45"), found)
    assert "made by other code (shifts" in capsys.readouterr().out
    run.predictions("SN1", "rotation-60")
    assert read(run, "SN1")["origin"]["shifts"] == code("shifts")


def test_a_forced_network_has_no_predictions_on_shifts_until_they_are_remade(shifted):
    run, found = shifted
    time.sleep(1.1)  # the times in manifests are whole seconds
    forced = kd.Run(run.profile, 0, run.root, device="cpu", force="SN1")
    assert not forced.has("SN1", "rotation-45")
    forced.network("SN1")
    assert SHIFT not in read(run, "SN1")["outputs"]
    assert same(forced.predictions("SN1", "rotation-45"), found)


@pytest.mark.parametrize("ask", ["predictions", "has"])
def test_an_unknown_shift_lists_the_known_ones(finished_run, ask):
    before = files(finished_run.root)
    with pytest.raises(ValueError, match=r"unknown images 'rotation-10': known are test, rotation-15, .*, fashion"):
        getattr(finished_run, ask)("SN1", "rotation-10")
    assert files(finished_run.root) == before


def test_a_read_only_run_does_not_predict_on_a_shift(finished_run):
    run = kd.Run(finished_run.profile, 0, finished_run.root, read_only=True)
    with pytest.raises(FileNotFoundError, match=r"SN1/predictions-rotation-45\.npz is missing"):
        run.predictions("SN1", "rotation-45")


def test_predictions_on_shifts_are_kept_where_there_are_any(shifted, tiny, scratch, monkeypatch):
    import keep

    run, found = shifted
    monkeypatch.setattr(keep, "ROOT", scratch / "kept")
    monkeypatch.setattr(keep, "variants", lambda _: {})
    monkeypatch.setitem(kd.PROFILES, "tiny", tiny)
    keep.main(run.root, "tiny", "0")
    folder = scratch / "kept" / "results" / "tiny" / "seed-0"
    assert set(files(folder)) == {f"SN1/{file}" for file in ("predictions.npz", SHIFT, "history.json", "manifest.json")}
    kept = kd.Run(tiny, 0, scratch / "kept" / "results", read_only=True)
    assert same(kept.predictions("SN1", "rotation-45"), found)
    (run.folder / "SN1" / SHIFT).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"SN1/{SHIFT} is corrupt"):
        keep.main(run.root, "tiny", "0")
