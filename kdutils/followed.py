"""How closely networks follow their teacher's passes, on the test images and under shift.

The record is what results/<profile>/followed.json holds: "profile", its name, and "readings", a list of {"network",
"dropout", "seeds", "images": {"test" or a shift of `shifts.NAMES`: {measure: {"mean", "interval": 95 %, "per_seed"}}}}.
A network is read with dropout "on", its hundred passes, or "off", one pass. All are set beside the teacher's hundred
passes, of which the record has accuracy, mean confidence and AUROC.
"""

from functools import cache

import numpy as np
import scipy.stats

from . import stats, transfer
from .recipes import ONE_PASS, answers_once
from .shifts import NAMES
from .study import Study
from .transferred import CORRECT, DROPOUT, Found, found, mupe

ENTROPY = {"on": "entropy", "off": "deterministic_entropy"}
INFORMATION = "mutual_information"
FULL = {"on": "mc_mean", "off": "deterministic"}  # (n, classes): of the test images alone
STRANGERS = ("digits", "fashion")  # shifts that a network is asked to tell from the test images
A_TENTH = 0.1  # of the images: those with the largest mutual information, where the teacher's passes disagree


def readings(name):
    """How a network is read: with dropout "on" and "off"; "off" alone, if it answers in one pass."""
    return ("off",) if answers_once(name) else ("on", "off")


def twin(name, networks):
    """The one-pass student of a student's architecture, if it is among `networks` and another one; else None."""
    architecture = ONE_PASS[name].architecture if name in ONE_PASS else name.removeprefix("KD-")
    student = f"ONE-{architecture}"
    return student if student in networks and student != name else None


def of_seeds(statistic, *rows):
    """Found of the mean of statistic(*rows), (seeds,), rows being arrays (seeds, n); three seeds at least."""
    return Found(stats.jackknife(lambda *rows: statistic(*rows).mean(), *rows), statistic(*rows))


def skills(teacher, student):
    """The skill (seeds,) of confidences (seeds, n), as `transfer.skill` of each row."""
    return 1 - ((teacher - student) ** 2).mean(1) / teacher.var(1)


def correlations(one, other):
    """Pearson's correlation (seeds,) of the rows of two arrays (seeds, n)."""
    one, other = (rows - rows.mean(1, keepdims=True) for rows in (one, other))
    return (one * other).mean(1) / (one.std(1) * other.std(1))


def rank_correlations(one, other):
    """Spearman's ρ (seeds,) of the rows of two arrays (seeds, n)."""
    return correlations(*(scipy.stats.rankdata(rows, axis=1) for rows in (one, other)))


def rank_correlations_unsure(teacher, student):
    """Spearman's ρ (seeds,) of two arrays (seeds, n), of each row where `teacher` is in its upper tenth."""
    unsure = np.argsort(teacher, axis=1)[:, -round(A_TENTH * teacher.shape[1]) :]
    return rank_correlations(*(np.take_along_axis(rows, unsure, 1) for rows in (teacher, student)))


def told_apart(known, strange):
    """AUROCs (seeds,): how likely a number of `strange` (seeds, n) is above one of `known` (seeds, m), ties half."""
    return scipy.stats.mannwhitneyu(strange, known, axis=1).statistic / (strange.shape[1] * known.shape[1])


def alone(study, name, dropout, test=None):
    """{measure: Found} of a network by itself; with the Study of the test images, how it tells `study`'s from them."""
    measures = {
        "accuracy": found(study.mean(study.field(name, CORRECT[dropout]).astype(float))),
        "mean confidence": found(study.mean(study.field(name, DROPOUT[dropout]))),
    }
    if test:
        kinds = {"entropy": ENTROPY[dropout]}
        kinds |= {"mutual information": INFORMATION} if name == "TN" and dropout == "on" else {}
        for kind, field in kinds.items():
            strange = study.field(name, field)
            known = test.field(name, field)[:, : strange.shape[1]]
            measures[f"AUROC by {kind}"] = of_seeds(told_apart, known, strange)
    return measures


def beside_teacher(study, name, dropout):
    """{measure: Found} of a network's reading beside its teacher's passes."""
    c_T, H_T, I_T = (study.field("TN", field) for field in ("confidence", "entropy", INFORMATION))
    confidence, entropy = study.field(name, DROPOUT[dropout]), study.field(name, ENTROPY[dropout])
    error = mupe(study, name, dropout)
    measures = {
        "MUPE": found(error),
        "skill": of_seeds(skills, c_T, confidence),
        "correlation": of_seeds(correlations, c_T, confidence),
        "ρ of entropy": of_seeds(rank_correlations, H_T, entropy),
        "ρ of entropy with mutual information": of_seeds(rank_correlations, I_T, entropy),
    }
    if dropout == "on" or answers_once(name):
        own = study.field(name, INFORMATION)
        measures["ρ of mutual information"] = of_seeds(rank_correlations, I_T, own)
        measures["ρ of mutual information, upper tenth"] = of_seeds(rank_correlations_unsure, I_T, own)
    if hasattr(study.predictions[name][0], FULL[dropout]):
        rows = zip(study.field("TN", "mc_mean"), study.field(name, FULL[dropout]), strict=True)
        divergence = study.mean(np.array([transfer.kl_of_images(*row) for row in rows]))
        if np.isfinite(divergence.values).all():  # else a student gives 0 to a class that its teacher allows
            measures["KL(teacher ‖ student)"] = found(divergence)
    if other := twin(name, study.predictions):
        measures["log MUPE / one-pass student's"] = found(error.log_ratio(mupe(study, other, "off")))
    return measures


def measures(study, name, dropout, test=None):
    """{measure: Found} of one reading of a network of a Study. test: as for `alone`."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of a network that says the same of every image: NaN
        own = alone(study, name, dropout, test)
        return own if (name, dropout) == ("TN", "on") else beside_teacher(study, name, dropout) | own


def record(runs, profile, names):
    """The record (see above) of the networks `names` from `runs`, a Run of `profile`, a name, for each seed.

    A network's seeds are those that have its predictions; fewer than three raise ValueError.
    """
    weights = cache(stats.image_weights)
    predictions = cache(lambda run, name, images: run.predictions(name, images))

    def study(own, images, *networks):
        found = {name: [predictions(run, name, images) for run in own] for name in networks}
        return Study(found, weights(len(found["TN"][0].labels)))

    made = []
    for name in names:
        own = [run for run in runs if run.has(name)]
        if len(own) < 3:
            raise ValueError(f"{name} must be predicted for at least three seeds, got {len(own)}")
        networks = dict.fromkeys(("TN", name, *filter(None, [twin(name, names)])))
        on = {images: study(own, images, *networks) for images in ("test", *NAMES)}
        seeds = [run.seed for run in own]
        for dropout in readings(name):
            measured = {key: measures(on[key], name, dropout, on["test"] if key in STRANGERS else None) for key in on}
            records = {key: {what: one.record() for what, one in row.items()} for key, row in measured.items()}
            made.append({"network": name, "dropout": dropout, "seeds": seeds, "images": records})
    return {"profile": profile, "readings": made}


def text(measure, digits=2):
    """A measure of the record as "mean [low, high]"; "–" for None."""
    return stats.interval_text(measure["mean"], measure["interval"], digits) if measure else "–"
