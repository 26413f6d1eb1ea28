"""What is transferred: studies whose truth is known, and the committed record, computed a second way."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import scipy.stats
import transferred as command
from kdutils import stats, transferred
from kdutils.study import Measure, Study
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

RESULTS = Path(__file__).parents[1] / "results"
SEEDS, IMAGES, COPIED = 6, 4000, 0.4
RECORDS = sorted((path.parent.name, path.name) for path in RESULTS.glob("*/*.json") if path.name in command.FILES)
STUDENTS = ("KD-SN1", "KD-SN2", "KD-SN3", "SN1", "SN2", "SN3")


def predictions(confidence, right, information):
    """A stand-in for Predictions with two classes; dropout off is surer, and as often right."""
    return SimpleNamespace(
        confidence=confidence,
        deterministic_confidence=confidence**0.5,
        correct=right,
        deterministic_correct=right,
        mc_mean=np.stack([confidence, 1 - confidence], 1),
        mutual_information=information * confidence,
    )


def networks():
    """{network: [predictions of each seed]} of difficulty, own parts of the teachers', and noise of the students'.

    Plain students say half of what they know, less 0.1. KD-SN1 never met a teacher either, but says it right. KD-SN2
    and KD-SN3 have a part of their own teacher's own part, KD-SN3 twice as much.
    """
    rng = np.random.default_rng(0)
    known = 0.8 + rng.normal(0, 0.03, IMAGES)
    own = rng.normal(0, 0.02, (SEEDS, IMAGES))
    copied = {"TN": 1, "KD-SN2": COPIED, "KD-SN3": 2 * COPIED}
    found = {}
    for name in ("TN", *STUDENTS):
        noise = 0 if name == "TN" else rng.normal(0, 0.02, (SEEDS, IMAGES))
        confidence = known + copied.get(name, 0) * own + noise
        if name.startswith("SN"):
            confidence = 0.3 + confidence / 2
        right = rng.random((SEEDS, IMAGES)) < confidence
        information = 0.5 if name.startswith("KD-") else 1.0
        found[name] = [predictions(c, r, information) for c, r in zip(confidence, right, strict=True)]
    return found


@pytest.fixture(scope="module")
def study():
    return Study(networks(), stats.image_weights(IMAGES, resamples=400))


@pytest.fixture(scope="module")
def known(study):
    """{network: {measure: Found}}"""
    return {name: transferred.measures(study, name) for name in study.predictions}


def holds(found, truth, width):
    """The 99 % interval is narrower than `width` to both sides and holds the truth."""
    low, high = found.estimate.interval(0.99)
    return low <= truth <= high and high - low < 2 * width


# Truths


def test_recalibration_alone_is_a_raw_gain_and_no_recalibrated_one(known):
    found = known["KD-SN1"]
    assert found["gain"].estimate.interval()[0] > 1.5
    for towards in ("own teacher", "other teachers", "own − other teachers"):
        assert holds(found[f"recalibrated gain, {towards}"], 0, 0.1)
    assert holds(found["own-teacher share"], 0, 0.05)
    assert abs(found["beyond difficulty"].estimate.mean) < 0.004


def test_students_that_never_met_their_teacher_have_nothing_of_it(known):
    for name in ("SN1", "SN2", "SN3"):
        assert holds(known[name]["own-teacher share"], 0, 0.05)
        assert abs(known[name]["beyond difficulty"].estimate.mean) < 0.004
        assert abs(known[name]["beyond difficulty, placebo"].estimate.mean) < 0.004


@pytest.mark.parametrize(("name", "copied"), [("KD-SN2", COPIED), ("KD-SN3", 2 * COPIED)])
def test_a_copy_with_noise_has_the_share_that_was_copied(known, name, copied):
    """Variances in units of the noise's, which is that of the own part, too. The panel leaves `doubt` of what is known.

    The panel has 20 networks, as good as one with a twentieth of their noise.
    """
    doubt = 1 / (20 + (0.02 / 0.03) ** 2)
    beyond = (doubt + copied) ** 2 / (doubt + copied**2 + 1) / (doubt + 1)
    found = known[name]
    assert holds(found["own-teacher share"], copied, 0.06)
    assert holds(found["beyond difficulty"], beyond, 0.06)
    assert abs(found["beyond difficulty, placebo"].estimate.mean) < 0.004
    own = found["recalibrated gain, own teacher"]
    assert own.estimate.interval()[0] > 0.2 * copied
    others = found["recalibrated gain, other teachers"]
    assert others.estimate.interval()[1] < 0
    apart = found["recalibrated gain, own − other teachers"]
    assert apart.estimate.mean == pytest.approx(own.estimate.mean - others.estimate.mean)
    rest = found["gain"].estimate.mean - own.estimate.mean
    assert found["gain − recalibrated gain"].estimate.mean == pytest.approx(rest)


def test_recalibrated_gains_are_those_of_the_best_linear_prediction(known):
    """All is normal, so the best increasing function is linear, and what it leaves has a closed form."""
    signal, part = 0.03**2, 0.02**2

    def left(copied, own):
        covariance = signal + copied * part * own
        return signal + part - covariance**2 / (signal + (copied**2 + 1) * part)

    for name, copied in (("KD-SN2", COPIED), ("KD-SN3", 2 * COPIED)):
        for towards, own in (("own teacher", 1), ("other teachers", 0)):
            truth = np.log(left(0, own) / left(copied, own))
            assert holds(known[name][f"recalibrated gain, {towards}"], truth, 0.12)


def test_the_mutual_information_is_set_against_the_teachers(known):
    assert known["KD-SN2"]["log mutual information / teacher's"].estimate.mean == pytest.approx(np.log(0.5), abs=0.01)
    assert known["SN3"]["log mutual information / teacher's"].estimate.mean == pytest.approx(
        np.log(0.7 / 0.8), abs=0.01
    )


def test_the_mean_over_seeds_is_the_mean(known):
    for measures in known.values():
        for found in measures.values():
            assert len(found.per_seed) == SEEDS
            mean = np.mean(found.per_seed)  # NaN in the stratum that has no images here
            assert mean == pytest.approx(found.estimate.mean, rel=1e-6, abs=1e-9, nan_ok=True)


# By hand


def test_pseudo_values_are_those_of_leaving_a_seed_out():
    rng = np.random.default_rng(1)
    pairs = Measure(rng.random((5, 5)), rng.random((3, 5, 5)))

    def mean(matrix, seeds):
        return np.mean([matrix[i, j] for i in seeds for j in seeds if i != j])

    found, everyone = transferred.others(pairs), range(5)
    for matrix, values in zip([pairs.values, *pairs.resampled], [found.values, *found.resampled], strict=True):
        without = [mean(matrix, [seed for seed in everyone if seed != left]) for left in everyone]
        np.testing.assert_allclose(values, 5 * mean(matrix, everyone) - 4 * np.array(without))
        assert values.mean() == pytest.approx(mean(matrix, everyone))
    np.testing.assert_array_equal(transferred.own(pairs).values, np.diag(pairs.values))
    np.testing.assert_array_equal(transferred.own(pairs).resampled[2], np.diag(pairs.resampled[2]))
    rows = [np.mean([pairs.values[i, j] for j in everyone if i != j]) for i in everyone]
    np.testing.assert_allclose(transferred.found_others(pairs).per_seed, rows)


def test_means_of_pairs_keep_rows_and_columns(study):
    rows = np.random.default_rng(2).random((SEEDS, SEEDS, IMAGES))
    found = transferred.mean_of_pairs(study, rows)
    np.testing.assert_allclose(found.values, rows.mean(-1))
    expected = np.einsum("bn,ijn->bij", study.weights[:5], rows)
    np.testing.assert_allclose(found.resampled[:5], expected, rtol=1e-4)


def test_four_mupes_with_dropout_on_and_off(known, study):
    c = {name: study.field(name, "confidence") for name in ("TN", "KD-SN2")}
    for student, mine in (("on", 1), ("off", 0.5)):
        for teacher, theirs in (("on", 1), ("off", 0.5)):
            found = known["KD-SN2"][f"MUPE, student's dropout {student}, teacher's {teacher}"].per_seed
            np.testing.assert_allclose(found, ((c["KD-SN2"] ** mine - c["TN"] ** theirs) ** 2).mean(1))
    reference = ((c["TN"] ** 0.5 - c["TN"]) ** 2).mean(1)
    np.testing.assert_allclose(known["TN"]["MUPE, student's dropout off, teacher's on"].per_seed, reference)


def test_few_seeds_are_refused(study):
    with pytest.raises(ValueError, match="seeds must be at least three, got 2"):
        transferred.record(study, "quick", [0, 1])


def test_the_record_holds_numbers_that_json_can(study):
    few = Study({name: study.predictions[name] for name in ("TN", "SN2", "SN1", "SN3")}, study.weights)
    record = transferred.record(few, "quick", list(range(SEEDS)))
    assert record == json.loads(json.dumps(record, allow_nan=False))
    assert list(record) == ["profile", "seeds", "networks"]
    assert list(record["networks"]) == ["TN", "SN2", "SN1", "SN3"]
    share = record["networks"]["SN2"]["own-teacher share"]
    low, high = share["interval"]
    assert low < share["mean"] < high
    assert len(share["per_seed"]) == SEEDS


# The committed record, a second way


@pytest.fixture(scope="module", params=RECORDS)
def committed(request):
    """(the record, {network: confidences (seeds, n)}, {network: [Predictions]})"""
    profile, file = request.param
    record = json.loads((RESULTS / profile / file).read_text(encoding="utf-8"))
    assert record["seeds"] == command.files(profile)[file]
    study = command.kept(profile, record["seeds"])
    assert record["profile"] == profile
    assert record["networks"].keys() == study.predictions.keys()
    own = study.predictions
    return record, {name: np.array([p.mc_mean.max(1) for p in own[name]]) for name in own}, own


def of(record, name):
    """A network's measures in the record; skips the test if the study has no such network."""
    if name not in record["networks"]:
        pytest.skip(f"{record['profile']} has no {name}")
    return record["networks"][name]


def test_the_scales_and_fashion_mnist_have_records():
    assert {"paper", "quick", "quick-fashion"} <= {profile for profile, file in RECORDS if file == "transfer.json"}


@pytest.mark.parametrize("profile", ["paper", "quick", "quick-converged", "quick-fashion"])
def test_no_record_is_lacking_or_left_over(profile):
    """Once fresh seeds are shown, what was explored keeps a record of its own."""
    assert [file for folder, file in RECORDS if folder == profile] == sorted(command.files(profile))


def test_the_record_is_that_of_the_committed_predictions():
    """The smallest study is made again; the tests below compute all a second way."""
    file = list(command.files("paper"))[-1]
    stored = json.loads((RESULTS / "paper" / file).read_text(encoding="utf-8"))
    made = transferred.record(command.kept("paper", stored["seeds"]), "paper", stored["seeds"])
    for name, measures in stored["networks"].items():
        assert measures.keys() == made["networks"][name].keys()
        for measure, values in measures.items():
            for key, value in values.items():
                np.testing.assert_allclose(made["networks"][name][measure][key], value, rtol=1e-4, atol=1e-9)


def squares(c, name):
    return (c[name] - c["TN"]) ** 2


@pytest.mark.parametrize("architecture", ["SN1", "SN2", "SN3"])
def test_the_gains_are_logs_of_ratios_with_an_analysis_of_variance(committed, architecture):
    """The interval by the delta method: rows of influences, seeds by images."""
    record, c, _ = committed
    found = of(record, f"KD-{architecture}")["gain"]
    without, with_it = squares(c, architecture), squares(c, f"KD-{architecture}")
    values = np.log(without.mean(1) / with_it.mean(1))
    np.testing.assert_allclose(found["per_seed"], values, rtol=1e-4)
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-4)
    x = without / without.mean(1, keepdims=True) - with_it / with_it.mean(1, keepdims=True)
    seeds, images = x.shape
    of_seeds, of_images = values.var(ddof=1) / seeds, x.mean(0).var(ddof=1) / images
    rest = ((x - x.mean(0)) ** 2).sum() / (seeds - 1) / (images - 1) / seeds / images
    variance = of_seeds + max(of_images - rest, 0)
    half = scipy.stats.t.ppf(0.975, (seeds - 1) * (variance / of_seeds) ** 2) * np.sqrt(variance)
    np.testing.assert_allclose(found["interval"], values.mean() + half * np.array([-1, 1]), atol=0.1 * half)


def isotonic_mupe(student, teacher):
    """MUPE after scikit-learn's isotonic regression, cross-fitted."""
    order, error = np.random.default_rng(1).permutation(len(student)), 0.0
    for part in np.array_split(order, 5):
        rest = np.setdiff1d(order, part)
        fit = IsotonicRegression(out_of_bounds="clip").fit(student[rest], teacher[rest])
        error += ((fit.predict(student[part]) - teacher[part]) ** 2).sum()
    return error / len(student)


def test_the_recalibrated_gains_are_those_of_scikit_learn(committed):
    record, c, _ = committed
    found, teachers = record["networks"]["KD-SN2"], c["TN"]
    gains = [np.log(isotonic_mupe(c["SN2"][0], t) / isotonic_mupe(c["KD-SN2"][0], t)) for t in teachers]
    assert found["recalibrated gain, own teacher"]["per_seed"][0] == pytest.approx(gains[0], rel=1e-4)
    assert found["recalibrated gain, other teachers"]["per_seed"][0] == pytest.approx(np.mean(gains[1:]), rel=1e-4)
    means = {key: found[key]["mean"] for key in found}
    own, others = means["recalibrated gain, own teacher"], means["recalibrated gain, other teachers"]
    assert means["recalibrated gain, own − other teachers"] == pytest.approx(own - others, abs=1e-5)
    assert means["gain − recalibrated gain"] == pytest.approx(means["gain"] - own, abs=1e-5)


def kappa(students, teachers):
    """κ with NumPy's covariances."""
    count = len(students)
    both = np.cov(np.vstack([students, teachers]))
    mixed, among = both[:count, count:], both[count:, count:]
    apart = ~np.eye(count, dtype=bool)
    return (mixed.diagonal().mean() - mixed[apart].mean()) / (among.diagonal().mean() - among[apart].mean())


@pytest.mark.parametrize("name", STUDENTS)
def test_the_own_teacher_shares_are_ratios_of_covariances(committed, name):
    record, c, _ = committed
    found, (seeds, images) = of(record, name)["own-teacher share"], c["TN"].shape
    assert found["mean"] == pytest.approx(kappa(c[name], c["TN"]), rel=1e-4)
    left_out = [[kappa(*(np.delete(c[key], seed, 0) for key in (name, "TN"))) for seed in range(seeds)], []]
    groups = np.array_split(np.random.default_rng(1).permutation(images), 50)
    for group in groups:
        kept = np.setdiff1d(np.arange(images), group)
        left_out[1].append(kappa(c[name][:, kept], c["TN"][:, kept]))
    variance = sum((len(values) - 1) ** 2 / len(values) * np.var(values, ddof=1) for values in left_out)
    half = scipy.stats.t.ppf(0.975, seeds - 1) * np.sqrt(variance)
    np.testing.assert_allclose(found["interval"], found["mean"] + half * np.array([-1, 1]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", STUDENTS)
def test_the_ranks_of_mutual_information_are_spearmans(committed, name):
    record, _, predictions = committed
    found = of(record, name)["ρ of mutual information, own − other teachers"]
    students, teachers = (np.array([p.mutual_information for p in predictions[key]]) for key in (name, "TN"))
    count = len(students)
    rho = np.array([[scipy.stats.spearmanr(student, teacher)[0] for teacher in teachers] for student in students])
    by_hand = rho.diagonal() - (rho.sum(1) - rho.diagonal()) / (count - 1)
    assert found["per_seed"] == pytest.approx(by_hand, abs=1e-6)
    assert found["mean"] == pytest.approx(by_hand.mean(), abs=1e-6)


def test_a_student_ranks_by_disagreement_as_its_own_teacher_where_it_copied_it(study):
    found = {
        name: transferred.taken_over(study, name)["ρ of mutual information, own − other teachers"] for name in STUDENTS
    }
    low = {name: own.estimate.interval()[0] for name, own in found.items()}
    assert {name for name in found if low[name] > 0} == {"KD-SN2", "KD-SN3"}
    assert found["KD-SN3"].estimate.mean > found["KD-SN2"].estimate.mean


def shares_beyond_difficulty(c, name):
    """What each student knows of the first teacher, beyond the plain networks of other seeds, by scikit-learn."""
    order, predictors = np.random.default_rng(1).permutation(c["TN"].shape[1]), []
    for network in sorted(c.keys() - {"KD-SN1", "KD-SN2", "KD-SN3"}):
        predictors += [c[network][1:].mean(0), scipy.special.logit(c[network][1:].clip(0.0001, 0.9999)).mean(0)]

    def left(*more):
        x, error = np.column_stack([*predictors, *more]), 0.0
        for part in np.array_split(order, 5):
            rest = np.setdiff1d(order, part)
            fit = LinearRegression().fit(x[rest], c["TN"][0][rest])
            error += ((fit.predict(x[part]) - c["TN"][0][part]) ** 2).sum()
        return error

    return [1 - left(student) / left() for student in c[name]]


@pytest.mark.parametrize("name", ["KD-SN2", "KD-SN3"])
def test_what_goes_beyond_difficulty_is_that_of_scikit_learn(committed, name):
    record, c, _ = committed
    found, shares = of(record, name), shares_beyond_difficulty(c, name)
    assert found["beyond difficulty"]["per_seed"][0] == pytest.approx(shares[0], rel=1e-4)
    assert found["beyond difficulty, placebo"]["per_seed"][0] == pytest.approx(np.mean(shares[1:]), abs=1e-6)


def test_the_panel_is_of_the_networks_that_a_study_has(study):
    few = Study({name: study.predictions[name] for name in ("TN", "SN1", "KD-SN2", "SN2")}, study.weights)
    pairs = transferred.beyond_difficulty(few, "KD-SN2")
    shares = shares_beyond_difficulty({name: few.field(name, "confidence") for name in few.predictions}, "KD-SN2")
    np.testing.assert_allclose(pairs.values[0], shares, rtol=1e-4)
    assert abs(pairs.values[0] / transferred.beyond_difficulty(study, "KD-SN2").values[0] - 1).max() > 1e-3


@pytest.mark.parametrize("name", STUDENTS)
def test_the_other_measures_are_as_defined(committed, name):
    record, _, own = committed
    found = {key: value["per_seed"] for key, value in of(record, name).items()}
    for seed, (teacher, student) in enumerate(zip(own["TN"], own[name], strict=True)):
        t, s = teacher.mc_mean, student.mc_mean
        right = t.argmax(1) == teacher.labels
        expected = {
            "AUROC for the teacher's errors": roc_auc_score(right, s.max(1)),
            "KL(teacher ‖ student)": scipy.stats.entropy(t, s, axis=1).mean(),
            "signed gap, dropout on": s.max(1).mean() - (s.argmax(1) == student.labels).mean(),
            "signed gap, dropout off": student.deterministic.max(1).mean()
            - (student.deterministic.argmax(1) == student.labels).mean(),
        }
        disagree = [  # not a mean in 32 bits, which errs in the seventh digit: the logarithm can be near 0
            scipy.stats.entropy(p.mc_mean, axis=1).mean() - p.expected_entropy.mean(dtype=float)
            for p in (student, teacher)
        ]
        expected["log mutual information / teacher's"] = np.log(disagree[0] / disagree[1])
        squared = sorted((t.max(1) - s.max(1)) ** 2, reverse=True)
        carrying = found["images that carry nine tenths of MUPE"][seed]
        assert sum(squared[: int(carrying) - 1]) < 0.9 * sum(squared) <= sum(squared[: int(carrying)])
        passes = {"on": (s, t), "off": (student.deterministic, teacher.deterministic)}
        for one in passes:
            for other in passes:
                difference = passes[one][0].max(1) - passes[other][1].max(1)
                expected[f"MUPE, student's dropout {one}, teacher's {other}"] = (difference**2).mean()
        for key, value in expected.items():
            assert found[key][seed] == pytest.approx(value, rel=1e-4, abs=1e-7), key


@pytest.mark.parametrize("architecture", ["SN1", "SN2", "SN3"])
def test_gains_by_stratum_and_by_log_odds(committed, architecture):
    record, c, _ = committed
    found = {key: value["per_seed"] for key, value in of(record, f"KD-{architecture}").items()}
    for seed, teacher in enumerate(c["TN"]):
        without, with_it = (squares(c, name)[seed] for name in (architecture, f"KD-{architecture}"))
        for low, high, label in ((0, 0.9, "(0, 0.9]"), (0.9, 0.99, "(0.9, 0.99]"), (0.99, 1, "(0.99, 1]")):
            inside = (low < teacher) & (teacher <= high)
            expected = np.log(without[inside].mean() / with_it[inside].mean())
            assert found[f"gain where the teacher is in {label}"][seed] == pytest.approx(expected, rel=1e-4)
        for cap in (0.99, 0.999, 0.9999):
            odds = {
                name: scipy.special.logit(c[name][seed].clip(1 - cap, cap))
                for name in ("TN", architecture, f"KD-{architecture}")
            }
            left = [((odds[name] - odds["TN"]) ** 2).mean() for name in (architecture, f"KD-{architecture}")]
            key = f"gain in log-odds, confidence up to {cap}"
            assert found[key][seed] == pytest.approx(np.log(left[0] / left[1]), rel=1e-4, abs=1e-6)


def test_texts_are_the_records_numbers_and_dashes():
    record = {"networks": {"KD-SN1": {"gain": {"mean": 0.126, "interval": [0.1, 0.2]}}}}
    found = transferred.texts(record, {"raw": "gain", "share": "own-teacher share"}, ["KD-SN1", "KD-SN3"])
    assert found == {"KD-SN1": {"raw": "0.13 [0.10, 0.20]", "share": "–"}, "KD-SN3": {"raw": "–", "share": "–"}}
