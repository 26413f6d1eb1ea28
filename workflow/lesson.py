"""What a one-pass student learns from, and what it says of digits that turn, into results/.

python workflow/lesson.py quick 10-12    of networks that are trained if missing

results/quick/lesson.json: how sure the teacher's passes are on the training images, on the views of them and on the
test images, with the counts of its confidences in ten bins. results/quick/turned.npz: of the first seed, what the
passes of the teacher and of KD-SN2 and one pass of ONE-SN2 say of the first test image of each digit, turned by
"angles"; "digits" are those images' numbers.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from kdutils import making, mc_dropout, one_pass, shifts
from kdutils.data import Part
from kdutils.plumbing.machine import provenance
from kdutils.plumbing.store import to_json, to_npz, write_atomically
from kdutils.profiles import derive_seed, parse_seeds
from kdutils.recipes import ONE_PASS, answers_once
from kdutils.runs import Run

RESULTS = Path(__file__).resolve().parent.parent / "results"
STUDENT = "ONE-SN1"
TURNED = ("TN", "KD-SN2", "ONE-SN2")
ANGLES = range(-90, 91, 5)  # degrees, anticlockwise


def confidences(run):
    """{kind of images: the confidences (n,) of the teacher's passes on what the student learns, and on the test}."""
    train = run.parts["train"]
    own, *views = (run.answers("TN", Part(images, train.labels)) for images in making.lessons(run, ONE_PASS[STUDENT]))
    return {
        "training images": own.confidence,
        "views of them": np.concatenate([view.confidence for view in views]),
        "test images": run.predictions("TN").confidence,
    }


def images(runs):
    """{kind of images: {"mean", "at most 0.9": share, both for each run, "counts": of all runs, in ten bins}}."""
    found = [confidences(run) for run in runs]
    return {
        kind: {
            "mean": [round(float(own[kind].mean()), 4) for own in found],
            "at most 0.9": [round(float((own[kind] <= 0.9).mean()), 4) for own in found],
            "counts": np.histogram(np.concatenate([own[kind] for own in found]), 10, (0, 1))[0].tolist(),
        }
        for kind in found[0]
    }


def turned(run):
    """The arrays of turned.npz: "angles" in degrees, "digits", and probabilities (angles, digits, classes)."""
    test = run.parts["test"]
    digits = np.array([np.flatnonzero(test.labels == digit)[0] for digit in range(10)])
    images = np.concatenate([shifts.rotated(test.images[digits], angle) for angle in ANGLES])
    found = {}
    for name in TURNED:
        options = {"passes": run.profile.mc_passes, "seed": derive_seed(run.seed, name, "mc_dropout", "turned")}
        predict = one_pass.predict if answers_once(name) else partial(mc_dropout.predict, **options)
        found[name] = predict(run.network(name), images).mean.reshape(len(ANGLES), len(digits), -1).astype(np.float16)
    return {"angles": np.array(ANGLES), "digits": digits} | found


def main(profile, seeds, runs=None):
    opened = [Run(profile, seed, runs) for seed in parse_seeds(seeds)]
    record = {"profile": profile, "seeds": [run.seed for run in opened], "images": images(opened)}
    write_atomically(RESULTS / profile / "lesson.json", to_json(provenance() | record))
    write_atomically(RESULTS / profile / "turned.npz", to_npz(turned(opened[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
