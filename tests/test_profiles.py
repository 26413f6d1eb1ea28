import dataclasses
import json
import math

import kdutils as kd
import numpy as np
import pytest
from checkout import ROOT
from kdutils.plumbing.checks import check_soft_weight, check_temperature, whole_number
from kdutils.profiles import derive_seed, of_one_stage, parse_seeds, resolve


def variant(**changes):
    return dataclasses.replace(kd.PROFILES["smoke"], **changes)


@pytest.mark.parametrize(
    ("name", "train", "validation", "test", "epochs", "passes"),
    [
        ("smoke", 1_000, 500, 500, 1, 5),
        ("quick", 8_000, 2_000, 10_000, 3, 100),
        ("paper", 50_000, 10_000, 10_000, 2, 100),
    ],
)
def test_the_three_scales(name, train, validation, test, epochs, passes):
    profile = kd.PROFILES[name]
    assert profile.name == name
    assert (profile.train_images, profile.validation_images, profile.test_images) == (train, validation, test)
    assert (profile.epochs, profile.mc_passes) == (epochs, passes)
    assert (profile.temperature, profile.soft_weight, profile.scale_by_temperature_squared) == (4.0, 0.5, True)


def test_profiles_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        kd.PROFILES["paper"].epochs = 1


def test_resolve_takes_a_name_or_a_profile():
    mine = variant(name="mine")
    assert resolve("quick") is kd.PROFILES["quick"]
    assert resolve(mine) is mine


@pytest.mark.parametrize("unknown", ["Quick", "", None, 3])
def test_resolve_lists_the_known_profiles(unknown):
    with pytest.raises(ValueError, match="smoke, quick, paper"):
        resolve(unknown)


@pytest.mark.parametrize("base", kd.PROFILES)
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("t1", "temperature", 1.0),
        ("t2", "temperature", 2.0),
        ("t8", "temperature", 8.0),
        ("t16", "temperature", 16.0),
        ("no-t2", "scale_by_temperature_squared", False),
        ("soft-0.9", "soft_weight", 0.9),
        ("mc-targets", "mc_soft_targets", True),
        ("twice", "epochs", None),
    ],
)
def test_a_variant_makes_one_choice_otherwise(base, name, field, value):
    original, made = kd.PROFILES[base], resolve(f"{base}-{name}")
    value = value if value is not None else 2 * original.epochs
    assert getattr(original, field) != value
    assert made == dataclasses.replace(original, name=f"{base}-{name}", base=base, **{field: value})


@pytest.mark.parametrize("unknown", ["quick-", "quick-t3", "huge-t8", "-t8", "quick-t8-t2", "quick t8"])
def test_there_are_no_other_variants(unknown):
    with pytest.raises(ValueError, match=f"unknown profile '{unknown}': .* such as quick-t8"):
        resolve(unknown)


def test_a_base_has_to_be_known():
    with pytest.raises(ValueError, match="unknown profile 'huge'"):
        variant(name="mine", base="huge")


def of_file(folder, text, name="mine.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return resolve(str(folder / name))


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("temperature = 3", {"temperature": 3}),
        ("soft_weight = 0.9\nepochs = 5", {"soft_weight": 0.9, "epochs": 5}),
        ("temperature = 4.0", {}),
        ('data = "fashion_mnist"', {"data": "fashion_mnist"}),
        ('student = "SN1: 5x5:16 M 5x5:32 M, 128"', {"student": "SN1: 5x5:16 M 5x5:32 M, 128"}),
    ],
)
def test_a_file_says_what_changes(tmp_path, text, changes):
    found = of_file(tmp_path, 'base = "quick"\n' + text)
    assert found == dataclasses.replace(kd.PROFILES["quick"], name="mine", base="quick", **changes)
    assert found.changes == changes


def test_a_file_is_found_from_the_working_directory_and_from_the_root(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "mine.toml").write_text('base = "smoke"\nepochs = 2', encoding="utf-8")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert resolve("mine.toml").epochs == 2
    (tmp_path / "notebooks" / "mine.toml").write_text('base = "smoke"\nepochs = 3', encoding="utf-8")
    assert resolve("mine.toml").epochs == 3


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ('base = "quick"\ntemprature = 3', "mine.toml", "unknown temprature: known are base, train_images"),
        ('base = "quick"\nname = "x"', "mine.toml", "unknown name"),
        ("temperature = 3", "mine.toml", "base must be one of smoke, quick, paper, got None"),
        ('base = "quick-t8"', "mine.toml", "base must be one of smoke, quick, paper, got 'quick-t8'"),
        ('base = "quick"\ntemperature = 0', "mine.toml", "temperature"),
        ('base = "quick"\nepochs = "3"', "mine.toml", "epochs must be a whole number"),
        ('base = "quick"\ndata = "cifar"', "mine.toml", "data must be one of mnist, fashion_mnist or the path"),
        ('base = "quick"\nstudent = "SN4: 64 M, 10"', "mine.toml", "student must be like 'SN1: "),
        ('base = "quick"\nstudent = "SN1: 64 M"', "mine.toml", "student must be like 'SN1: "),
        ("base = quick", "mine.toml", "Invalid value"),
        ('base = "quick"', "quick.toml", "quick is a profile of kdutils: give the file another name"),
        ('base = "quick"', "quick-t8.toml", "quick-t8 is a profile of kdutils"),
        ('base = "quick"', "My T3.toml", "name must be lower-case letters"),
    ],
)
def test_a_wrong_file_is_refused_by_what_is_wrong_in_it(tmp_path, text, name, said):
    with pytest.raises(ValueError, match=rf"^profile {tmp_path}/{name}: .*{said}"):
        of_file(tmp_path, text, name)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"^profile nowhere\.toml: No such file"):
        resolve("nowhere.toml")


OWN = ("TN", "SN1", "KD-SN1", "SN2", "KD-SN2")


@pytest.mark.parametrize(
    ("changes", "remade"),
    [
        ({"temperature": 3.0}, {"KD-SN1", "KD-SN2"}),
        ({"epochs": 2}, {"SN1", "KD-SN1", "SN2", "KD-SN2"}),
        ({"student": "SN1: 64 M, 32"}, {"SN1", "KD-SN1"}),
        ({"data": "fashion_mnist"}, set(OWN)),
        ({"train_images": 500}, set(OWN)),
        ({}, set()),
    ],
)
def test_a_variant_makes_anew_what_hangs_on_its_change(changes, remade, tmp_path):
    run = kd.Run(variant(name="mine", base="smoke", **changes), 0, tmp_path)
    assert {name for name in OWN if run.owner(name).name == "mine"} == remade
    assert run.owner("ONE-SN1").name == "mine"  # its recipe may be another, which no profile tells


@pytest.mark.parametrize(
    "field", ["train_images", "validation_images", "test_images", "epochs", "batch_size", "mc_passes"]
)
@pytest.mark.parametrize("wrong", [0, -1, 2.0, "3", True, None])
def test_counts_are_positive_whole_numbers(field, wrong):
    with pytest.raises(ValueError, match=f"{field} must be a whole number of at least 1"):
        variant(**{field: wrong})


def test_numbers_of_numpy_become_pythons_which_json_holds():
    given = {
        "epochs": np.int64(3),
        "mc_passes": np.uint8(4),
        "weight_decay": np.float32(0.5),
        "soft_weight": np.int64(1),
    }
    found = dataclasses.asdict(variant(name="mine", **given, temperature=np.float64(2)))
    assert json.loads(json.dumps(found)) == found
    assert {key: found[key] for key in given} == {"epochs": 3, "mc_passes": 4, "weight_decay": 0.5, "soft_weight": 1}
    with pytest.raises(ValueError, match="mc_soft_targets must be True or False"):
        variant(mc_soft_targets=np.bool_(True))
    assert parse_seeds([np.int64(2), 0]) == [0, 2]


@pytest.mark.parametrize("field", ["peak_learning_rate", "weight_decay"])
@pytest.mark.parametrize("wrong", [-1e-4, math.nan, math.inf, "0.1", True])
def test_rates_are_finite_and_not_negative(field, wrong):
    with pytest.raises(ValueError, match=field):
        variant(**{field: wrong})


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "4", None, True])
def test_temperature_is_finite_and_above_0(wrong):
    with pytest.raises(ValueError, match="temperature"):
        variant(temperature=wrong)
    with pytest.raises(ValueError, match="temperature"):
        check_temperature(wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, "0.5", None, True])
def test_soft_weight_is_in_0_to_1(wrong):
    with pytest.raises(ValueError, match="soft_weight"):
        variant(soft_weight=wrong)
    with pytest.raises(ValueError, match="soft_weight"):
        check_soft_weight(wrong)


@pytest.mark.parametrize("wrong", ["", "Mine", "a/b", "../up", ".hidden", "a b", "a" * 65, None])
def test_a_name_is_fit_for_a_folder(wrong):
    with pytest.raises(ValueError, match="name must be"):
        variant(name=wrong)


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_scaling_is_true_or_false(wrong):
    with pytest.raises(ValueError, match="scale_by_temperature_squared"):
        variant(scale_by_temperature_squared=wrong)


@pytest.mark.parametrize("value", [0, 7, 10**12])
def test_whole_number_gives_an_int(value):
    assert whole_number("n", value, minimum=0) == value


def test_derived_seeds_differ_by_seed_and_by_purpose_and_fit_a_generator():
    words = [(0, "TN", "order", 1), (1, "TN", "order", 1), (0, "SN1", "order", 1), (0, "TN", "order", 2), (0, "TN")]
    seeds = {derive_seed(*w) for w in words}
    assert len(seeds) == len(words)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_derived_seeds_stay_what_they_were():
    assert derive_seed(0, "SN2", "initialisation") == 5220090926810500867


@pytest.mark.parametrize("wrong", [-1, 1.5, "0", True])
def test_a_seed_is_a_whole_number(wrong):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        derive_seed(wrong, "order")


def test_the_papers_scale_has_the_settings_that_the_rule_chooses():
    """The rate with the best validation accuracy after an epoch, then the fewest epochs that reach the paper's."""
    record = json.loads((ROOT / "results" / "settings.json").read_text(encoding="utf-8"))
    first = [row for row in record["tries"] if row["epochs"] == 1]
    rate = max(first, key=lambda row: row["validation_accuracy"])["peak_learning_rate"]
    longer = [row for row in record["tries"] if row["peak_learning_rate"] == rate]  # in the order of epochs
    enough = [row for row in longer if row["validation_accuracy"] >= record["wanted"]]
    chosen = (enough or longer[-1:])[0]
    assert len(first) == 3
    assert record["chosen"] == chosen
    paper = kd.PROFILES["paper"]
    assert (paper.peak_learning_rate, paper.epochs) == (chosen["peak_learning_rate"], chosen["epochs"])


@pytest.mark.parametrize(
    ("profile", "seeds", "shown"),
    [
        ("paper", range(10), [4, 5, 6, 7, 8, 9]),  # what was explored is not judged on
        ("paper", range(9), [0, 1, 2, 3]),  # and waits until enough is there
        ("paper", [4, 5], [4, 5]),
        ("quick", range(12), list(range(12))),
        ("paper", [], []),
    ],
)
def test_explored_and_fresh_seeds_do_not_stand_in_one_table(profile, seeds, shown):
    assert of_one_stage(profile, seeds) == shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, [0]),
        (7, [7]),
        ([3, 1, 1], [1, 3]),
        ("5", [5]),
        ("0-3", [0, 1, 2, 3]),
        ("0,2,5-7", [0, 2, 5, 6, 7]),
        ("5-7, 6 ,0", [0, 5, 6, 7]),
        ("4-4", [4]),
    ],
)
def test_seeds_that_are_understood(given, expected):
    assert parse_seeds(given) == expected


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "a", "-1", "1-", "3-1", "1,,2", "1.5", "0-2-4", "1 2", -1, 1.0, None, True, [], [-1], ["1"], [0.5]],
)
def test_seeds_that_are_refused(wrong):
    with pytest.raises(ValueError, match="seeds must be"):
        parse_seeds(wrong)
