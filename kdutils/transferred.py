"""What a study's students took over of their teachers: each measure of `transfer`, with its interval.

The record is what results/<profile>/transfer.json holds. "profile": its name. "seeds": their numbers. "networks":
{network: {measure: {"mean", "interval": 95 %, [low, high], "per_seed": one value a seed}}}. Gains, the logarithms of
ratios, stand with the distilled network. "dropout on" is the mean of the passes, "dropout off" a single pass.
"""

from typing import NamedTuple

import numpy as np

from . import stats, transfer
from .study import Measure

STRATA = ("(0, 0.9]", "(0.9, 0.99]", "(0.99, 1]")  # of the teacher's confidence, as `transfer.strata` counts them
CAPS = (0.99, 0.999, 0.9999)  # of confidences before their log-odds are taken: the gain depends on them
PANEL = ("TN", "SN1", "SN2", "SN3")  # networks that were trained on labels alone
DROPOUT = {"on": "confidence", "off": "deterministic_confidence"}
CORRECT = {"on": "correct", "off": "deterministic_correct"}
DIGITS = 6  # of a number in the record; the next ones depend on the machine


class Found(NamedTuple):
    """A measure's Estimate, and its value for each seed (seeds,)."""

    estimate: stats.Estimate
    per_seed: np.ndarray

    def record(self):
        """It as the record holds it."""
        return rounded(self.estimate.record() | {"per_seed": self.per_seed.astype(float).tolist()})


def rounded(value):
    """Numbers in dicts and lists as the record holds them; all else as it is."""
    if isinstance(value, dict):
        return {key: rounded(own) for key, own in value.items()}
    if isinstance(value, list):
        return list(map(rounded, value))
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def found(measure):
    """A Measure as Found."""
    return Found(measure.estimate(), measure.values)


# Pairs: a student and the teacher of its own or of another seed


def mean_of_pairs(study, rows):
    """The Measure (seeds, seeds) of a mean over images of rows (seeds, seeds, n)."""
    count, _, n = rows.shape
    values, resampled = study.mean(rows.reshape(-1, n))
    return Measure(values.reshape(count, count), resampled.reshape(-1, count, count))


def own(pairs):
    """The Measure (seeds,) of the pairs of a student and its own teacher, from that of all pairs (seeds, seeds)."""
    return Measure(*(part.diagonal(axis1=-2, axis2=-1) for part in pairs))


def others(pairs):
    """The Measure (seeds,) of the pairs of two seeds, as pseudo-values of the jackknife. Needs three seeds.

    A seed takes part by its student and by its teacher, which makes the means of rows depend on each other. Its
    pseudo-value is R · mean − (R − 1) · mean of the pairs without that seed. Their mean is the mean of all pairs.
    """
    return Measure(*map(_pseudo_values, pairs))


def _pseudo_values(pairs):  # (…, seeds, seeds) to (…, seeds)
    count = pairs.shape[-1]
    apart = np.where(np.eye(count, dtype=bool), 0, pairs)
    rows, whole = apart.sum(-1), apart.sum((-2, -1))[..., None]
    return whole / (count - 1) - (whole - rows - apart.sum(-2)) / (count - 2)


def found_others(pairs):
    """`others` as Found. The value of a seed is the mean over its row."""
    values = np.where(np.eye(len(pairs.values), dtype=bool), 0, pairs.values).sum(1) / (len(pairs.values) - 1)
    return Found(others(pairs).estimate(), values)


def recalibrated_mupe(study, name):
    """The Measure (seeds, seeds) of MUPE towards teacher j (column) of student i (row), recalibrated to it.

    Resampled test sets keep the functions of `transfer.recalibrated` that were fitted to all images.
    """
    teachers, students = study.field("TN", "confidence"), study.field(name, "confidence")
    rows = [[(transfer.recalibrated(s, t) - t) ** 2 for t in teachers] for s in students]
    return mean_of_pairs(study, np.array(rows))


def beyond_difficulty(study, name):
    """The Measure (seeds, seeds): which share of what the panel leaves of teacher i (row) does student j (column) know?

    The panel of teacher i: the study's networks of `PANEL`, of all other seeds.
    """
    teachers, students = study.field("TN", "confidence"), study.field(name, "confidence")
    panel = np.array([study.field(network, "confidence") for network in PANEL if network in study.predictions])
    alone, beside = [], []
    for row, teacher in enumerate(teachers):
        strangers = np.delete(panel, row, axis=1)  # (kinds, seeds − 1, n)
        alone.append(transfer.left_by_difficulty(teacher, strangers))
        beside.append([transfer.left_by_difficulty(teacher, strangers, student) for student in students])
    left, less = study.mean(np.array(alone)), mean_of_pairs(study, np.array(beside))
    return Measure(*(1 - part / whole[..., None] for part, whole in zip(less, left, strict=True)))


# The measures of a network


def mupe(study, name, student="on", teacher="on"):
    """MUPE as a Measure, with the student's dropout "on" or "off" and the teacher's likewise."""
    rows = study.field(name, DROPOUT[student]) - study.field("TN", DROPOUT[teacher])
    return study.mean(rows**2)


def signed_gaps(study, name):
    """{measure: Found} of mean confidence − accuracy: above 0 for an overconfident network."""
    gaps = {key: study.field(name, DROPOUT[key]) - study.field(name, CORRECT[key]) for key in DROPOUT}
    return {f"signed gap, dropout {key}": found(study.mean(gap)) for key, gap in gaps.items()}


def finds_errors(study, name):
    """AUROC of a network's confidence for the teacher's errors, as Found."""
    rows = study.field(name, "confidence"), study.field("TN", "correct")

    def of_seeds(confidence, correct):
        return np.array([transfer.auroc(*pair) for pair in zip(confidence, correct, strict=True)])

    return Found(stats.jackknife(lambda *rows: of_seeds(*rows).mean(), *rows), of_seeds(*rows))


def gains(study, name):
    """{measure: Found} of the gains of a distilled network over its architecture trained on labels alone."""
    plain = name.removeprefix("KD-")
    gain = study.gain(plain)
    pairs = recalibrated_mupe(study, plain).log_ratio(recalibrated_mupe(study, name))
    measures = {
        "gain": found(gain),
        "recalibrated gain, own teacher": found(own(pairs)),
        "recalibrated gain, other teachers": found_others(pairs),
        "recalibrated gain, own − other teachers": Found(
            (own(pairs) - others(pairs)).estimate(), own(pairs).values - found_others(pairs).per_seed
        ),
        "gain − recalibrated gain": found(gain - own(pairs)),
    }
    squares = [study.squares(plain), study.squares(name)]
    strata = np.array([transfer.strata(teacher) for teacher in study.field("TN", "confidence")])
    for index, stratum in enumerate(STRATA):
        without, with_it = (study.mean(rows * (strata == index)) for rows in squares)
        with np.errstate(invalid="ignore"):  # 0 / 0 in an empty stratum: NaN
            measures[f"gain where the teacher is in {stratum}"] = found(without.log_ratio(with_it))
    for cap in CAPS:
        teacher, *pair = (transfer.log_odds(study.field(key, "confidence"), cap) for key in ("TN", plain, name))
        without, with_it = (study.mean((rows - teacher) ** 2) for rows in pair)
        measures[f"gain in log-odds, confidence up to {cap}"] = found(without.log_ratio(with_it))
    return measures


def taken_over(study, name):
    """{measure: Found} of what a student has of its teacher, whether it was distilled or not."""
    teachers, students = study.field("TN", "confidence"), study.field(name, "confidence")
    share = stats.jackknife(transfer.own_teacher_share, students, teachers)
    pairs = beyond_difficulty(study, name)
    disagreement = [study.field(key, "mutual_information") for key in (name, "TN")]
    information = [study.mean(rows) for rows in disagreement]
    ranks = stats.jackknife(lambda *rows: transfer.own_teacher_ranks(*rows).mean(), *disagreement)
    images = np.array([transfer.images_that_carry(*pair) for pair in zip(teachers, students, strict=True)])
    probabilities = zip(study.field("TN", "mc_mean"), study.field(name, "mc_mean"), strict=True)
    measures = {
        f"MUPE, student's dropout {student}, teacher's {teacher}": found(mupe(study, name, student, teacher))
        for teacher in DROPOUT
        for student in DROPOUT
    }
    return measures | {
        "own-teacher share": Found(share, transfer.own_teacher_shares(students, teachers)),
        "beyond difficulty": found(own(pairs)),
        "beyond difficulty, placebo": found_others(pairs),
        "log mutual information / teacher's": found(information[0].log_ratio(information[1])),
        "ρ of mutual information, own − other teachers": Found(ranks, transfer.own_teacher_ranks(*disagreement)),
        "images that carry nine tenths of MUPE": Found(stats.seeds_only(images), images),
        "KL(teacher ‖ student)": found(study.mean(np.array([transfer.kl_of_images(*pair) for pair in probabilities]))),
    }


def measures(study, name):
    """{measure: Found} of a network of a Study. Of TN: its own pass with dropout off as a student of its passes."""
    common = signed_gaps(study, name) | {"AUROC for the teacher's errors": finds_errors(study, name)}
    if name == "TN":
        return {"MUPE, student's dropout off, teacher's on": found(mupe(study, "TN", "off"))} | common
    return (gains(study, name) if name.startswith("KD-") else {}) | taken_over(study, name) | common


def record(study, profile, seeds):
    """The record (see above) of a Study of `profile`, a name, and `seeds`; ValueError for fewer than three seeds."""
    if len(seeds) < 3:
        raise ValueError(f"seeds must be at least three, got {len(seeds)}")
    networks = {
        name: {key: value.record() for key, value in measures(study, name).items()} for name in study.predictions
    }
    return {"profile": profile, "seeds": seeds, "networks": networks}


def texts(record, measures, networks, digits=2):
    """{network: {label: "mean [low, high]"}} of measures {label: measure} in a record; "–" where there is none."""
    found = {name: record["networks"].get(name, {}) for name in networks}
    return {
        name: {
            label: stats.interval_text(row[key]["mean"], row[key]["interval"], digits) if key in row else "–"
            for label, key in measures.items()
        }
        for name, row in found.items()
    }
