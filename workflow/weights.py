"""Pack all networks of one seed into one archive, from which others go on without training.

python workflow/weights.py runs paper 4                         writes build/weights-paper-seed-4.zip
python -m zipfile -e weights-paper-seed-4.zip runs              unpacks it, into another repository's runs/

It holds runs/<profile>/seed-<k>/ as it is, and SHA256SUMS. A Run checks each file by its manifest when it reads it.
"""

import sys
import zipfile
from pathlib import Path

from kdutils.plumbing.store import sha256, write_atomically
from kdutils.profiles import parse_seeds
from kdutils.runs import Run

ROOT = Path(__file__).resolve().parent.parent


def files(run):
    """(path below runs/, bytes) of every file of the run's networks; ValueError if one is missing or corrupt."""
    for name in run.networks:
        store = run.store(name)
        if not (store.folder / "manifest.json").exists():
            continue
        contents = {file: store.get(file, None) for file in run.manifest(name)["outputs"]}
        for file, content in (contents | {"manifest.json": (store.folder / "manifest.json").read_bytes()}).items():
            yield f"{run.profile.name}/{run.folder.name}/{name}/{file}", content


def main(runs, profile, seed):
    [seed] = parse_seeds(seed)
    run = Run(profile, seed, runs, read_only=True)
    path = ROOT / "build" / f"weights-{run.profile.name}-{run.folder.name}.zip"
    path.parent.mkdir(exist_ok=True)
    part, sums = path.with_suffix(".zip.tmp"), []
    with zipfile.ZipFile(part, "w") as archive:
        for name, content in files(run):
            archive.writestr(zipfile.ZipInfo(name), content)  # of no date: the same files are the same archive
            sums.append(f"{sha256(content)}  {name}\n")
        if not sums:
            raise SystemExit(f"{run.folder} holds no network")
        archive.writestr(zipfile.ZipInfo("SHA256SUMS"), "".join(sums))
    part.replace(path)
    digest = sha256(path.read_bytes())
    write_atomically(path.with_suffix(".zip.sha256"), f"{digest}  {path.name}\n".encode())
    print(f"{path.relative_to(ROOT)}: {len(sums)} files, {path.stat().st_size / 1e6:.0f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main(*sys.argv[1:])
