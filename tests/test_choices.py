"""What claims rest on, with students trained by another choice."""

import dataclasses

import kdutils as kd
import numpy as np
import pytest
from checkout import ROOT
from kdutils import choices
from kdutils.stats import Estimate, image_weights
from kdutils.study import Study
from studies import fake_study

ACCURACY, ECE, SN2, SN1 = choices.SMALL


def found(**means):
    """{difference: Estimate}, all at 1 unless named."""
    return {what: Estimate(means.get(what.split(":")[0], 1.0), 0.0001, 9) for what in choices.SMALL}


def test_an_interval_lies_on_a_side_of_the_band_or_is_open():
    sides = choices.sides(found(C5=-1.0, C6=0.0, C7=choices.SMALL[SN1]))
    assert sides == {"C1b": "above", "C5": "below", "C6": "inside", "C7": "open"}


def test_answers_that_another_choice_leaves_are_dots():
    told = choices.answers({"as chosen": found(C6=0.0), "else": found(C5=-1.0, C6=0.0)})
    assert told["as chosen"] == choices.sides(found(C6=0.0))
    assert told["else"] == {"C1b": "·", "C5": "below", "C6": "·", "C7": "·"}


def test_the_record_names_choices_that_turn_an_answer():
    trained = {"as chosen": found(), "temperature 1": found(C6=0.0), "wide": found(C6=choices.SMALL[SN2])}
    record = choices.record("quick", [0, 1], found(), trained)
    assert (record["profile"], record["seeds"], list(record["claims"])) == ("quick", [0, 1], list(choices.SMALL))
    assert record["claims"][SN2]["turned"] == ["temperature 1"]
    assert record["claims"][SN2]["means"]["temperature 1"] == 0.0
    assert record["claims"][ECE]["turned"] == []


def test_the_differences_are_those_of_the_study():
    study = Study(fake_study(seeds=3, copying=0.8), image_weights(400, resamples=50))
    right = [100 * study.rows(name, "correct").mean() for name in ("SN2", "KD-SN2")]
    differences = choices.differences(study)
    assert differences[ACCURACY].mean == pytest.approx(right[0] - right[1])
    assert differences[SN1].mean == pytest.approx(study.gain("SN1").values.mean())
    del study.predictions["SN1"]
    assert SN1 not in choices.differences(study)


def test_choices_that_nothing_was_trained_by_are_left_out(tmp_path):
    assert choices.trained_otherwise([kd.Run("quick", 0, tmp_path, read_only=True)], ["SN2"]) == {}


def test_every_variant_has_a_name():
    assert choices.LABELS.keys() == kd.profiles.variants(kd.PROFILES["quick"]).keys()
    assert np.all(np.array(list(choices.SMALL.values())) > 0)


MINE = dataclasses.replace(kd.PROFILES["quick"], name="mine", base="quick", temperature=3.0, soft_weight=0.9)


def test_the_original_is_ones_own_of_the_same_seeds_or_else_committed(tmp_path):
    runs = [kd.Run(MINE, seed, tmp_path) for seed in (1, 2)]
    found = choices.original(runs, ["TN", "KD-SN2"])
    assert {run.folder for run in found} == set((ROOT / "results" / "quick").glob("seed-*"))
    of_smoke = dataclasses.replace(kd.PROFILES["smoke"], name="mine", base="smoke")
    assert choices.original([kd.Run(of_smoke, 0, tmp_path)], ["TN"]) == []  # of which nothing is committed
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "seed-2").symlink_to(ROOT / "results" / "quick" / "seed-2")
    (tmp_path / "quick" / "seed-3").symlink_to(ROOT / "results" / "quick" / "seed-3")
    assert [(run.root, run.seed) for run in choices.original(runs, ["TN", "KD-SN2"])] == [(tmp_path, 2)]
    assert choices.original([kd.Run("quick", 0, tmp_path)], ["TN"]) == []  # it changes none


def test_what_a_profile_changes_in_words():
    assert choices.changed(MINE) == "temperature 3.0, soft weight 0.9"
    assert choices.changed(kd.PROFILES["quick"]) == ""
    assert choices.own_sizes(MINE) == {}
    small = dataclasses.replace(MINE, student="SN2: 8 M, 4")
    assert choices.own_sizes(small) == {"SN2": (9 * 8 + 8) + (16 * 16 * 8 * 4 + 4) + (4 * 10 + 10)}


def test_two_records_stand_side_by_side():
    def record(profile, mean):
        return {"profile": profile, "networks": {"TN": {"ECE": {"mean": mean, "interval": None}}}}

    rows = choices.beside(record("mine", 0.003) | {"original": record("quick", 0.005)})
    assert rows == {("TN", "ECE"): {"quick": "0.0050", "mine": "0.0030", "difference": "-0.0020"}}
    rows = choices.beside(record("mine", 0.00499) | {"original": record("quick", 0.005)})
    assert rows["TN", "ECE"]["difference"] == "+0.0000"


def test_students_trained_otherwise_stand_beside_ours_of_the_same_seeds(tmp_path):
    """Committed runs that nothing was trained beside give way to those of `quick`; one's own do not."""
    pairs, results = ["SN2", "KD-SN2"], ROOT / "results"
    study = [kd.Run("paper", 0, results, read_only=True)]
    base = choices.with_variants(study, pairs)
    kept = kd.notebook.committed("quick/table1.json")["seeds"]
    assert [run.folder for run in base] == [results / "quick" / f"seed-{seed}" for seed in kept]
    assert choices.with_variants(base, pairs) is base
    groups = choices.side_by_side(study, base, pairs)
    shared = choices.shared_seeds(groups)
    assert list(groups) == [f"as chosen, {len(shared)} seeds", *choices.LABELS.values()]
    assert shared == [run.seed for run in next(iter(groups.values()))] == [0, 1, 2]

    own = [kd.Run("quick", 0, tmp_path)]
    assert choices.with_variants(own, pairs) is own
    assert choices.side_by_side(own, own, pairs) == {}
    assert choices.shared_seeds({}) == []


def test_what_ones_own_profile_changes_is_a_choice_too(tmp_path):
    study = [kd.Run(MINE, seed, tmp_path) for seed in (1, 2, 20)]
    base = [kd.Run("quick", seed, ROOT / "results", read_only=True) for seed in range(10)]
    assert choices.with_variants(study, ["SN2"], base) == base
    groups = choices.side_by_side(study, base, ["SN2", "KD-SN2"])
    assert list(groups)[:2] == ["as chosen, 2 seeds", choices.changed(MINE)]
    assert groups[choices.changed(MINE)] == study
    assert choices.shared_seeds(groups) == [1, 2]
