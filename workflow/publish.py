"""Write into results/ what lets a class show notebooks 3 and 4 without training: of one seed, files in 16 bits.

python workflow/publish.py runs paper 4

Of each network in `SHOWN` its layers from the first dropout on, with the features of some test images; of the teacher
also the soft targets. `workflow/keep.py` comes first: these files go into its manifests.
"""

import sys
from pathlib import Path

import numpy as np
from kdutils import published
from kdutils.plumbing.store import to_npz
from kdutils.profiles import parse_seeds
from kdutils.runs import PUBLISHED, Run

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("TN", "KD-SN2", "SN2")  # whose single passes notebook 4 draws
EACH = 100  # images by each rule


def chosen(teacher):
    """The numbers of the test images that come first by each of notebook 4's rules, `EACH` by each."""
    keys = (teacher.entropy, -teacher.expected_entropy, -teacher.mutual_information)
    return np.unique([np.argsort(key, kind="stable")[:EACH] for key in keys])


def main(runs, profile, seed):
    [seed] = parse_seeds(seed)
    made, kept = Run(profile, seed, runs, read_only=True), Run(profile, seed, ROOT / "results")
    rows = chosen(made.predictions("TN"))
    for name in SHOWN:
        model, images = made.network(name), made.parts["test"].images
        contents = {PUBLISHED["weights.safetensors"]: published.pack(model, images, rows)}
        if name == "TN":
            soft_targets = made.soft_targets().astype(np.float16)
            contents[PUBLISHED["soft_targets.npz"]] = to_npz({"logits": soft_targets})
        store = kept.store(name)
        store.stamp = dict  # the manifest goes on to tell where and when the network was trained
        store.put(contents)
        sizes = ", ".join(f"{file} {len(content) / 1e6:.2f} MB" for file, content in contents.items())
        print(f"published {made.profile.name} seed {seed} {name}: {sizes}")


if __name__ == "__main__":
    main(*sys.argv[1:])
