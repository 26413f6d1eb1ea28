"""The paper's claims: what each needs, whether a study meets it, and the record that the pages show.

The record is what results/<profile>/table1.json holds. "profile": its name. "seeds": their numbers. "precision":
{dtype: [seeds trained in it]}. "networks": {network: {"train", "validation", "accuracy", "ECE", "MUPE": {"mean",
"interval": [low, high], or null with one seed}}}. "claims": a list of {"claim", "says", "literal", "controlled", "p"
(Holm's), "paper", "conditions": a list of {"what", "needed", "found", "stands": "yes", "no" or "open", and "mean" and
"interval", or "p"}}. "definitions": {definition: {claim: controlled verdict}}. "constant_predictor_mupe": the mean
over seeds of Var(c_T).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from . import transfer
from .stats import Estimate, holm, seeds_only
from .study import DEFINITIONS, DETERMINISTIC

FEWEST_SEEDS = 10  # for a controlled verdict, by the rule fixed beforehand
DELTAS = {"accuracy": 0.002, "ECE": 0.001, "log-ratio": float(np.log(1.25))}  # fixed before the runs
LADDER = ("KD-SN1", "KD-SN2", "KD-SN3")  # students of growing size
CLAIMS = {
    "C1a": "the distilled students match the teacher's accuracy",
    "C1b": "SN2 is equally accurate with and without distillation",
    "C2": "the larger distilled students are less accurate here",
    "C3": "MUPE falls as the student grows",
    "C4": "KD-SN3's calibration is the closest to the teacher's",
    "C5": "distillation improves SN2's calibration",
    "C6": "the teacher's uncertainty is transferred",
    "C7": "a student of low capacity takes over none of it",
}
# what the record calls a measure, and what the paper's table calls it
PUBLISHED = {"train": "train_accuracy", "validation": "validation_accuracy", "accuracy": "test_accuracy"}
PUBLISHED |= {"ECE": "ece", "MUPE": "mupe"}
DIFFER = "dependent on the definition"  # of ECE: with MC dropout, or with dropout off


class Condition(NamedTuple):
    """One requirement of a claim: `estimate` lies above `bound`, or, for an equivalence, within ± `bound` of 0.

    p: of a test that replaces the t test; then there may be no estimate. level: of the interval. met: of a requirement
    without chance, which has neither estimate nor p.
    """

    what: str
    estimate: Estimate | None
    bound: float = 0.0
    p: float | None = None
    equivalence: bool = False
    level: float = 0.95
    met: bool | None = None

    def p_value(self):
        """Of the test that this requirement does not hold; 0 or 1 for one without chance."""
        if self.met is not None:
            return float(not self.met)
        return self.estimate.p_above(self.bound) if self.p is None else self.p

    def holds(self):
        """Whether the whole interval lies where the claim says (a test without estimate: p < 0.05)."""
        if self.estimate is None:
            return self.p_value() < 0.05
        low, high = self.estimate.interval(self.level)
        return bool(-self.bound < low and high < self.bound if self.equivalence else low > self.bound)

    def refuted(self):
        """Whether it lies wholly on the other side, or (90 % interval) no difference that would matter is shown."""
        if self.estimate is None:
            return False
        low, high = self.estimate.interval()
        if self.equivalence:
            return bool(low > self.bound or high < -self.bound)
        narrow = self.estimate.interval(0.9)
        return bool(high < min(0, self.bound) or (-self.bound < narrow[0] and narrow[1] < self.bound))

    def record(self):
        """It as the record holds it: what was needed, what was found, and whether it stands, taken alone."""
        if self.met is not None:
            answer = "yes" if self.met else "no"
            return {"what": self.what, "needed": "yes", "found": answer, "stands": answer}
        row = {"what": self.what, "stands": "yes" if self.holds() else "no" if self.refuted() else "open"}
        if self.estimate is None:
            return row | {"needed": "p < 0.05", "found": f"p = {self.p:.2g}", "p": self.p}
        needed = f"within ± {self.bound:.3f}" if self.equivalence else f"above {self.bound:.3f}"
        row |= {"needed": needed, "found": self.estimate.text(level=self.level)}
        return row | {"mean": self.estimate.mean, "interval": self.estimate.bounds(self.level)}


def verdict(conditions, adjusted_p, seeds):
    """The controlled verdict on a claim: "reproduced", "not reproduced" or "inconclusive"."""
    if seeds < FEWEST_SEEDS:
        return "inconclusive"
    if all(condition.holds() for condition in conditions) and adjusted_p < 0.05:
        return "reproduced"
    return "not reproduced" if any(condition.refuted() for condition in conditions) else "inconclusive"


def point_values(values):
    """{claim: (the paper's ordering, the rule's thresholds)}: whether point values alone meet them.

    values: {network: {"accuracy", "ECE", "MUPE"}}, as the paper prints or means over seeds; None where not published.
    """
    accuracy, ece, mupe = ({name: row.get(key) for name, row in values.items()} for key in ("accuracy", "ECE", "MUPE"))
    one, two, three = LADDER
    delta, apart = DELTAS["accuracy"], {name: abs(ece[name] - ece["TN"]) for name in LADDER}
    similar = {name: abs(accuracy[name] - accuracy["TN"]) <= delta for name in LADDER}
    same = abs(accuracy["SN2"] - accuracy[two]) <= delta
    falls = {key: row[one] > row[two] > row[three] for key, row in (("accuracy", accuracy), ("MUPE", mupe))}
    closest = apart[three] < min(apart[one], apart[two])
    least = mupe[one] > max(mupe[two], mupe[three])
    return {
        "C1a": (all(similar.values()), all(similar.values())),
        "C1b": (same, same),
        "C2": (falls["accuracy"], falls["accuracy"] and accuracy[one] - accuracy[three] > delta),
        "C3": (falls["MUPE"], falls["MUPE"] and np.log(mupe[one] / mupe[three]) > DELTAS["log-ratio"]),
        "C4": (closest, closest),
        "C5": (ece["SN2"] > ece[two], ece["SN2"] - ece[two] > DELTAS["ECE"]),
        "C6": (least, None),
        "C7": (least and apart[one] > max(apart[two], apart[three]), None),
    }


def equally_accurate(study, one, other):
    """The Condition that two networks are equally accurate, by two one-sided paired t tests."""
    delta, p = DELTAS["accuracy"], 1.0
    if study.seeds > 1:
        from statsmodels.stats.weightstats import ttost_paired

        means = (study.rows(name, "correct").mean(1) for name in (one, other))
        with np.errstate(divide="ignore", invalid="ignore"):
            p = float(np.nan_to_num(ttost_paired(*means, -delta, delta)[0], nan=0.0))
    difference = study.accuracy_difference(one, other).estimate()
    return Condition(f"accuracy {one} − {other}", difference, delta, p, True, 0.9)


def trend(values, what):
    """The Condition that `values` {network: (seeds,)} fall along LADDER, by Page's test."""
    rising = np.stack([values[name] for name in reversed(LADDER)], 1)
    p = scipy_stats.page_trend_test(rising).pvalue if len(rising) > 1 else 1.0
    return Condition(f"{what} falls along {', '.join(LADDER)} (Page's trend)", None, p=float(p))


def calibration_conditions(study):
    """{"C4", "C5": [Condition]} of the controlled rule."""
    apart = {name: np.abs(study.ece_values(name) - study.ece_values("TN")) for name in LADDER}
    closer = {name: seeds_only(apart[name] - apart["KD-SN3"]) for name in LADDER[:2]}
    lower, agrees = (study.ece("SN2") - study.ece("KD-SN2")).estimate(), bool(study.ks("SN2") > study.ks("KD-SN2"))
    return {
        "C4": [Condition(f"|ECE − TN's|, {name} − KD-SN3", estimate) for name, estimate in closer.items()],
        "C5": [Condition("ECE SN2 − KD-SN2", lower, DELTAS["ECE"]), Condition("KS error agrees", None, met=agrees)],
    }


def conditions(study):
    """{claim: [Condition]} of the controlled rule; C7 only of a study that has SN1 and SN3."""
    ratio, more_accurate = DELTAS["log-ratio"], study.accuracy_difference("KD-SN1", "KD-SN3").estimate()
    mupe = {name: study.mupe(name) for name in LADDER}
    found = {
        "C1a": [equally_accurate(study, name, "TN") for name in LADDER],
        "C1b": [equally_accurate(study, "KD-SN2", "SN2")],
        "C2": [
            trend({name: study.rows(name, "correct").mean(1) for name in LADDER}, "accuracy"),
            Condition("accuracy KD-SN1 − KD-SN3", more_accurate, DELTAS["accuracy"]),
        ],
        "C3": [
            trend({name: measure.values for name, measure in mupe.items()}, "MUPE"),
            Condition("log MUPE KD-SN1 / KD-SN3", mupe["KD-SN1"].log_ratio(mupe["KD-SN3"]).estimate(), ratio),
        ],
        **calibration_conditions(study),
        "C6": [
            Condition("gain G(SN2)", study.gain("SN2").estimate(), ratio),
            Condition("KD-SN2 resembles its own teacher", None, p=study.specificity("KD-SN2")[2]),
        ],
    }
    if {"SN1", "SN3"} <= study.predictions.keys():
        one, three = study.gain("SN1"), study.gain("SN3")
        found["C7"] = [Condition("−G(SN1)", (-one).estimate(), -ratio, level=0.9)]
        found["C7"].append(Condition("G(SN3) − G(SN1)", (three - one).estimate()))
    return found


def verdicts(study):
    """[(claim, reading, conditions, Holm-adjusted p, verdict)]; C4 and C5 in both readings, one family of tests."""
    deterministic = calibration_conditions(study.by(DETERMINISTIC))
    family = [(claim, "", found) for claim, found in conditions(study).items()]
    family += [(claim, "deterministic", deterministic[claim]) for claim in ("C4", "C5")]
    adjusted = holm([max(condition.p_value() for condition in found) for *_, found in family])
    tested = zip(family, adjusted, strict=True)
    return [(*claim, float(p), verdict(claim[2], p, study.seeds)) for claim, p in tested]


def record(study, profile, seeds, precision, histories, paper):
    """The record (see above) of a Study of `profile`, a name, and `seeds`.

    precision: {dtype: [seeds trained in it]}. histories: {network: [history of each seed]}. paper: {network:
    {"test_accuracy", "ece", "mupe", …}}, as published.
    """
    networks, definitions = {}, {}
    for name, own in histories.items():
        parts = {part: seeds_only([history[f"{part}_accuracy"] for history in own]) for part in ("train", "validation")}
        found = parts | study.summary(name)
        networks[name] = {key: {"mean": e.mean, "interval": e.bounds()} for key, e in found.items()}
    for label, definition in DEFINITIONS.items():
        family = verdicts(study.by(definition))
        definitions[label] = {claim: controlled for claim, reading, *_, controlled in family if not reading}
    constant = np.mean([transfer.constant_predictor_mupe(own.confidence) for own in study.predictions["TN"]])
    about = {"profile": profile, "seeds": seeds, "precision": precision, "networks": networks}
    about |= {"claims": _claim_rows(study, networks, paper)}
    return about | {"definitions": definitions, "constant_predictor_mupe": constant}


def _claim_rows(study, networks, paper):
    means = {name: {key: value["mean"] for key, value in row.items()} for name, row in networks.items()}
    published = {name: {key: row[field] for key, field in PUBLISHED.items()} for name, row in paper.items()}
    literal, theirs = point_values(means), point_values(published)
    return [
        {
            "claim": claim + f" ({reading})" * bool(reading),
            "says": CLAIMS[claim],
            "literal": "–" if reading else "holds" if literal[claim][0] else "fails",
            "controlled": controlled,
            "p": adjusted,
            "conditions": [condition.record() for condition in found],
            "paper": {None: "not published", True: "yes", False: "no"}[theirs[claim][1]],
        }
        for claim, reading, found, adjusted, controlled in verdicts(study)
    ]


def enough(record):
    """Whether a study has the seeds that a verdict needs."""
    return len(record["seeds"]) >= FEWEST_SEEDS


def judged(record):
    """{claim: verdict}; with too few seeds, what its conditions say, each taken alone ("… so far").

    DIFFER for a claim whose two readings of ECE differ.
    """
    found = {}
    for row in record["claims"]:
        claim = row["claim"].split()[0]  # without " (deterministic)"
        stands = {condition["stands"] for condition in row["conditions"]}
        so_far = "fails so far" if "no" in stands else "open so far" if "open" in stands else "holds so far"
        own = row["controlled"] if enough(record) else so_far
        found[claim] = own if found.get(claim, own) == own else DIFFER
    return found
