"""The README's generated sentences and cells say what the verdicts are."""

import pytest
import report

FOUND = {"C3": "not reproduced", "C5": "reproduced", "C6": "reproduced", "C7": "inconclusive"}


def record(seeds=10, scale="quick", **verdicts):
    conditions = [{"what": "gain", "needed": "above 0.2", "found": "0.50 [0.40, 0.60]", "stands": "yes"}]
    rows = [
        {
            "claim": claim,
            "says": "so",
            "literal": "holds",
            "controlled": verdict,
            "conditions": conditions,
            "paper": "no",
        }
        for claim, verdict in (FOUND | verdicts).items()
    ]
    definitions = {"as in Table 1": FOUND, "dropout off": FOUND | {"C6": "inconclusive"}}
    return {"profile": scale, "seeds": list(range(seeds)), "claims": rows, "definitions": definitions}


def test_fewer_than_ten_seeds_give_no_verdict_but_where_each_condition_lies():
    few = record(3, "paper")
    for row, stands in zip(
        few["claims"], (["yes", "yes"], ["yes", "no"], ["no", "open"], ["open", "yes"]), strict=True
    ):
        row["conditions"] = [row["conditions"][0] | {"stands": word} for word in stands]
    gain = "gain 0.50 [0.40, 0.60], needed above 0.2"
    assert report.answer([few]) == (
        "**The answer so far** (`paper`, 3 seeds; a verdict that counts chance needs 10). What each claim rests on, "
        "taken alone: no, a student takes over nothing that matters of its teacher's uncertainty; the more so the "
        "larger it is; whether too small a student takes over none of it stays open. The paper's claims: hold: C3; "
        f"fail: C5, C6; open: C7. In numbers: {gain}; {gain}."
    )


def test_the_answer_says_what_the_verdicts_are():
    assert report.answer([record()]) == (
        "**The answer** (`quick`, 10 seeds): yes, a student takes over its own teacher's uncertainty; not "
        "the more so the larger it is; whether too small a student takes over none of it stays open. The paper's "
        "claims: reproduced: C5, C6; not reproduced: C3; inconclusive: C7. If ECE and MUPE are defined otherwise "
        "than in Table 1, verdicts change on: C6."
    )
    assert "): no, " in report.answer([record(C6="not reproduced")])


def test_two_readings_of_a_claim_that_differ():
    found = report.answer([record(**{"C5 (deterministic)": "not reproduced"})])
    assert "reproduced: C6; not reproduced: C3; dependent on the definition: C5; inconclusive: C7." in found


def test_each_study_has_its_answer_in_their_order():
    first, second = report.answer([record(3, "paper"), record()]).split("\n\n")
    assert first.startswith("**The answer so far** (`paper`, 3 seeds;")
    assert second == report.answer([record()])


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_each_study_has_its_columns_in_the_table_of_claims():
    other = record()
    other["claims"][0]["conditions"] = [
        {"what": "gain", "needed": "above 0.2", "found": "0.45 [0.35, 0.55]", "stands": "no"}
    ]
    verdicts, reasons = map(cells, report.claims([record(3, "paper", C6="inconclusive"), other]).split("\n\n"))
    ours = ["order of the values, `paper`, 3 seeds", "verdict, `paper`, 3 seeds"]
    ours += ["order of the values, `quick`, 10 seeds", "verdict, `quick`, 10 seeds"]
    assert verdicts[0] == ["", "claim", *ours, "do the paper's own values meet the rule?"]
    assert ["C6", "so", "holds", "inconclusive", "holds", "reproduced", "no"] in verdicts
    assert reasons[0] == ["", "what it rests on", "needed", "`paper`, 3 seeds", "`quick`, 10 seeds"]
    assert reasons[2] == ["C3", "gain", "above 0.2", "0.50 [0.40, 0.60] ✓", "0.45 [0.35, 0.55] ✗"]


def test_what_is_measured_between_bars_does_not_end_its_cell():
    study = record()
    study["claims"][0]["conditions"][0]["what"] = "|a − b|"
    assert r"\|a − b\|" in report.claims([study])


def test_what_another_training_would_change():
    means = {"temperature 4, as chosen": 0.45, "temperature 1": -0.1, "temperature 16": 0.9, "no T²": 0.2}
    claims = {"C5: a": {"means": means, "turned": []}, "C6: b": {"means": means, "turned": ["temperature 1", "no T²"]}}
    found = report.sensitivity({"profile": "quick", "seeds": [0, 1, 2], "claims": claims}).splitlines()
    assert found[0].startswith(
        "Of our choices in training, 3 were made otherwise at `quick`, one at a time, with 3 seeds"
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[-2:]]
    numbers = ["0.45", "-0.1, temperature 1", "0.9, temperature 16"]
    assert cells == [["C5: a", *numbers, "none"], ["C6: b", *numbers, "temperature 1; no T²"]]
    assert report.sensitivity({"seeds": [], "claims": {}}).startswith("Nothing was trained otherwise")


@pytest.mark.parametrize(
    ("seeds", "named"),
    [([3], "seed 3"), ([0, 1], "seeds 0, 1"), ([0, 1, 2], "seeds 0–2"), ([0, 1, 3], "seeds 0, 1, 3")],
)
def test_the_seeds_of_a_table(seeds, named):
    assert report.heading({"profile": "quick", "seeds": seeds}).endswith(f"(profile `quick`, {named})")
