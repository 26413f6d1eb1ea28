"""Measure what the students took over of their teachers, from the committed predictions, into results/.

python workflow/transferred.py    writes results/<profile>/transfer.json of all studies there, in a minute or two
"""

import json

from kdutils import ours
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import FURTHER, seeds_in
from kdutils.runs import NETWORKS, Run
from kdutils.stats import image_weights
from kdutils.study import Study
from kdutils.transferred import record
from pages import SCALES
from report import ROOT

RESULTS = ROOT / "results"


def seeds_of(profile):
    """The seeds of a scale's table1.json; of a further study, those that lie in results/."""
    folder = RESULTS / profile
    if profile in SCALES:
        return json.loads((folder / "table1.json").read_text(encoding="utf-8"))["seeds"]
    return seeds_in(folder)


def kept(profile):
    """(seeds, Study) of a profile, a name, and all its networks in results/.

    Raises FileNotFoundError if a seed lacks a network that another one has.
    """
    seeds = seeds_of(profile)
    runs = [Run(FURTHER.get(profile, profile), seed, RESULTS, read_only=True) for seed in seeds]
    networks = [name for name in NETWORKS if any(run.has(name) for run in runs)]
    predictions = {name: [run.predictions(name) for run in runs] for name in networks}
    return seeds, Study(predictions, image_weights(len(predictions["TN"][0].labels)))


def main():
    for profile in (*SCALES, *FURTHER):
        if not seeds_of(profile):
            print(f"skipped {profile}: results/{profile} holds no seed")
            continue
        seeds, study = kept(profile)
        found = record(study, profile, seeds)
        if len(study.predictions) == len(NETWORKS):
            found["claims"] = ours.record({"test": study})
        write_atomically(RESULTS / profile / "transfer.json", to_json(found))


if __name__ == "__main__":
    main()
