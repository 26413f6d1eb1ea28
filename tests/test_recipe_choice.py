"""The rule of workflow/one_pass.py, and that the frozen recipe is what it chose."""

import json
from dataclasses import asdict, replace

import numpy as np
import one_pass as choice
import pytest
from checkout import ROOT
from kdutils.predictions import Predictions
from kdutils.recipes import Recipe

RECORD = ROOT / "results" / "one_pass.json"


def tries(**found):
    """A try of every option, all alike but for those `found`: {option: (skill, KL)}."""
    recipes = {"first": choice.FIRST} | {option: replace(choice.FIRST, **own) for option, own in choice.OPTIONS.items()}
    pairs = {option.replace("-", "_"): (option, recipe) for option, recipe in recipes.items()}
    scores = {key: found.get(key, (0.70, 0.03)) for key in pairs}
    return {
        option: {"option": option, "skill": scores[key][0], "kl": scores[key][1]} | asdict(recipe)
        for key, (option, recipe) in pairs.items()
    }


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ({}, {"views": 2}),  # nothing gained by what costs more
        ({"first": (0.72, 0.03)}, {}),
        ({"first": (0.72, 0.03), "affine": (0.715, 0.02)}, {"kinds": "affine"}),  # equal in skill, lower in KL
        ({"first": (0.72, 0.03), "affine": (0.705, 0.02)}, {}),  # not equal
        ({"first": (0.72, 0.03), "rate_2e_3": (0.74, 0.04)}, {"peak_learning_rate": 2e-3}),
        ({"first": (0.72, 0.03), "views_2": (0.725, 0.01), "steps_twice": (0.745, 0.05)}, {"views": 2, "steps": 5_000}),
        ({"first": (0.72, 0.03), "views_2": (0.715, 0.05)}, {"views": 2}),  # equal, and cheaper
        ({"first": (0.72, 0.03), "steps_twice": (0.725, 0.01)}, {}),  # equal, and dearer
    ],
)
def test_the_rule_takes(found, changes):
    assert choice.choose(tries(**found)) == changes


def test_every_option_is_a_recipe_that_differs_from_the_first_in_its_choice():
    for option, changes in choice.OPTIONS.items():
        assert replace(choice.FIRST, **changes) != choice.FIRST, option
        assert len(changes) == 1


def test_measures_by_hand():
    teacher = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    own = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]])
    labels, none = np.array([0, 1, 1]), np.zeros(3)
    answers = [Predictions(labels, p, p, none, np.array([0.1, 0.2, 0.3]), p.max(1)) for p in (teacher, own)]
    found = choice.measures(*answers)
    spread = np.var([0.9, 0.6, 0.7])
    assert found["skill"] == pytest.approx(1 - (0.01 + 0 + 0.01) / 3 / spread, abs=1e-4)
    assert found["kl"] == pytest.approx(np.mean((teacher * np.log(teacher / own)).sum(1)), abs=1e-4)
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-4)


@pytest.mark.skipif(not RECORD.exists(), reason="the recipe is not chosen yet")
def test_the_recipe_is_what_the_rule_chose():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    found = {own["option"]: own for own in record["tries"]}
    together = asdict(replace(choice.FIRST, **choice.choose(found)))
    assert {key: found["together"][key] for key in together} == together
    best = max(found.values(), key=lambda own: own["skill"])
    chosen = found["together"] if best["skill"] <= found["together"]["skill"] + choice.EQUAL else best
    assert record["chosen"] == {key: chosen[key] for key in together}
    assert asdict(Recipe()) == record["chosen"]
