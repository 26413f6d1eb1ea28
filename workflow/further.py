"""Train and predict a study beside the two scales: `quick` with more epochs, or on other data.

python workflow/further.py quick-converged 0-5    12 epochs in the place of 3; without SN3 and KD-SN3
python workflow/further.py quick-fashion 0-5      Fashion-MNIST in MNIST's place, for all seven networks

No other setting is chosen anew; images are normalised with MNIST's mean and deviation. What it makes lies in
runs/<study>/; `make results PROFILE=<study> SEEDS=0-5` keeps it.
"""

import argparse

from kdutils.profiles import FURTHER, parse_seeds
from kdutils.runs import DEVICES, NETWORKS, PRECISIONS, Run

TRAINED = {"quick-converged": ("TN", "SN1", "KD-SN1", "SN2", "KD-SN2"), "quick-fashion": tuple(NETWORKS)}


def main(words=None):
    """Train what the command's `words` say. Raises SystemExit for an unknown study, ValueError for wrong seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", choices=FURTHER)
    parser.add_argument("seeds")
    parser.add_argument("--device", default="auto", choices=DEVICES)
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--runs", default="")
    options = parser.parse_args(words)
    settings = {"device": options.device, "precision": options.precision}
    for seed in parse_seeds(options.seeds):
        run = Run(FURTHER[options.study], seed, options.runs or None, **settings)
        for name in TRAINED[options.study]:
            run.predictions(name)


if __name__ == "__main__":
    main()
