"""Copy finished runs' predictions, histories and manifests from runs/ into results/, to be committed.

python workflow/keep.py runs quick 0-9            also those of quick's variants, where there are any
python workflow/keep.py runs quick-fashion 0-5    a study of workflow/further.py
"""

import itertools
import sys
from pathlib import Path

import publish
from kdutils import shifts
from kdutils.plumbing.store import write_atomically
from kdutils.profiles import FURTHER, parse_seeds, resolve, variants
from kdutils.recipes import ONE_PASS
from kdutils.runs import NETWORKS, PUBLISHED, Run

ROOT = Path(__file__).resolve().parent.parent


def main(runs, profile, seeds):
    if profile in FURTHER:
        scales = [FURTHER[profile]]
    else:
        scales = list(map(resolve, (profile, *(f"{profile}-{variant}" for variant in variants(resolve(profile))))))
    for scale, seed in itertools.product(scales, parse_seeds(seeds)):
        made = Run(scale, seed, runs, read_only=True)
        kept = Run(scale, seed, ROOT / "results")
        for name in (*NETWORKS, *ONE_PASS):
            if not (made.folder / name / "predictions.npz").exists():
                continue
            of = ["test", *(shift for shift in shifts.NAMES if made.has(name, shift))]
            made.history(name), [made.predictions(name, images) for images in of]  # whole and unharmed, or this raises
            for file in (*map(shifts.file, of), "history.json", "manifest.json"):
                write_atomically(kept.folder / name / file, (made.folder / name / file).read_bytes())
            print(f"kept {scale.name} seed {seed} {name}")
        if (kept.folder / "TN" / PUBLISHED["weights.safetensors"]).exists():  # the manifests have to name it again
            publish.main(runs, scale.name, seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
