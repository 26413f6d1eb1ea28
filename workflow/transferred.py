"""Measure what the students took over of their teachers, from the committed predictions, into results/.

python workflow/transferred.py    writes results/<profile>/transfer.json of all studies there, in some minutes; once
fresh seeds are shown at the paper's scale, explored.json beside it, of the seeds on which the measures were found
"""

from kdutils import ours
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import FIRST_FRESH, FURTHER, of_one_stage, seeds_in
from kdutils.runs import NETWORKS, Run
from kdutils.stats import image_weights
from kdutils.study import Study
from kdutils.transferred import record
from pages import SCALES
from report import ROOT

RESULTS = ROOT / "results"
FILES = ("transfer.json", "explored.json")


def opened(profile, seeds):
    return [Run(FURTHER.get(profile, profile), seed, RESULTS, read_only=True) for seed in seeds]


def files(profile):
    """{file: seeds} to write of a profile, a name; {} if results/ holds none of its seeds.

    Of a scale, seeds with all networks; of a further study, all of its seeds.
    """
    seeds = seeds_in(RESULTS / profile)
    if profile in SCALES:
        seeds = [run.seed for run in opened(profile, seeds) if all(map(run.has, NETWORKS))]
    shown = of_one_stage(profile, seeds)
    explored = [seed for seed in seeds if seed < FIRST_FRESH]
    stages = (shown, explored if explored and shown[0] >= FIRST_FRESH else [])
    return {file: own for file, own in zip(FILES, stages, strict=True) if own}


def kept(profile, seeds, networks=NETWORKS, images="test"):
    """The Study of these seeds of a profile, a name, and those of the networks that results/ holds.

    Raises FileNotFoundError if a seed lacks a network that another one has.
    """
    runs = opened(profile, seeds)
    networks = [name for name in networks if any(run.has(name) for run in runs)]
    predictions = {name: [run.predictions(name, images) for run in runs] for name in networks}
    return Study(predictions, image_weights(len(predictions["TN"][0].labels)))


def claimed(profile, seeds, study):
    """{"test" or a shift: Study} that our claims are about: P7 and P8 where all seeds have the one-pass student.

    study: that of the seven networks on the test images, which is enough for the other claims.
    """
    one_pass = (ours.STUDENT, ours.CONTROL)
    if not all(run.has(name) for run in opened(profile, seeds) for name in one_pass):
        return {"test": study}
    networks = (*NETWORKS, *one_pass)
    needed = {need.images for needs in ours.ONE_PASS_NEEDS.values() for need in needs}
    return {images: kept(profile, seeds, networks, images) for images in sorted({"test", *needed})}


def main():
    for profile in (*SCALES, *FURTHER):
        found = files(profile)
        if not found:
            print(f"skipped {profile}: results/{profile} holds no seed")
        for file, seeds in found.items():
            study = kept(profile, seeds)
            measured = record(study, profile, seeds)
            if len(study.predictions) == len(NETWORKS):
                measured["claims"] = ours.record(claimed(profile, seeds, study))
            write_atomically(RESULTS / profile / file, to_json(measured))


if __name__ == "__main__":
    main()
