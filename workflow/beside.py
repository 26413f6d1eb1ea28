"""A user's own numbers beside the committed ones of the same profile: within their spread? The same to the bit?

python workflow/beside.py runs quick
"""

import sys

import numpy as np
from kdutils.calibration import expected_calibration_error
from kdutils.plumbing.store import expanded
from kdutils.profiles import resolve, seeds_in
from kdutils.runs import TABLE_1, Run
from kdutils.transfer import mupe
from report import ROOT, markdown, named

RESULTS = ROOT / "results"
FORMS = {"accuracy": "{:.2%}", "ECE": "{:.4f}", "MUPE": "{:.4f}"}
REASONS = {  # what a manifest says of how a network was made, and may explain other bits
    "precision": lambda manifest: manifest.get("training_precision"),
    "threads": lambda manifest: manifest["hardware"].get("threads"),
    "processor": lambda manifest: manifest["hardware"].get("gpu") or manifest["hardware"].get("processor"),
    "torch": lambda manifest: manifest["versions"].get("torch"),
}


def runs_in(root, profile):
    """The Runs of a profile's seeds in `root` that have all of Table 1's predictions."""
    seeds = seeds_in(expanded(root) / resolve(profile).name)
    found = [Run(profile, seed, root, read_only=True) for seed in seeds]
    return [run for run in found if all(map(run.has, TABLE_1))]


def measures(run, name):
    """{"accuracy", "ECE", "MUPE"} of one network of one seed; no MUPE for the teacher."""
    own = run.predictions(name)
    found = {"accuracy": own.correct.mean(), "ECE": expected_calibration_error(own.confidence, own.correct)}
    return found if name == "TN" else found | {"MUPE": mupe(run.predictions("TN").confidence, own.confidence)}


def place(value, others):
    """Where a value lies, seen from the smallest and the largest of `others`."""
    return "below" if value < min(others) else "above" if value > max(others) else "within"


def spread(own, committed):
    """(table, sentence): each mean of ours, and where it lies in the spread of the committed seeds."""
    lines, places = [["network", *FORMS]], []
    for name in TABLE_1:
        mine, theirs = ([measures(run, name) for run in runs] for runs in (own, committed))
        cells = [name]
        for measure, form in FORMS.items():
            if measure not in mine[0]:
                cells.append("–")
                continue
            mean = np.mean([found[measure] for found in mine])
            places.append(place(mean, [found[measure] for found in theirs]))
            cells.append(f"{form.format(mean)} {places[-1]}")
        lines.append(cells)
    count = f"{len(committed)} committed seed{'s' * (len(committed) > 1)}"
    return markdown(lines), f"{places.count('within')} of {len(places)} numbers lie within the spread of the {count}."


def bits(mine, theirs):
    """In a sentence, whether the predictions of two Runs of one seed agree to the bit, and if not, why that may be."""
    apart, reasons = {}, {}
    for name in TABLE_1:
        here, there = mine.manifest(name), theirs.manifest(name)
        if here["outputs"]["predictions.npz"] != there["outputs"]["predictions.npz"]:
            apart[name] = np.abs(mine.predictions(name).mc_mean - theirs.predictions(name).mc_mean).max()
            pairs = {what: (told(there), told(here)) for what, told in REASONS.items()}
            reasons |= {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
    if not apart:
        return f"Seed {mine.seed}: all predictions agree with the committed ones to the bit."
    why = "; ".join(f"{what} {here}, there {there}" for what, (there, here) in reasons.items())
    told = f"Seed {mine.seed}: predictions of {', '.join(apart)} differ from the committed ones, by up to "
    return told + f"{max(apart.values()):.2g} in a probability ({why or 'for no reason that the manifests tell'})."


def show(root, profile):
    """Print the comparison; nothing if no seeds of the profile are committed."""
    own, committed = runs_in(root, profile), runs_in(RESULTS, profile)
    if not own or not committed:
        return
    table, sentence = spread(own, committed)
    print(f"Yours (seeds {named([run.seed for run in own])}) beside the committed results\n\n{table}\n\n{sentence}")
    theirs = {run.seed: run for run in committed}
    for run in own:
        if run.seed in theirs:
            print(bits(run, theirs[run.seed]))
    print()


if __name__ == "__main__":
    show(*sys.argv[1:])
