"""Measure how closely each network follows its teacher's passes, on test images and under shift, into results/.

python workflow/followed.py    writes results/<scale>/followed.json, of the seeds with one-pass students, in minutes
"""

from kdutils import followed
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import PROFILES, of_one_stage, seeds_in
from kdutils.recipes import ONE_PASS
from kdutils.runs import NETWORKS, Run
from report import ROOT

RESULTS = ROOT / "results"
FEWEST = 3  # seeds of a network that is shown


def main():
    for profile in PROFILES:
        runs = [Run(profile, seed, RESULTS, read_only=True) for seed in seeds_in(RESULTS / profile)]
        having = [run.seed for run in runs if any(run.has(name) for name in ONE_PASS)]
        runs = [run for run in runs if run.seed in of_one_stage(profile, having)]
        names = [name for name in (*NETWORKS, *ONE_PASS) if sum(run.has(name) for run in runs) >= FEWEST]
        if names:
            write_atomically(RESULTS / profile / "followed.json", to_json(followed.record(runs, profile, names)))


if __name__ == "__main__":
    main()
