"""Train and predict a study beside the paper's seven networks, or beside its scales.

python workflow/further.py quick 10-15                   one-pass students and what they are set beside, under shift
python workflow/further.py quick 10-12 ONE-SN1-clean     these networks alone
python workflow/further.py quick-converged 0-5           12 epochs in the place of 3; without SN3 and KD-SN3
python workflow/further.py quick-fashion 0-5             Fashion-MNIST in MNIST's place, for all seven networks

At a scale, each network predicts the test images and every shift of `kdutils.shifts`; in the other studies the test
images alone. No other setting is chosen anew; images are normalised with MNIST's mean and deviation. What it makes lies
in runs/<study>/; `make results PROFILE=<study> SEEDS=0-5` keeps it.
"""

import argparse

from kdutils import shifts
from kdutils.profiles import FURTHER, PROFILES, parse_seeds
from kdutils.recipes import STUDY
from kdutils.runs import DEVICES, NETWORKS, PRECISIONS, Run

FEW = ("TN", "SN1", "KD-SN1", "SN2", "KD-SN2")
TRAINED = {"quick-converged": FEW, "quick-fashion": tuple(NETWORKS)}
TRAINED |= {"smoke": (*FEW, *STUDY), "quick": (*FEW, *STUDY), "paper": (*NETWORKS, *STUDY)}


def main(words=None):
    """Train what the command's `words` say. Raises SystemExit for an unknown study, ValueError for wrong seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", choices=TRAINED)
    parser.add_argument("seeds")
    parser.add_argument("networks", nargs="*", metavar="network", help="by default those of the study")
    parser.add_argument("--device", default="auto", choices=DEVICES)
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--runs", default="")
    parser.add_argument("--data", default="")
    options = parser.parse_args(words)
    settings = {"device": options.device, "precision": options.precision, "data": options.data or None}
    for seed in parse_seeds(options.seeds):
        run = Run(FURTHER.get(options.study, options.study), seed, options.runs or None, **settings)
        for name in options.networks or TRAINED[options.study]:
            for images in ("test", *(shifts.NAMES if options.study in PROFILES else ())):
                run.predictions(name, images)


if __name__ == "__main__":
    main()
