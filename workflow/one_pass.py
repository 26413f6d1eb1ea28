"""Choose the recipe of one-pass students on the validation images of `quick`; keep every try in results/.

python workflow/one_pass.py              makes the tries that are missing, an hour on two cores, and writes the record
python workflow/one_pass.py rate-2e-3    makes these tries alone, in any order, on another core

The rule, fixed before the first try. One seed's ONE-SN1 is trained by the first recipe, and by each that differs from
it in one choice; its one pass is compared with its teacher's MC answers on the validation images. Of each choice, the
options whose skill lies within 0.01 of the best count as equal. Among equals the lowest KL divergence is taken; for the
number of views and of steps, which cost time, the cheapest. The options taken together are tried, too. They are chosen
unless a single try has a skill higher by more than 0.01; then that is. No test image is looked at.

Beside them stand, chosen by no rule: training images without views; both students as `quick` trains them by what was
chosen; and the control, the paper's distillation with as many steps, at the recipe's learning rate and at its own.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from kdutils.plumbing.machine import provenance
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import PROFILES
from kdutils.recipes import Recipe
from kdutils.runs import Run
from kdutils.transfer import kl_of_images, skill
from scipy.stats import spearmanr

RESULTS = Path(__file__).resolve().parent.parent / "results"
SEED = 10
EQUAL = 0.01  # in skill
FIRST = Recipe(
    views=4,
    kinds="affine mixture noise",
    steps=2_500,
    batch_size=128,
    peak_learning_rate=1e-3,
    loss="brier",
    dropout=False,
)
CHOICES = {  # choice: {option: what differs from the first recipe}
    "loss": {"cross-entropy": {"loss": "cross_entropy"}},
    "dropout": {"dropout": {"dropout": True}},
    "rate": {"rate-5e-4": {"peak_learning_rate": 5e-4}, "rate-2e-3": {"peak_learning_rate": 2e-3}},
    "kinds": {"affine": {"kinds": "affine"}, "affine-mixture": {"kinds": "affine mixture"}},
    "views": {"views-2": {"views": 2}},
    "steps": {"steps-twice": {"steps": 5_000}},
}
OPTIONS = {option: changes for options in CHOICES.values() for option, changes in options.items()}


def attempt(option, recipe, name="ONE-SN1", **changes):
    """One try: a student trained by a recipe, and how it follows its teacher's passes on the validation images.

    changes: of the fields of `quick`. The option "chosen" is `quick` itself.
    """
    profile = replace(PROFILES["quick"], name=f"quick-one-{option}", base="quick", **changes)
    run = Run("quick" if option == "chosen" else profile, SEED, recipe=recipe)
    part = run.parts["validation"]
    teacher, own = run.answers("TN", part), run.answers(name, part)
    rate = {"peak_learning_rate": recipe.schedule(name, run.profile).peak_learning_rate}
    return {"option": option, "network": name} | asdict(recipe) | rate | measures(teacher, own)


def measures(teacher, own):
    """How a student follows its teacher; mutual information also on the tenth of images where the passes disagree."""
    unsure = teacher.mutual_information >= np.quantile(teacher.mutual_information, 0.9)
    ranks = [spearmanr(teacher.mutual_information[i], own.mutual_information[i])[0] for i in (slice(None), unsure)]
    found = {
        "skill": skill(teacher.confidence, own.confidence),
        "correlation": np.corrcoef(teacher.confidence, own.confidence)[0, 1],
        "kl": kl_of_images(teacher.mc_mean, own.mc_mean).mean(),
        "mutual_information_rank_correlation": ranks[0],
        "mutual_information_rank_correlation_unsure": ranks[1],
        "accuracy": own.correct.mean(),
    }
    return {key: round(float(value), 4) for key, value in found.items()}


def taken(choice, options, tries):
    """The try of an option of `choice` that the rule takes; options: names, the first recipe's among them."""
    found = [tries[option] for option in options]
    best = max(own["skill"] for own in found)
    equal = [own for own in found if own["skill"] >= best - EQUAL]
    cost = {"views": lambda own: own["views"], "steps": lambda own: own["steps"]}
    return min(equal, key=cost.get(choice, lambda own: own["kl"]))


def choose(tries):
    """{field: value} of the options that the rule takes together, from the tries {option: try} of all `OPTIONS`."""
    changes = {}
    for choice, options in CHOICES.items():
        changes |= OPTIONS.get(taken(choice, ["first", *options], tries)["option"], {})
    return changes


def main(*only):
    recipes = {"first": FIRST} | {option: replace(FIRST, **changes) for option, changes in OPTIONS.items()}
    if only:
        for option in only:
            print(attempt(option, recipes[option]), flush=True)
        return
    tries = {option: attempt(option, recipe) for option, recipe in recipes.items()}
    recipes["together"] = replace(FIRST, **choose(tries))
    tries["together"] = attempt("together", recipes["together"])
    best = max(tries.values(), key=lambda own: own["skill"])
    chosen = "together" if best["skill"] <= tries["together"]["skill"] + EQUAL else best["option"]
    record = provenance() | {"seed": SEED, "tries": list(tries.values()), "chosen": asdict(recipes[chosen])}
    write_atomically(RESULTS / "one_pass.json", to_json(record))  # what follows chooses nothing
    recipe = recipes[chosen]
    at_its_rate = attempt("recipe-rate", recipe, "KD-SN1-steps", peak_learning_rate=recipe.peak_learning_rate)
    record["beside"] = [attempt("first", FIRST, "ONE-SN1-clean"), at_its_rate]
    record["beside"] += [attempt("chosen", recipe, name) for name in ("KD-SN1-steps", "ONE-SN1", "ONE-SN2")]
    write_atomically(RESULTS / "one_pass.json", to_json(record))


if __name__ == "__main__":
    main(*sys.argv[1:])
