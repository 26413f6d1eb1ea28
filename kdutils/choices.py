"""Would another choice in training change an answer? What C1b, C5, C6 and C7 rest on, with students trained otherwise.

The record is what results/<profile>/sensitivity.json holds. "profile": whose students were trained otherwise. "seeds":
their numbers. "claims": {difference: {"means": {choice: mean}, "turned": [choices whose interval lies on another side
than that of our own choice over all seeds]}}.
"""

import json

from .claims import DELTAS
from .plumbing.store import project_root
from .profiles import seeds_in, variants
from .runs import Run
from .stats import interval_text

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


def with_variants(study, networks, base=()):
    """The Runs beside which students were trained otherwise: base, else `study`, else the committed ones of `quick`.

    study: [Run]. base: of `original`, the runs whose profile `study` changes. The last only if `study` is committed.
    """
    own = list(base) or study
    root = own[0].root
    if base or trained_otherwise(own, networks) or not own[0].read_only:
        return own
    kept = json.loads((root / "quick" / "table1.json").read_text(encoding="utf-8"))["seeds"]
    return [Run("quick", seed, root, read_only=True) for seed in kept]


def side_by_side(study, base, networks):
    """{choice: its runs that have all `networks`}, first our own choice with the seeds that all have; {} if none.

    base: of `with_variants`. Where `study` changes the profile of `base`, this change is a choice, too.
    """
    found = trained_otherwise(base, networks)
    if study[0].profile.base == base[0].profile.name:
        found = {changed(study[0].profile): study} | found
    if not found:
        return {}
    shared = shared_seeds(found)
    first = [run for run in base if run.seed in shared] or base
    return {f"as chosen, {len(first)} seeds": first} | found


def shared_seeds(groups):
    """The seeds that all groups {choice: runs} have, sorted; [] of no group."""
    return sorted(set.intersection(*({run.seed for run in runs} for runs in groups.values()))) if groups else []


def original(runs, networks):
    """The Runs that all have `networks`, of the profile that the one of `runs` changes; [] if it changes none.

    Those of the same seeds beside `runs`; without any, all committed ones.
    """
    base, results = runs[0].profile.base, project_root() / "results"
    beside = [(runs[0].root, [run.seed for run in runs]), (results, seeds_in(results / base))] if base else []
    for root, seeds in beside:
        found = [Run(base, seed, root, read_only=True) for seed in seeds]
        if found := [run for run in found if all(map(run.has, networks))]:
            return found
    return []


def changed(profile):
    """What a profile changes of its base, in words: "temperature 3.0"."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in profile.changes.items())


def own_sizes(profile):
    """{architecture: number of parameters} of the student that a profile changes; {} without one. Loads torch."""
    if not profile.student:
        return {}
    from . import models

    name = profile.student.split(":")[0]
    return {name: models.parameter_count(models.build(name, design=profile.design(name)))}


def beside(record):
    """{(network, measure): {profile: its value}} of a record of `claims` and of its "original", the latter first."""
    both, rows = (record["original"], record), {}
    for name, measures in record["networks"].items():
        for key in measures:
            told = {own["profile"]: interval_text(*own["networks"][name][key].values()) for own in both}
            first, last = (own["networks"][name][key]["mean"] for own in both)
            rows[name, key] = told | {"difference": f"{last - first:+z.4f}"}
    return rows


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


def answers(rows):
    """{choice: {claim: of `sides`}} of {choice: differences}; below the first row a dot where nothing changes."""
    (first, found), *others = rows.items()
    own = sides(found)
    told = {label: sides(found).items() for label, found in others}
    return {first: own} | {
        label: {claim: "·" if side == own[claim] else side for claim, side in each} for label, each in told.items()
    }


def record(profile, seeds, own, trained):
    """The record (see above). own: the differences with our choice, all seeds; trained: {choice: differences}."""
    claims, chosen = {}, sides(own)
    for what in own:
        claim = what.split(":")[0]
        means = {label: found[what].mean for label, found in trained.items()}
        turned = [label for label, found in trained.items() if sides(found)[claim] not in (chosen[claim], "open")]
        claims[what] = {"means": means, "turned": turned}
    return {"profile": profile, "seeds": seeds, "claims": claims}
