"""The paper's claims: what each needs, whether a study meets it, and the record that the pages show.

The record is what results/<profile>/table1.json holds. "profile": its name. "seeds": their numbers. "precision":
{dtype: [seeds trained in it]}. "networks": {network: {"train", "validation", "accuracy", "ECE", "MUPE": {"mean",
"interval": [low, high], or null with one seed}}}. "claims": a list of {"claim", "says", "literal": "yes", "no" or "–",
"controlled": the verdict, "p" (Holm's), "paper", "conditions": a list of {"what", "needed", "found", "stands": "yes",
"no" or "open", and "mean" and "interval", or "p"}}. "plain_ladder": C3's conditions, of networks without
distillation. "definitions": {definition: {claim: verdict}}. "constant_predictor_mupe": the
mean over seeds of Var(c_T).
"""

import numpy as np
from scipy import stats as scipy_stats

from . import transfer
from .judging import FEWEST_SEEDS, Condition, judge, marked
from .stats import interval_text, seeds_only
from .study import DEFINITIONS, DETERMINISTIC

DELTAS = {"accuracy": 0.002, "ECE": 0.001, "log-ratio": float(np.log(1.25))}  # fixed before the runs
LADDER = ("KD-SN1", "KD-SN2", "KD-SN3")  # students of growing size
PLAIN_LADDER = ("SN1", "SN2", "SN3")  # the same without distillation
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
DIFFER = "open, as dropout on and off disagree"  # the two readings of ECE


def point_values(values):
    """{claim: (the paper's ordering, the rule's thresholds)}: whether point values alone meet them.

    values: {network: {"accuracy", "ECE", "MUPE"}}, as the paper prints or means over seeds; None where not published.
    None for C6 and C7, which Table 1 cannot tell: it has neither SN1 nor SN2's MUPE.
    """
    accuracy, ece, mupe = ({name: row.get(key) for name, row in values.items()} for key in ("accuracy", "ECE", "MUPE"))
    one, two, three = LADDER
    delta, apart = DELTAS["accuracy"], {name: abs(ece[name] - ece["TN"]) for name in LADDER}
    similar = {name: abs(accuracy[name] - accuracy["TN"]) <= delta for name in LADDER}
    same = abs(accuracy["SN2"] - accuracy[two]) <= delta
    falls = {key: row[one] > row[two] > row[three] for key, row in (("accuracy", accuracy), ("MUPE", mupe))}
    closest = apart[three] < min(apart[one], apart[two])
    return {
        "C1a": (all(similar.values()), all(similar.values())),
        "C1b": (same, same),
        "C2": (falls["accuracy"], falls["accuracy"] and accuracy[one] - accuracy[three] > delta),
        "C3": (falls["MUPE"], falls["MUPE"] and np.log(mupe[one] / mupe[three]) > DELTAS["log-ratio"]),
        "C4": (closest, closest),
        "C5": (ece["SN2"] > ece[two], ece["SN2"] - ece[two] > DELTAS["ECE"]),
        "C6": (None, None),
        "C7": (None, None),
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
    return Condition(f"accuracy {one} − {other}", difference, delta, p, "within", 0.9)


def trend(values, what):
    """The Condition that `values` {network: (seeds,)} fall along these networks, by Page's test.

    Page's test rejects that all are equal: it does not show each step. So the remark counts seeds with every step.
    """
    falling = np.stack(list(values.values()), 1)  # (seeds, networks)
    p = float(scipy_stats.page_trend_test(falling[:, ::-1]).pvalue) if len(falling) > 1 else None
    steps = int((np.diff(falling) < 0).all(1).sum())
    remark = f"at every step in {steps} of {len(falling)} seeds"
    return Condition(f"{what} falls along {', '.join(values)} (Page's trend)", None, p=p, remark=remark)


def capacity(study, ladder):
    """[Condition]: MUPE falls along a ladder of three networks of growing size."""
    mupe = {name: study.mupe(name) for name in ladder}
    first, last = ladder[0], ladder[-1]
    lower = mupe[first].log_ratio(mupe[last]).estimate()
    falls = trend({name: measure.values for name, measure in mupe.items()}, "MUPE")
    return [falls, Condition(f"log MUPE {first} / {last}", lower, DELTAS["log-ratio"])]


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
    *_, own = study.specificity("KD-SN2")
    found = {
        "C1a": [equally_accurate(study, name, "TN") for name in LADDER],
        "C1b": [equally_accurate(study, "KD-SN2", "SN2")],
        "C2": [
            trend({name: study.rows(name, "correct").mean(1) for name in LADDER}, "accuracy"),
            Condition("accuracy KD-SN1 − KD-SN3", more_accurate, DELTAS["accuracy"]),
        ],
        "C3": capacity(study, LADDER),
        **calibration_conditions(study),
        "C6": [
            Condition("gain G(SN2)", study.gain("SN2").estimate(), ratio),
            Condition("KD-SN2 resembles its own teacher", None, p=own if study.seeds > 1 else None),
        ],
    }
    if {"SN1", "SN3"} <= study.predictions.keys():
        one, three = study.gain("SN1"), study.gain("SN3")
        found["C7"] = [Condition("gain G(SN1)", one.estimate(), ratio, side="below", level=0.9)]
        found["C7"].append(Condition("G(SN3) − G(SN1)", (three - one).estimate()))
    return found


def verdicts(study):
    """[(claim, reading, conditions, Holm-adjusted p, verdict)]; C4 and C5 in both readings, one family of tests."""
    deterministic = calibration_conditions(study.by(DETERMINISTIC))
    family = [(claim, "", found) for claim, found in conditions(study).items()]
    family += [(claim, "deterministic", deterministic[claim]) for claim in ("C4", "C5")]
    judged = judge([found for *_, found in family], study.seeds)
    return [(*claim, *found) for claim, found in zip(family, judged, strict=True)]


def record(study, runs, paper):
    """The record (see above) of a Study of `runs`. paper: {network: {"test_accuracy", "ece", …}}, as published."""
    networks, definitions, precision = {}, {}, {}
    for run in runs:
        precision.setdefault(run.trained_in(study.predictions), []).append(run.seed)
    for name in study.predictions:
        own = [run.history(name) for run in runs]
        parts = {part: seeds_only([history[f"{part}_accuracy"] for history in own]) for part in ("train", "validation")}
        networks[name] = {key: e.record() for key, e in (parts | study.summary(name)).items()}
    for label, definition in DEFINITIONS.items():
        family = verdicts(study.by(definition))
        definitions[label] = {claim: controlled for claim, reading, *_, controlled in family if not reading}
    constant = np.mean([transfer.constant_predictor_mupe(own.confidence) for own in study.predictions["TN"]])
    about = {"profile": runs[0].profile.name, "seeds": [run.seed for run in runs], "precision": precision}
    about["networks"] = networks
    about |= {"claims": _claim_rows(study, networks, paper), "plain_ladder": _plain_ladder(study)}
    return about | {"definitions": definitions, "constant_predictor_mupe": constant}


def _claim_rows(study, networks, paper):
    means = {name: {key: value["mean"] for key, value in row.items()} for name, row in networks.items()}
    published = {name: {key: row[field] for key, field in PUBLISHED.items()} for name, row in paper.items()}
    literal, theirs = point_values(means), point_values(published)
    words = {None: "–", True: "yes", False: "no"}
    return [
        {
            "claim": claim + f" ({reading})" * bool(reading),
            "says": CLAIMS[claim],
            "literal": "–" if reading else words[literal[claim][0]],
            "controlled": controlled,
            "p": adjusted,
            "conditions": [condition.record() for condition in found],
            "paper": words[theirs[claim][1]] if theirs[claim][1] is not None else "not published",
        }
        for claim, reading, found, adjusted, controlled in verdicts(study)
    ]


def _plain_ladder(study):
    """What C3 asks, of networks that learned from labels alone: what they show, distillation does not explain."""
    known = set(PLAIN_LADDER) <= study.predictions.keys()
    return [condition.record() for condition in capacity(study, PLAIN_LADDER)] if known else []


def beside(record, paper):
    """{(network, measure): {"the paper", "here", "inside", "difference"}} of all that the paper's Table 1 holds."""
    rows = {}
    for name, published in paper.items():
        for key, field in PUBLISHED.items():
            if (theirs := published[field]) is not None:
                mean, interval = record["networks"][name][key].values()
                row = {"the paper": f"{theirs:.4f}", "here": interval_text(mean, interval)}
                row["inside"] = "–" if not interval else "yes" if interval[0] <= theirs <= interval[1] else "no"
                rows[name, key] = row | {"difference": f"{mean - theirs:+z.4f}"}
    return rows


def reasons(record):
    """{(claim, what): condition} of a record; after C3's those of networks trained on labels alone."""
    found = {}
    for row in record["claims"]:
        found |= {(row["claim"], own["what"]): own for own in row["conditions"]}
        if row["claim"] == "C3":
            found |= {("C3, labels alone", own["what"]): own for own in record.get("plain_ladder", ())}
    return found


def table(records):
    """{(claim, what): {column: text}} of {title: record}: what claims rest on; verdicts where seeds are enough.

    Of `judging.MARKS` one stands behind what was found. A narrow column may break a text before an interval, but not
    within: its ends are joined by a no-break space.
    """
    rows, told = {}, set()
    for (claim, what), first in reasons(next(iter(records.values()))).items():
        row = rows[claim, what] = {("", "needed"): first["needed"]}
        for title, own in records.items():
            row[title, "found"] = marked(reasons(own).get((claim, what))).replace(", ", ",\u00a0")
            if len(own["seeds"]) >= FEWEST_SEEDS:
                verdicts = {each["claim"]: each["controlled"] for each in own["claims"]}
                row[title, "verdict"] = "" if claim in told else verdicts.get(claim, "–")
        told.add(claim)
    return rows


def by_definition(record):
    """{(claim, definition): {"as in Table 1": verdict, "verdict by it": verdict}} where these two differ."""
    (first, own), *others = record["definitions"].items()
    return {
        (claim, label): {first: own[claim], "verdict by it": row[claim]}
        for claim in own
        for label, row in others
        if row[claim] != own[claim]
    }


def judged(record):
    """{claim: verdict}; DIFFER for a claim whose two readings of ECE differ."""
    found = {}
    for row in record["claims"]:
        claim = row["claim"].split()[0]  # without " (deterministic)"
        own = row["controlled"]
        found[claim] = own if found.get(claim, own) == own else DIFFER
    return found
