"""Train and predict the seven networks of `quick` on Fashion-MNIST in MNIST's place: the profile quick-fashion.

python workflow/fashion.py folder 0-5    folder: Fashion-MNIST's four raw files, unpacked

No setting is chosen anew; images are normalised with MNIST's mean and deviation, too. What it makes lies in
runs/quick-fashion/, and is kept in results/quick-fashion/ as other results are.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from kdutils.data import MNIST, split
from kdutils.profiles import PROFILES, parse_seeds
from kdutils.runs import NETWORKS, Run

FILES = {  # they bear MNIST's names; their MD5s
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
PROFILE = replace(PROFILES["quick"], name="quick-fashion")


def load(folder):
    """Fashion-MNIST's arrays. Raises SystemExit naming a file that is missing or is not Fashion-MNIST's."""
    found = []
    for name, expected in FILES.items():
        path = Path(folder) / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
            raise SystemExit(f"{path} is not Fashion-MNIST's: its MD5 must be {expected}")
        images = "images" in name
        array = np.frombuffer(bytearray(content), np.uint8, offset=16 if images else 8)
        found.append(array.reshape(-1, 1, 28, 28) if images else array)
    return MNIST(*found)


def main(folder, seeds):
    parts = split(load(folder), PROFILE)
    for seed in parse_seeds(seeds):
        run = Run(PROFILE, seed, parts=parts)
        for name in NETWORKS:
            run.predictions(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
