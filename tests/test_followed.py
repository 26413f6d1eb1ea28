"""How closely networks follow their teachers: readings whose truth is known, and the committed records."""

import json
from pathlib import Path

import followed as command
import numpy as np
import pytest
from kdutils import followed, transfer
from kdutils.predictions import Predictions, ShiftPredictions, entropy
from kdutils.recipes import ONE_PASS
from kdutils.runs import Run
from kdutils.shifts import NAMES
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

RESULTS = Path(__file__).parents[1] / "results"
RECORDS = sorted(path.parent.name for path in RESULTS.glob("*/followed.json"))
TEST, SHIFTED, SEEDS = 600, 300, 4
SHIFTS = ("noise-0.4", "digits", "fashion")
NETWORKS = ("TN", "KD-SN1", "KD-SN1-steps", "ONE-SN1")
NOISE = {"TN": 0, "KD-SN1": 0.4, "KD-SN1-steps": 0.3, "ONE-SN1": 0.1}  # of log-odds, beside the teacher's


def network(name, seed, images):
    """Predictions of two classes: the teacher's log-odds with noise, in one pass twice as much."""
    rng = np.random.default_rng([seed, ("test", *NAMES).index(images)])
    odds = rng.normal(0 if images == "fashion" else 3, 1, TEST if images == "test" else SHIFTED)
    noise = np.random.default_rng([seed, NETWORKS.index(name)]).normal(0, 1, (2, len(odds)))
    own = noise[0] * NOISE[name]
    once = name == "ONE-SN1"
    labels = (rng.random(len(odds)) < 0.1).astype(int)
    mean, certain = (
        1 / (1 + np.exp([-x, x])).T for x in (odds + own, odds + (1 if once else 2) * own + (name == "TN"))
    )
    information = 0.1 * entropy(mean) * np.exp(0.3 * noise[1])
    if images == "test":
        return Predictions(labels, mean, certain, np.zeros(len(odds)), entropy(mean) - information, mean.max(1))
    classes = labels, mean.argmax(1), certain.argmax(1)
    return ShiftPredictions(*classes, mean.max(1), entropy(mean), information, certain.max(1), entropy(certain))


class MadeUp:
    """In the place of a Run: `network`'s predictions, of KD-SN1-steps for the first three seeds."""

    def __init__(self, seed):
        self.seed = seed

    def has(self, name):
        return name != "KD-SN1-steps" or self.seed < 3

    def predictions(self, name, images="test"):
        assert self.has(name)
        return network(name, self.seed, images)


@pytest.fixture(scope="module")
def record():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(followed, "NAMES", SHIFTS)
        return followed.record(list(map(MadeUp, range(SEEDS))), "made-up", NETWORKS)


def reading(record, name, dropout):
    (found,) = [own for own in record["readings"] if (own["network"], own["dropout"]) == (name, dropout)]
    return found


def test_what_is_read_and_on_which_seeds(record):
    read = [(own["network"], own["dropout"], len(own["seeds"])) for own in record["readings"]]
    others = [("KD-SN1", 4), ("KD-SN1-steps", 3)]
    expected = [("TN", "on", 4), ("TN", "off", 4)]
    expected += [(name, dropout, seeds) for name, seeds in others for dropout in ("on", "off")]
    assert read == [*expected, ("ONE-SN1", "off", 4)]
    assert all(list(own["images"]) == ["test", *SHIFTS] for own in record["readings"])


@pytest.mark.parametrize("dropout", ["on", "off"])
@pytest.mark.parametrize("images", ["test", "noise-0.4"])
def test_measures_by_hand(record, dropout, images):
    field = {"on": "confidence", "off": "deterministic_confidence"}[dropout]
    uncertainty = {"on": "entropy", "off": "deterministic_entropy"}[dropout]
    right = {"on": "correct", "off": "deterministic_correct"}[dropout]
    hand = {key: [] for key in ("MUPE", "skill", "correlation", "ρ of entropy", "accuracy", "log")}
    for seed in range(SEEDS):
        teacher, own, one = (network(name, seed, images) for name in ("TN", "KD-SN1", "ONE-SN1"))
        c, student = teacher.confidence, getattr(own, field)
        hand["MUPE"].append(np.mean((c - student) ** 2))
        hand["skill"].append(transfer.skill(c, student))
        hand["correlation"].append(np.corrcoef(c, student)[0, 1])
        hand["ρ of entropy"].append(spearmanr(teacher.entropy, getattr(own, uncertainty)).statistic)
        hand["accuracy"].append(np.mean(getattr(own, right)))
        hand["log"].append(np.log(hand["MUPE"][-1] / np.mean((c - one.deterministic_confidence) ** 2)))
    found = reading(record, "KD-SN1", dropout)["images"][images]
    hand["log MUPE / one-pass student's"] = hand.pop("log")
    for key, values in hand.items():
        assert found[key]["per_seed"] == pytest.approx(values, rel=1e-4), key
        assert found[key]["mean"] == pytest.approx(np.mean(values), rel=1e-4), key
        assert found[key]["interval"][0] < np.mean(values) < found[key]["interval"][1], key


def test_the_nearer_student_is_found_nearer(record):
    log = reading(record, "KD-SN1", "on")["images"]["test"]["log MUPE / one-pass student's"]
    assert log["interval"][0] > 1
    assert "log MUPE / one-pass student's" not in reading(record, "ONE-SN1", "off")["images"]["test"]
    skills = [reading(record, name, "off")["images"]["test"]["skill"]["mean"] for name in ("ONE-SN1", "KD-SN1")]
    assert skills[0] > 0.95 > skills[1]


def test_mutual_information_only_of_what_has_some(record):
    key, hand = "ρ of mutual information", []
    for seed in range(SEEDS):
        teacher, own = (network(name, seed, "test").mutual_information for name in ("TN", "KD-SN1"))
        unsure = teacher > np.quantile(teacher, 0.9)
        hand.append([spearmanr(teacher[rows], own[rows]).statistic for rows in (slice(None), unsure)])
    for what, values in zip((key, f"{key}, upper tenth"), np.transpose(hand), strict=True):
        assert reading(record, "KD-SN1", "on")["images"]["test"][what]["per_seed"] == pytest.approx(values, rel=1e-4)
    assert key in reading(record, "KD-SN1", "on")["images"]["test"]
    assert key in reading(record, "ONE-SN1", "off")["images"]["test"]
    assert key not in reading(record, "KD-SN1", "off")["images"]["test"]


def test_the_divergence_needs_all_probabilities_so_the_test_images_alone_have_it(record):
    found = reading(record, "KD-SN1", "off")["images"]
    assert [images for images, own in found.items() if "KL(teacher ‖ student)" in own] == ["test"]
    hand = [
        transfer.kl_of_images(network("TN", seed, "test").mc_mean, network("KD-SN1", seed, "test").deterministic).mean()
        for seed in range(SEEDS)
    ]
    assert found["test"]["KL(teacher ‖ student)"]["per_seed"] == pytest.approx(hand, rel=1e-4)


def test_no_divergence_from_a_student_that_rules_out_what_its_teacher_allows(monkeypatch):
    """It is infinite, and a mean of it says nothing."""

    class Certain(MadeUp):
        def predictions(self, name, images="test"):
            found = super().predictions(name, images)
            if (name, images) == ("KD-SN1", "test"):
                found.deterministic[0] = [0, 1]
            return found

    monkeypatch.setattr(followed, "NAMES", ())
    found = followed.record([Certain(seed) for seed in range(SEEDS)], "quick", ("TN", "KD-SN1"))
    has = {
        own["network"] + own["dropout"]: "KL(teacher ‖ student)" in own["images"]["test"] for own in found["readings"]
    }
    assert has == {"TNon": False, "TNoff": True, "KD-SN1on": True, "KD-SN1off": False}


def test_telling_strangers_from_test_images(record):
    found = reading(record, "TN", "on")["images"]
    assert [images for images, own in found.items() if "AUROC by entropy" in own] == list(followed.STRANGERS)
    for kind in ("entropy", "mutual_information"):
        hand = []
        for seed in range(SEEDS):
            pair = [getattr(network("TN", seed, images), kind) for images in ("test", "fashion")]
            scores = np.concatenate([pair[0][:SHIFTED], pair[1]])
            hand.append(roc_auc_score(np.repeat([0, 1], SHIFTED), scores))
        own = found["fashion"][f"AUROC by {kind.replace('_', ' ')}"]
        assert own["per_seed"] == pytest.approx(hand, rel=1e-4)
    assert not any("MUPE" in own for own in found.values())


def test_a_control_stands_beside_its_own_student():
    assert followed.twin("ONE-SN2-clean", ["ONE-SN1", "ONE-SN2"]) == "ONE-SN2"
    assert followed.twin("KD-SN1-steps", ["ONE-SN1", "ONE-SN2"]) == "ONE-SN1"
    assert followed.twin("SN2", ["ONE-SN1", "ONE-SN2"]) == "ONE-SN2"
    for name, networks in (("SN3", ["ONE-SN1"]), ("ONE-SN1", ["ONE-SN1"]), ("KD-SN2", ["ONE-SN1"])):
        assert followed.twin(name, networks) is None


def test_two_seeds_are_too_few():
    with pytest.raises(ValueError, match="TN must be predicted for at least three seeds, got 2"):
        followed.record([MadeUp(0), MadeUp(1)], "made-up", ["TN"])


@pytest.mark.parametrize("profile", RECORDS)
def test_the_committed_record_is_what_the_committed_predictions_say(profile):
    """A reading of each kind, one measure of each sort, computed again by other means."""
    record = json.loads((RESULTS / profile / "followed.json").read_text(encoding="utf-8"))
    for own in record["readings"]:
        name, dropout, found = own["network"], own["dropout"], own["images"]
        runs = [Run(profile, seed, RESULTS, read_only=True) for seed in own["seeds"]]
        field = {"on": "confidence", "off": "deterministic_confidence"}[dropout]
        for images in ("test", "rotation-45", "fashion") if (name, dropout) != ("TN", "on") else ():
            pairs = [[run.predictions(key, images) for key in ("TN", name)] for run in runs]
            hand = [1 - ((t.confidence - getattr(s, field)) ** 2).mean() / t.confidence.var() for t, s in pairs]
            assert found[images]["skill"]["per_seed"] == pytest.approx(hand, rel=1e-4)


@pytest.mark.parametrize("profile", RECORDS)
def test_every_committed_one_pass_network_is_in_the_record(profile):
    record = json.loads((RESULTS / profile / "followed.json").read_text(encoding="utf-8"))
    for name in ONE_PASS:
        seeds = [path.parent.name for path in (RESULTS / profile).glob(f"seed-*/{name}")]
        assert (len(seeds) >= command.FEWEST) == any(own["network"] == name for own in record["readings"])


def test_every_committed_file_of_json_is_one_for_all_readers():
    """NaN and Infinity are Python's alone."""
    for path in RESULTS.glob("**/*.json"):
        json.loads(
            path.read_text(encoding="utf-8"), parse_constant=lambda name, path=path: pytest.fail(f"{path}: {name}")
        )
