"""The README's generated sentences and cells say what the verdicts are."""

import pages
import pytest
import report
from kdutils.profiles import parse_seeds

FOUND = {"C3": "not reproduced", "C5": "reproduced", "C6": "reproduced", "C7": "inconclusive"}


def condition(what="gain", mean=0.5, stands="yes"):
    low, high = mean - 0.1, mean + 0.1
    found = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
    return {
        "what": what,
        "needed": "above 0.2",
        "found": found,
        "stands": stands,
        "mean": mean,
        "interval": [low, high],
    }


def record(seeds=10, scale="quick", **verdicts):
    tested = {"what": "test", "needed": "p < 0.05", "found": "p = 0.01", "stands": "yes", "p": 0.01}
    conditions = {"C3": [tested, condition()], "C6": [condition(), tested], "C7": [condition("−gain", -0.4)]}
    rows = [
        {
            "claim": claim,
            "says": "so",
            "literal": "holds",
            "controlled": verdict,
            "conditions": conditions.get(claim, [condition()]),
            "paper": "no",
        }
        for claim, verdict in (FOUND | verdicts).items()
    ]
    definitions = {"as in Table 1": FOUND, "dropout off": FOUND | {"C6": "inconclusive"}}
    return {"profile": scale, "seeds": list(range(seeds)), "claims": rows, "definitions": definitions}


def test_the_answer_says_what_the_verdicts_are():
    told, table, everything = report.answer([record()]).split("\n\n")
    assert told == (
        "**The answer** (`quick`, 10 seeds): yes, a student takes over its own teacher's uncertainty; a larger one "
        "does not come closer; whether too small a one takes over nothing stays open."
    )
    assert cells(table)[0] == ["the paper's finding", "`quick`, 10 seeds"]
    assert everything == (
        "- All claims, `quick`, 10 seeds: reproduced: C5, C6; not reproduced: C3; inconclusive: C7. By other "
        "definitions of ECE and MUPE others come out for C6."
    )
    assert "): no, " in report.answer([record(C6="not reproduced")])


def test_the_answer_tells_logarithms_of_mupes_as_shares_of_them():
    """1 − exp(−0.5) is 39 %, 1 − exp(−0.4) 33 %; the ends of an interval likewise, the smaller one first."""
    found = {line[0][-3:-1]: line[1] for line in cells(report.answer([record()]).split("\n\n")[1])[2:]}
    assert found == {
        "C6": "**reproduced**: distillation takes 39% [33%, 45%] off SN2's MUPE; KD-SN2 is closer to its own teacher "
        "than to other teachers: p = 0.01",
        "C3": "**not reproduced**: MUPE falls from size to size: p = 0.01; KD-SN3's MUPE lies 39% [33%, 45%] below "
        "KD-SN1's",
        "C7": "**inconclusive**: distillation takes 33% [26%, 39%] off SN1's MUPE",
    }
    assert report.share({"what": "gain", "mean": 0.5, "interval": None}) == "39%"  # of one seed


def test_fewer_than_ten_seeds_give_no_verdict_but_where_each_condition_lies():
    few = record(3, "paper")
    stands = {"C3": ("yes", "yes"), "C5": ("no",), "C6": ("open", "yes"), "C7": ("open",)}
    for row in few["claims"]:
        row["conditions"] = [
            condition | {"stands": word}
            for condition, word in zip(row["conditions"], stands[row["claim"]], strict=True)
        ]
    told, table, everything = report.answer([few]).split("\n\n")
    assert told == (
        "For `paper`, 3 are too few for a verdict that counts chance (it takes 10 seeds): *so far* is what a claim's "
        "conditions say, each taken alone."
    )
    judged = {line[0][-3:-1]: line[1].split("**")[1] for line in cells(table)[2:]}
    assert judged == {"C6": "open so far", "C3": "holds so far", "C7": "open so far"}
    assert everything == "- All claims, `paper`, 3 seeds: holds so far: C3; fails so far: C5; open so far: C6, C7."


def test_two_readings_of_a_claim_that_differ():
    found = report.answer([record(**{"C5 (deterministic)": "not reproduced"})])
    assert "reproduced: C6; not reproduced: C3; dependent on the definition: C5; inconclusive: C7." in found


def test_each_study_has_its_column_and_its_line_in_their_order():
    told, table, everything = report.answer([record(3, "paper"), record()]).split("\n\n")
    assert told.index("**The answer** (`quick`") < told.index("For `paper`, 3 are too few")
    assert cells(table)[0][1:] == ["`paper`, 3 seeds", "`quick`, 10 seeds"]
    assert [line[:22] for line in everything.splitlines()] == ["- All claims, `paper`,", "- All claims, `quick`,"]


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_each_study_has_its_columns_in_the_table_of_claims():
    other = record()
    other["claims"][1]["conditions"] = [condition(mean=0.45, stands="no")]
    verdicts, reasons = map(cells, report.claims([record(3, "paper", C6="inconclusive"), other]).split("\n\n"))
    ours = ["order of the values, `paper`, 3 seeds", "verdict, `paper`, 3 seeds"]
    ours += ["order of the values, `quick`, 10 seeds", "verdict, `quick`, 10 seeds"]
    assert verdicts[0] == ["", "claim", *ours, "do the paper's own values meet the rule?"]
    assert ["C6", "so", "holds", "inconclusive", "holds", "reproduced", "no"] in verdicts
    assert reasons[0] == ["", "what it rests on", "needed", "`paper`, 3 seeds", "`quick`, 10 seeds"]
    assert reasons[4] == ["C5", "gain", "above 0.2", "0.50 [0.40, 0.60] ✓", "0.45 [0.35, 0.55] ✗"]


def test_what_is_measured_between_bars_does_not_end_its_cell():
    study = record()
    study["claims"][0]["conditions"][0]["what"] = "|a − b|"
    assert r"\|a − b\|" in report.claims([study])


def test_what_another_training_would_change():
    means = {"temperature 4, as chosen": 0.45, "temperature 1": -0.1, "temperature 16": 0.9, "no T²": 0.2}
    claims = {"C5: a": {"means": means, "turned": []}, "C6: b": {"means": means, "turned": ["temperature 1", "no T²"]}}
    found = pages.sensitivity({"profile": "quick", "seeds": [0, 1, 2], "claims": claims}).splitlines()
    assert found[0].startswith(
        "Of our choices in training, 3 were made otherwise at `quick`, one at a time, with 3 seeds"
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[-2:]]
    numbers = ["0.45", "-0.1, temperature 1", "0.9, temperature 16"]
    assert cells == [["C5: a", *numbers, "none"], ["C6: b", *numbers, "temperature 1; no T²"]]
    assert pages.sensitivity({"seeds": [], "claims": {}}).startswith("Nothing was trained otherwise")


@pytest.mark.parametrize(
    ("seeds", "named"),
    [([3], "seed 3"), ([0, 1], "seeds 0, 1"), ([0, 1, 2], "seeds 0–2"), ([0, 1, 3], "seeds 0, 1, 3")],
)
def test_the_seeds_of_a_table(seeds, named):
    assert report.heading({"profile": "quick", "seeds": seeds, "precision": {"float32": seeds}}).endswith(
        f"(profile `quick`, {named})"
    )


@pytest.mark.parametrize(("seeds", "named"), [([3, 4, 5], "3-5"), ([8, 9], "8,9"), ([0, 4, 5], "0,4,5")])
def test_seeds_named_in_a_command_are_those_that_it_runs(seeds, named):
    assert report.named(seeds, "-", ",") == named
    assert parse_seeds(named) == seeds
