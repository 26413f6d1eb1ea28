"""How small can a one-pass student be? ONE-SN1 with fewer channels and hidden units, into results/.

python workflow/widths.py quick 10-12    writes results/quick/widths.json; minutes a seed

Each student is trained as ONE-SN1 is, from the same teacher's answers. The full width is ONE-SN1 itself. What is
finished lies in runs/<profile>/seed-<seed>/widths/, and is not trained again.
"""

import sys
from pathlib import Path

from kdutils import making, models, one_pass, stats, training
from kdutils.plumbing.checkpoint import from_safetensors, to_safetensors
from kdutils.plumbing.machine import provenance, stoppable
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import parse_seeds
from kdutils.runs import Run
from kdutils.transfer import kl_of_images, mupe, skill
from kdutils.transferred import rounded

RESULTS = Path(__file__).resolve().parent.parent / "results"
WIDTHS = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
NAME = "ONE-SN1"


def design(width):
    """SN1's, as for `models.build`, with `width` times its channels and hidden units."""
    return f"5x5:{round(48 * width)} M 5x5:{round(128 * width)} M", (round(1280 * width),)


def student(run, width):
    """The trained student of a Run with `width` times the channels and hidden units: loaded, resumed or trained."""
    if width == 1:
        return run.network(NAME)
    model = models.build("SN1", run.seed, channels=run.channels, design=design(width))
    model = one_pass.without_dropout(model).to(run.device)
    stored = run.folder / "widths" / f"{1 / width:.0f}.safetensors"
    if stored.exists():
        model.load_state_dict(from_safetensors(stored.read_bytes()))
        return model.eval()
    stored.parent.mkdir(parents=True, exist_ok=True)
    part, loss = making.lesson(run, NAME)
    schedule, checkpoint = run.recipe.schedule(NAME, run.profile), stored.with_suffix(".checkpoint")
    options = {"seed": run.seed, "name": NAME, "loss": loss, "dtype": run.dtype, "checkpoint": checkpoint}
    options["settings"] = run.recipe.settings() | run.inputs(NAME)  # else it is not resumed
    with stoppable("stopped: run the same command again to resume after the last finished epoch"):
        training.train(model, part, run.parts["validation"], schedule, **options)
    write_atomically(stored, to_safetensors(model.state_dict()))
    checkpoint.unlink()
    return model


def measures(run, width):
    """How the student's one pass follows the teacher's passes on the test images."""
    model, teacher = student(run, width), run.predictions("TN")
    own = one_pass.predict(model, run.parts["test"].images)
    return {
        "parameters": models.parameter_count(model),
        "accuracy": float((own.predicted == teacher.labels).mean()),
        "MUPE": mupe(teacher.confidence, own.confidence),
        "skill": skill(teacher.confidence, own.confidence),
        "KL(teacher ‖ student)": float(kl_of_images(teacher.mc_mean, own.mean).mean()),
    }


def main(profile, seeds, runs=None):
    seeds = parse_seeds(seeds)
    found = {width: [measures(Run(profile, seed, runs), width) for seed in seeds] for width in WIDTHS}
    rows = []
    for width, own in found.items():
        values = {key: [row[key] for row in own] for key in own[0] if key != "parameters"}
        means = {key: stats.seeds_only(each).record() | {"per_seed": each} for key, each in values.items()}
        rows.append({"width": width, "parameters": own[0]["parameters"]} | means)
    record = provenance() | {"profile": profile, "seeds": seeds, "widths": rounded(rows)}
    write_atomically(RESULTS / profile / "widths.json", to_json(record))


if __name__ == "__main__":
    main(*sys.argv[1:])
