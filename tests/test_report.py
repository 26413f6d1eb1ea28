"""The README's generated sentences and cells say what the verdicts are."""

import pages
import pytest
import report
from kdutils.claims import judged

FOUND = {"C3": "not supported", "C5": "supported", "C6": "supported", "C7": "open"}


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
    rows = [
        {
            "claim": claim,
            "says": "so",
            "literal": "yes",
            "controlled": verdict,
            "conditions": [condition()],
            "paper": "no",
        }
        for claim, verdict in (FOUND | verdicts).items()
    ]
    definitions = {"as in Table 1": FOUND, "dropout off": FOUND | {"C6": "open"}}
    return {"profile": scale, "seeds": list(range(seeds)), "claims": rows, "definitions": definitions}


def transfer(seeds=10, scale="quick", low=0.4, high=0.6):
    """A record of what is transferred: each measure is 0.5."""
    networks = {}
    for network, measure, *_ in (*report.TOLD, *report.CONVERGED_MEASURES):
        networks.setdefault(network, {})[measure] = {"mean": 0.5, "interval": [low, high]}
    rows = [{"claim": "P1", "says": "so", "controlled": "supported", "conditions": [condition()]}]
    return {"profile": scale, "seeds": list(range(seeds)), "networks": networks, "claims": rows}


def test_what_was_found_is_told_in_numbers_of_each_scale():
    """1 − exp(−0.5) is 39 %; the ends of an interval likewise."""
    study = report.answer([record(6, "paper")], [transfer(6, "paper"), transfer()], transfer(6))
    _, _, third, _, share, information, longer, *_ = study.splitlines()
    assert third.endswith("** This *gain* is 39% [33%, 45%] and 39% [33%, 45%].")
    assert share.count("0.50 [0.40, 0.60]") == 4
    assert information.count("165% [149%, 182%]") == 8
    assert "(6 seeds, 8,000 images), distillation takes 39% [33%, 45%] off SN2's MUPE" in longer


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (6, "So far 6 of 10 are there, so every claim is *open* by our rule."),
        (
            10,
            "The paper's claims: 2 *supported*, 1 *not supported*, 1 *open*. "
            "Our own: 1 *supported*, 7 not yet measured.",
        ),
    ],
)
def test_the_answer_says_whose_numbers_they_are_and_how_they_are_judged(count, said):
    first, *_, last = report.answer(
        [record(count, "paper")], [transfer(count, "paper"), transfer()], transfer(6)
    ).splitlines()
    assert f"(50,000 training images, {count} fresh seeds), the second at a smaller one (8,000 images, 10" in first
    assert f" {said} All other numbers are" in last


def test_the_answer_says_what_the_first_plan_would_change():
    turned = [{"claim": "C3", "now": "supported", "then": "open"}, {"claim": "C6", "now": "supported", "then": "open"}]
    told = report.answer([record(10, "paper")], [transfer(10, "paper"), transfer()], transfer(6), turned)
    assert "1 *open* (by our first plan's interval: C3 *open*, C6 *open*). Our own: " in told


def test_the_table_of_what_was_found():
    head, _, *rows = cells(report.measures([transfer()]))
    assert head == ["", "`quick`, 10 seeds (exploration)"]
    assert [row[1] for row in rows] == 3 * ["39% [33%, 45%]"] + 2 * ["0.50 [0.40, 0.60]"] + 4 * [
        "165% [149%, 182%]"
    ] + 2 * ["0.50 [0.40, 0.60]"]


def test_all_verdicts_are_listed():
    assert report.verdicts([record()], [transfer()]) == (
        "- The paper's claims, `quick`, 10 seeds: supported: C5, C6; not supported: C3; open: C7. Other "
        "definitions of ECE and MUPE change the verdict on C6.\n- Our claims, `quick`, 10 seeds: supported: P1."
    )


def test_a_number_just_below_zero_is_told_without_a_sign():
    assert report.with_interval({"mean": -0.001, "interval": None}, "share") == "0%"
    assert report.with_interval({"mean": -0.001, "interval": None}, "number") == "0.00"
    assert report.with_interval({"mean": -0.1, "interval": None}, "share") == "-11%"


def test_seeds_on_which_nothing_was_explored_are_told_apart():
    assert report.stage({"profile": "paper", "seeds": [4, 5]}) == "fresh seeds"
    for profile, seeds in (("paper", [3, 4]), ("quick", [4, 5])):
        assert report.stage({"profile": profile, "seeds": seeds}) == "exploration"


def test_two_readings_of_a_claim_that_differ():
    found = report.listed(judged(record(**{"C5 (deterministic)": "not supported"})))
    assert found == "supported: C6; not supported: C3; open, as dropout on and off disagree: C5; open: C7"


def test_each_study_has_its_column_and_its_line_in_their_order():
    records, transfers = [record(3, "paper"), record()], [transfer(3, "paper"), transfer()]
    columns = cells(report.measures(transfers))[0][1:]
    assert columns == ["`paper`, 3 seeds (exploration)", "`quick`, 10 seeds (exploration)"]
    found = [line.split(",")[0] for line in report.verdicts(records, transfers).splitlines()]
    assert found == ["- The paper's claims", "- The paper's claims", "- Our claims", "- Our claims"]


def follow(scale, skill, **seeds):
    """A record of how closely networks {name: number of seeds} follow: this skill, and half of it on turned digits."""
    measured = [{"skill": {"mean": mean, "interval": [mean - 0.1, mean + 0.1]}} for mean in (skill, skill / 2)]
    images = dict(zip(("test", "rotation-45"), measured, strict=True)) | {"fashion": {}}
    first = 4 if scale == "paper" else 0
    counts = {"TN": 10, "KD_SN2": 10, "ONE_SN2": 10} | seeds
    return {
        "profile": scale,
        "readings": [
            {
                "network": name.replace("_", "-"),
                "dropout": dropout,
                "seeds": list(range(first, first + count)),
                "images": images,
            }
            for name, count in counts.items()
            for dropout in ("on", "off")
        ],
    }


EXPLORED = {"ONE_SN1": 6, "ONE_SN1_off": 3, "ONE_SN1_clean": 3, "KD_SN1_views": 3}


def test_a_step_beyond_is_told_at_the_papers_scale_with_its_verdicts_and_controls_at_the_smaller_one():
    records = [follow("paper", 0.8, KD_SN2_steps=10), follow("quick", 0.4, **EXPLORED)]
    judged = [{"claim": "P6", "controlled": "open"}, {"claim": "P7", "controlled": "supported"}]
    told = pages.beyond(records, {"claims": [*judged, {"claim": "P8", "controlled": "open"}]})
    assert told.startswith("SN2 so trained, ONE-SN2, has a skill of 0.80 [0.70, 0.90] in one pass")
    assert "KD-SN2-steps, given as many steps, of 0.80 [0.70, 0.90]. (A" in told
    assert "; `paper`, 10 seeds.) Of our claims, P7 is *supported* and P8 is *open*. Explored at `quick`: " in told
    assert "SN1 so trained has 0.40 [0.30, 0.50], with the single pass as the answer 0.40 [" in told
    assert "without views 0.40 [0.30, 0.50] (3 seeds). The paper's distillation on as many views has 0.40 [" in told
    told = pages.beyond(records, {"claims": [*judged, {"claim": "P8", "controlled": "supported"}]})
    assert ") Of our claims, P7 and P8 are *supported*. Explored" in told
    assert "claims" not in pages.beyond(records, {"claims": judged[:1]})
    explored = pages.beyond(records[1:], {"claims": []})
    assert "; `quick`, 10 seeds.)" in explored
    assert "KD-SN2-steps" not in explored


def test_each_scale_has_its_table_of_how_closely_networks_follow():
    text = pages.one_pass([follow("paper", 0.8, KD_SN2_steps=7), follow("quick", 0.4)])
    first, table, second, other = text.split("\n\n")
    assert (first, second) == ("`paper` (fresh seeds):", "`quick` (exploration):")
    row = ["0.80 [0.70, 0.90]", "–", "0.40 [0.30, 0.50]", "–", "–"]
    assert cells(table)[4] == ["KD-SN2-steps, 100 passes", "7", *row]
    assert [line[0] for line in cells(other)[2:]] == ["TN, one pass", "KD-SN2, 100 passes", "ONE-SN2, one pass"]


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_each_study_has_its_columns_in_the_table_of_claims():
    other = record()
    other["claims"][1]["conditions"] = [condition(mean=0.45, stands="no")]
    verdicts, reasons = map(cells, report.claims([record(3, "paper", C6="open"), other]).split("\n\n"))
    ours = ["order of the values, `paper`, 3 seeds", "verdict, `paper`, 3 seeds"]
    ours += ["order of the values, `quick`, 10 seeds", "verdict, `quick`, 10 seeds"]
    assert verdicts[0] == ["", "claim", *ours, "do the paper's own values meet the rule?"]
    assert ["C6", "so", "yes", "open", "yes", "supported", "no"] in verdicts
    assert reasons[0] == ["", "what it rests on", "needed", "`paper`, 3 seeds", "`quick`, 10 seeds"]
    assert reasons[3] == [
        "C5",
        "gain",
        "above 0.2",
        "0.50 [0.40, 0.60]\N{NO-BREAK SPACE}✓",
        "0.45 [0.35, 0.55]\N{NO-BREAK SPACE}✗",
    ]


def test_a_claim_that_another_study_does_not_measure_has_gaps():
    more = transfer(10, "paper")
    more["claims"].append(more["claims"][0] | {"claim": "P7", "says": "too", "controlled": "open"})
    verdicts, reasons = map(cells, report.claims([more, transfer()]).split("\n\n"))
    assert verdicts[3] == ["P7", "too", "open", "–"]
    assert reasons[3][-2:] == ["0.50 [0.40, 0.60]\N{NO-BREAK SPACE}✓", "–"]


def test_c3_stands_beside_the_networks_that_never_met_a_teacher():
    study = record() | {"plain_ladder": [condition("plain"), condition("plain too")]}
    _, reasons = map(cells, report.claims([study]).split("\n\n"))
    assert [row[:2] for row in reasons[2:6]] == [
        ["C3", "gain"],
        ["C3, labels alone", "plain"],
        ["C3, labels alone", "plain too"],
        ["C5", "gain"],
    ]


def test_our_claims_have_no_order_of_the_papers():
    verdicts, _ = map(cells, report.claims([transfer()]).split("\n\n"))
    assert verdicts[0] == ["", "claim", "verdict, `quick`, 10 seeds"]
    assert verdicts[2] == ["P1", "so", "supported"]


def test_what_is_measured_between_bars_does_not_end_its_cell():
    study = record()
    study["claims"][0]["conditions"][0]["what"] = "|a − b|"
    assert r"\|a − b\|" in report.claims([study])


def test_what_another_training_would_change():
    means = {"temperature 4, as chosen": 0.45, "temperature 1": -0.1, "temperature 16": 0.9, "twice the epochs": 0.2}
    claims = {"C5: a": {"means": means, "turned": []}, "C6: b": {"means": means, "turned": ["temperature 1"]}}
    found = pages.sensitivity({"profile": "quick", "seeds": [0, 1, 2], "claims": claims}).splitlines()
    assert found[0].startswith(
        "Of our choices in training, 3 were made otherwise at `quick`, one at a time, with 3 seeds"
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[-2:]]
    numbers = ["0.45", "0.20", "-0.10, temperature 1", "0.90, temperature 16"]
    assert cells == [["C5: a", *numbers, "none"], ["C6: b", *numbers, "temperature 1"]]
    assert pages.sensitivity({"seeds": [], "claims": {}}).startswith("Nothing was trained otherwise")


@pytest.mark.parametrize(
    ("seeds", "named"),
    [([3], "seed 3"), ([0, 1], "seeds 0, 1"), ([0, 1, 2], "seeds 0–2"), ([0, 1, 3], "seeds 0, 1, 3")],
)
def test_the_seeds_of_a_table(seeds, named):
    assert report.heading({"profile": "quick", "seeds": seeds, "precision": {"float32": seeds}}).endswith(
        f"(profile `quick`, {named})"
    )
