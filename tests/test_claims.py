import json

import first_plan
import numpy as np
import pytest
import scipy.stats
from kdutils import claims, judging
from kdutils.judging import Condition
from kdutils.stats import Estimate, image_weights
from kdutils.study import Study
from statsmodels.stats.weightstats import ttost_paired
from studies import fake_study


@pytest.fixture(scope="module")
def weights():
    return image_weights(400, resamples=400)


@pytest.fixture(scope="module")
def study(weights):
    return Study(fake_study(copying=0.8), weights)


BOUND = 0.2
CASES = [  # mean, error, holds, refuted: above the bound
    (1.0, 0.1, True, False),
    (0.3, 0.1, False, False),
    (0.0, 0.05, False, True),  # no difference that would matter
    (-1.0, 0.1, False, True),
    (-1.0, 1.0, False, False),
]


@pytest.mark.parametrize(("mean", "error", "holds", "refuted"), CASES)
def test_a_difference_holds_is_refuted_or_neither(mean, error, holds, refuted):
    condition = Condition("", Estimate(mean, error, 9), BOUND)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


@pytest.mark.parametrize(
    ("mean", "error", "holds", "refuted"),
    [(0.0, 0.05, True, False), (0.15, 0.05, False, False), (1.0, 0.1, False, True), (-1.0, 0.1, False, True)],
)
def test_an_equivalence_turns_the_rule_round(mean, error, holds, refuted):
    condition = Condition("", Estimate(mean, error, 9), BOUND, side="within", level=0.9)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


@pytest.mark.parametrize(("gain", "holds", "refuted"), [(0.0, True, False), (0.2, False, False), (1.0, False, True)])
def test_an_upper_bound_on_a_gain(gain, holds, refuted):
    """C7: the upper bound of G(SN1) lies below log 1.25."""
    condition = Condition("", Estimate(gain, 0.05, 9), BOUND, side="below", level=0.9)
    assert (condition.holds(), condition.refuted()) == (holds, refuted)


def test_verdicts():
    good, bad, unclear = (Condition("", Estimate(mean, 0.1, 9), BOUND) for mean in (1.0, -1.0, 0.3))
    assert judging.verdict([good], 0.01, 10) == "supported"
    assert judging.verdict([good], 0.06, 10) == "open"
    assert judging.verdict([good, unclear], 0.01, 10) == "open"
    assert judging.verdict([good, bad], 0.01, 10) == "not supported"
    assert judging.verdict([good], 0.01, 9) == "open"
    assert judging.verdict([good, Condition("", None, p=0.2)], 0.01, 10) == "open"
    assert judging.verdict([good, Condition("", None, met=False)], 0.01, 10) == "open"
    assert judging.verdict([good, Condition("", None, met=True)], 0.01, 10) == "supported"


def test_the_ks_error_has_to_agree_with_the_ece(study):
    """C5: distillation lowers SN2's KS error, too."""
    own = study.predictions
    exchanged = own | {"SN2": own["KD-SN2"], "KD-SN2": own["SN2"]}
    lower = study.ks("SN2") > study.ks("KD-SN2")
    for predictions, agrees in ((own, lower), (exchanged, not lower)):
        _, ks = claims.calibration_conditions(Study(predictions, study.weights))["C5"]
        assert (ks.what, ks.met, ks.p_value()) == ("KS error agrees", agrees, float(not agrees))


PAPER = {
    "TN": {"accuracy": 0.9921, "ECE": 0.0027},
    "KD-SN1": {"accuracy": 0.9914, "ECE": 0.0064, "MUPE": 0.0037},
    "KD-SN2": {"accuracy": 0.9904, "ECE": 0.0019, "MUPE": 0.0019},
    "SN2": {"accuracy": 0.9951, "ECE": 0.0036},
    "KD-SN3": {"accuracy": 0.9836, "ECE": 0.0029, "MUPE": 0.0016},
}


def test_the_papers_own_values():
    found = claims.point_values(PAPER)
    assert {claim: bool(rule) for claim, (_, rule) in found.items() if rule is not None} == {
        "C1a": False,
        "C1b": False,
        "C2": True,
        "C3": True,
        "C4": True,
        "C5": True,
    }
    assert found["C6"] == found["C7"] == (None, None)


def test_equivalence_is_statsmodels(study):
    condition = claims.equally_accurate(study, "KD-SN1", "TN")
    one, other = (study.rows(name, "correct").mean(1) for name in ("KD-SN1", "TN"))
    assert condition.p == pytest.approx(ttost_paired(one, other, -0.002, 0.002)[0])


def test_a_trend_is_pages(study):
    falling = {name: np.arange(10) / 100 - i for i, name in enumerate(claims.LADDER)}
    rising = {name: -values for name, values in falling.items()}
    assert claims.trend(falling, "x").p < 0.001
    assert claims.trend(rising, "x").p > 0.9


def test_a_trend_counts_the_seeds_with_every_step():
    middle = np.array([2.0, 4.0, 2.0])
    condition = claims.trend({"a": np.full(3, 3.0), "b": middle, "c": np.full(3, 1.0)}, "x")
    assert condition.record()["found"].endswith("; at every step in 2 of 3 seeds")


def test_equivalence_without_a_test_of_its_own_is_two_one_sided_tests():
    estimate = Estimate(0.01, 0.02, 9)
    condition = Condition("", estimate, 0.05, side="within", level=0.9)
    upper = scipy.stats.t.sf((0.05 - 0.01) / 0.02, 9)
    assert condition.p_value() == pytest.approx(upper)
    assert Condition("", -estimate, 0.05, side="within", level=0.9).p_value() == pytest.approx(upper)


def test_below_is_above_of_the_negative():
    estimate = Estimate(0.1, 0.05, 9)
    below, above = Condition("", estimate, 0.2, side="below"), Condition("", -estimate, -0.2)
    assert below.p_value() == above.p_value()
    assert below.record()["needed"] == "below 0.200"
    assert below.record()["interval"] == pytest.approx(estimate.bounds())


@pytest.mark.parametrize(("p", "text"), [(1 / 10_001, "p ≤ 0.0001"), (0.042, "p = 0.042"), (1.0, "p = 1")])
def test_p_is_told_with_what_it_can_be_at_least(p, text):
    assert judging.p_text(p) == text


def test_students_that_copy_are_found_and_students_that_do_not_are_not(weights):
    def found(**options):
        return {
            (claim, reading): verdict
            for claim, reading, *_, verdict in claims.verdicts(Study(fake_study(**options), weights))
        }

    assert found(copying=0.8)["C6", ""] == "supported"
    assert found(copying=0.8)["C7", ""] == "not supported"
    assert found(copying=0.0)["C6", ""] == "not supported"
    assert found(copying=0.8, seeds=9)["C6", ""] == "open"
    assert set(found(copying=0.8, seeds=1).values()) == {"open"}


def test_mupe_that_falls_is_found(weights):
    effects = {"KD-SN1": -0.2, "KD-SN2": -0.1}
    verdicts = claims.verdicts(Study(fake_study(copying=0.5, effects=effects), weights))
    assert next(v for claim, *_, v in verdicts if claim == "C3") == "supported"


def test_without_controls_there_is_no_verdict_on_low_capacity(weights):
    predictions = fake_study(seeds=2)
    del predictions["SN1"], predictions["SN3"]
    assert "C7" not in claims.conditions(Study(predictions, weights))


def told(seeds, **verdicts):
    condition = {"what": "a", "needed": "p < 0.05", "found": "p = 0.01", "stands": "yes"}
    rows = [{"claim": claim, "controlled": word, "conditions": [condition]} for claim, word in verdicts.items()]
    definitions = {"as in Table 1": verdicts, "dropout off": dict.fromkeys(verdicts, "open")}
    ladder = [condition | {"what": "plain"}]
    return {"seeds": list(range(seeds)), "claims": rows, "plain_ladder": ladder, "definitions": definitions}


def test_one_table_holds_what_claims_rest_on_at_each_scale():
    """With a verdict where seeds are enough, and gaps where a study lacks a claim."""
    table = claims.table({"few": told(4, C3="open", C7="open"), "many": told(10, C3="supported")})
    assert list(table) == [("C3", "a"), ("C3, labels alone", "plain"), ("C7", "a")]
    assert table["C3", "a"] == {
        ("", "needed"): "p < 0.05",
        ("few", "found"): "p = 0.01\N{NO-BREAK SPACE}✓",
        ("many", "found"): "p = 0.01\N{NO-BREAK SPACE}✓",
        ("many", "verdict"): "supported",
    }
    assert table["C7", "a"]["many", "found"] == table["C7", "a"]["many", "verdict"] == "–"


def test_an_interval_in_the_table_does_not_break():
    record = told(4, C3="open")
    record["claims"][0]["conditions"] = [record["plain_ladder"][0] | {"found": "0.1 [0.0, 0.2]"}]
    assert (
        claims.table({"few": record})["C3", "plain"]["few", "found"]
        == "0.1 [0.0,\N{NO-BREAK SPACE}0.2]\N{NO-BREAK SPACE}✓"
    )


def test_claims_whose_verdict_depends_on_the_definition():
    record = told(10, C3="open", C5="supported")
    record["definitions"]["20 bins"] = {"C3": "supported", "C5": "not supported"}
    assert claims.by_definition(record) == {
        ("C3", "20 bins"): {"as in Table 1": "open", "verdict by it": "supported"},
        ("C5", "dropout off"): {"as in Table 1": "supported", "verdict by it": "open"},
        ("C5", "20 bins"): {"as in Table 1": "supported", "verdict by it": "not supported"},
    }


def test_the_papers_values_stand_beside_ours():
    record = {"networks": {"TN": {key: {"mean": 0.5, "interval": [0.4, 0.6]} for key in claims.PUBLISHED}}}
    paper = {"TN": dict.fromkeys(claims.PUBLISHED.values(), 0.55) | {"mupe": None, "ece": 0.7}}
    rows = claims.beside(record, paper)
    assert ("TN", "MUPE") not in rows
    assert rows["TN", "accuracy"] == {
        "the paper": "0.5500",
        "here": "0.5000 [0.4000, 0.6000]",
        "inside": "yes",
        "difference": "-0.0500",
    }
    assert rows["TN", "ECE"]["inside"] == "no"
    paper["TN"]["ece"] = 0.50001
    assert claims.beside(record, paper)["TN", "ECE"]["difference"] == "+0.0000"


def test_what_hangs_on_the_first_plans_interval_is_told_of_the_seeds_that_are_shown():
    stored = json.loads((first_plan.ROOT / "results" / "first_plan.json").read_text(encoding="utf-8"))
    assert {profile: first_plan.changes(profile) for profile in first_plan.SCALES} == stored["changes"]
