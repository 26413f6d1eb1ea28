"""How long a run should take, from how long the committed one took: what workflow/live.py estimates with."""

import json
import re
import statistics
from collections import defaultdict
from pathlib import Path

import further
import variant
from kdutils.profiles import resolve, variants
from kdutils.runs import NETWORKS, TABLE_1, Run

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
FILES = {"training": ("weights.safetensors", "history.json"), "prediction": ("predictions.npz",)}


def measured(name):
    """{(network, stage): median seconds over the committed seeds of a profile}; a training's evaluation included."""
    found = defaultdict(list)
    for path in sorted((RESULTS / name).glob("seed-*/*/manifest.json")):
        seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]
        found[path.parent.name, "training"].append(seconds["training"] + seconds["evaluation"])
        found[path.parent.name, "prediction"].append(seconds["prediction"])
    return {key: statistics.median(values) for key, values in found.items()}


def seconds(profile):
    """{(network, stage): seconds} of a Profile: as measured, or in proportion to what its base or `quick` took."""
    known = next(name for name in (profile.name, profile.base, "quick") if name and measured(name))
    of = profile if known == profile.name else resolve(known)
    work = {"training": lambda own: own.train_images * own.epochs, "prediction": lambda own: own.test_images}
    return {key: value * work[key[1]](profile) / work[key[1]](of) for key, value in measured(known).items()}


def of_notebooks():
    """{notebook: seconds} of those that train nothing, as their committed copies say in their last cell."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("0[15678]*.ipynb")):
        if match := re.search(r'"(\d+) s on \d{4}-', path.read_text(encoding="utf-8")):
            found[path.stem] = float(match[1])
    return found


def jobs_of(runs, controls, target):
    """{job: (Run, the networks that it makes)}; job: what is left of its name without a notebook's, "t8-seed-0"."""
    if target == "one_pass":
        return {f"one-pass-seed-{run.seed}": (run, further.TRAINED.get(run.profile.name, ())) for run in runs}
    networks = ("TN",) if target == "sensitivity" else NETWORKS if controls else TABLE_1
    jobs = {f"seed-{run.seed}": (run, networks) for run in runs}
    for run in runs if target == "sensitivity" else ():
        for name in variants(run.profile):
            made = Run(f"{run.profile.name}-{name}", run.seed, run.root)
            jobs[f"{name}-seed-{run.seed}"] = made, variant.STUDENTS
    return jobs


def planned(runs, controls, target=""):
    """{(job, network, stage): seconds} of all that Snakemake's `target` still has to make of these Runs, "": the paper.

    A notebook that trains nothing is a job without a network. Of networks that several jobs need, the first makes them.
    """
    plan, made = {}, set()
    for job, (run, names) in jobs_of(runs, controls, target).items():
        for name, (stage, files) in ((name, each) for name in names for each in FILES.items()):
            folder = run.store(name).folder, stage
            if folder not in made and (run.lacks(name, *files) or (job, name, "training") in plan):
                plan[job, name, stage] = seconds(run.owner(name)).get((name, stage), 0)
            made.add(folder)
    wanted = {"sensitivity": "", "one_pass": "8"}.get(target, "1567" if controls and len(runs) > 2 else "156")
    own = {name: cost for name, cost in of_notebooks().items() if name[1] in wanted}
    proof = runs[0].output / "notebooks"
    return plan | {(name, "", ""): cost for name, cost in own.items() if plan or not (proof / f"{name}.json").exists()}
