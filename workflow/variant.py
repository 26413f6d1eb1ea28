"""Train and predict what a variant of a profile changes: the students of the sensitivity analysis.

python workflow/variant.py quick-t8 0
"""

import argparse

from kdutils.runs import DEVICES, PRECISIONS, Run

STUDENTS = ("KD-SN1", "KD-SN2", "SN1", "SN2")  # without distillation they are the base's, where all else is the same

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("profile")
    parser.add_argument("seed", type=int)
    parser.add_argument("--device", default="auto", choices=DEVICES)
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--runs", default="")
    parser.add_argument("--data", default="")
    options = parser.parse_args()
    settings = {"device": options.device, "data": options.data or None, "precision": options.precision}
    run = Run(options.profile, options.seed, options.runs or None, **settings)
    for name in STUDENTS:
        run.predictions(name)
