"""Measure what the students took over of their teachers, from the committed predictions, into results/.

python workflow/transferred.py    writes results/<profile>/transfer.json of both scales, in a minute or two
"""

import json

from kdutils import ours
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.runs import NETWORKS, Run
from kdutils.stats import image_weights
from kdutils.study import Study
from kdutils.transferred import record
from pages import SCALES
from report import ROOT

RESULTS = ROOT / "results"


def kept(profile):
    """(seeds, Study) of a profile's table1.json, from its predictions in results/."""
    seeds = json.loads((RESULTS / profile / "table1.json").read_text())["seeds"]
    runs = [Run(profile, seed, RESULTS, read_only=True) for seed in seeds]
    predictions = {name: [run.predictions(name) for run in runs] for name in NETWORKS}
    return seeds, Study(predictions, image_weights(len(predictions["TN"][0].labels)))


def main():
    for profile in SCALES:
        seeds, study = kept(profile)
        found = record(study, profile, seeds) | {"claims": ours.record(study)}
        write_atomically(RESULTS / profile / "transfer.json", to_json(found))


if __name__ == "__main__":
    main()
