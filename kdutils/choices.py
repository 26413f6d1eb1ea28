"""Would another choice in training change an answer? What C1b, C5, C6 and C7 rest on, with students trained otherwise.

The record is what results/<profile>/sensitivity.json holds. "profile": whose students were trained otherwise. "seeds":
their numbers. "claims": {difference: {"means": {choice: mean}, "turned": [choices whose interval lies on another side
than that of our own choice over all seeds]}}.
"""

from .claims import DELTAS
from .profiles import variants
from .runs import Run

CHOSEN = "temperature {:g}, as chosen"
LABELS = {
    "t1": "temperature 1",
    "t2": "temperature 2",
    "t8": "temperature 8",
    "t16": "temperature 16",
    "no-t2": "without the factor τ²",
    "soft-0.9": "soft weight 0.9",
    "mc-targets": "soft targets from the MC mean",
    "twice": "twice the epochs",
}
SMALL = {  # a difference on which a claim rests: below which size it is too small to matter
    "C1b: accuracy (points) SN2 − KD-SN2": 100 * DELTAS["accuracy"],
    "C5: ECE SN2 − KD-SN2": DELTAS["ECE"],
    "C6: gain G(SN2)": DELTAS["log-ratio"],
    "C7: gain G(SN1)": DELTAS["log-ratio"],
}


def trained_otherwise(runs, networks):
    """{choice: its runs that have all `networks`}, of the seeds of `runs`; without choices that have none."""
    found = {}
    for variant in variants(runs[0].profile):
        own = [Run(f"{run.profile.name}-{variant}", run.seed, run.root, read_only=True) for run in runs]
        found[LABELS[variant]] = [run for run in own if all(map(run.has, networks))]
    return {label: own for label, own in found.items() if own}


def differences(study):
    """{difference: Estimate} of `SMALL`; the last one only of a study that has SN1."""
    points = (100.0 * study.rows(name, "correct") for name in ("SN2", "KD-SN2"))
    found = [study.mean(next(points) - next(points)), study.ece("SN2") - study.ece("KD-SN2")]
    found += [study.gain(name) for name in ("SN2", "SN1") if name in study.predictions]
    return dict(zip(SMALL, (measure.estimate() for measure in found), strict=False))


def sides(found):
    """{claim: where its interval lies}: "above", "below" or "inside" the band of small differences, or "open"."""
    places = {}
    for what, estimate in found.items():
        (low, high), small = estimate.interval(), SMALL[what]
        known = {"above": low > small, "below": high < -small, "inside": -small <= low and high <= small}
        places[what.split(":")[0]] = next((side for side, there in known.items() if there), "open")
    return places


def record(profile, seeds, own, trained):
    """The record (see above). own: the differences with our choice, all seeds; trained: {choice: differences}."""
    claims, chosen = {}, sides(own)
    for what in own:
        claim = what.split(":")[0]
        means = {label: found[what].mean for label, found in trained.items()}
        turned = [label for label, found in trained.items() if sides(found)[claim] not in (chosen[claim], "open")]
        claims[what] = {"means": means, "turned": turned}
    return {"profile": profile, "seeds": seeds, "claims": claims}
