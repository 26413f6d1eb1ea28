"""A study in words: the paper's Table 1 beside ours, what it says of the claims; after a run, also how long it took.

python workflow/report.py runs/quick
"""

import json
import math
import sys
from pathlib import Path

from kdutils.claims import DIFFER, FEWEST_SEEDS, PUBLISHED, enough, judged

ROOT = Path(__file__).resolve().parent.parent


def table(record, paper):
    """The two tables as one in Markdown, "paper / here" in each cell, with ± half an interval from two seeds on."""
    lines = [["network", *("test" if key == "accuracy" else key for key in PUBLISHED)]]
    for name, ours in record["networks"].items():
        cells = [name]
        for key, field in PUBLISHED.items():
            form = "{:.4f}" if key in ("ECE", "MUPE") else "{:.2%}"
            theirs, here = paper.get(name, {}).get(field), ours.get(key, {"mean": None, "interval": None})
            text = " / ".join("–" if value is None else form.format(value) for value in (theirs, here["mean"]))
            if here["interval"]:
                text += " ± " + form.format((here["interval"][1] - here["interval"][0]) / 2)
            cells.append(text)
        lines.append(cells)
    return markdown(lines)


ANSWER = {  # what the verdicts on the paper's central claims mean in words
    "C6": {
        "reproduced": "yes, a student takes over its own teacher's uncertainty",
        "not reproduced": "no, a student takes over nothing that matters of its teacher's uncertainty",
        "inconclusive": "whether a student takes over its own teacher's uncertainty stays open",
    },
    "C3": {
        "reproduced": "the larger it is, the closer it comes",
        "not reproduced": "a larger one does not come closer",
        "inconclusive": "whether a larger one comes closer stays open",
    },
    "C7": {
        "reproduced": "too small a one takes over nothing",
        "not reproduced": "the smallest one takes over some of it, too",
        "inconclusive": "whether too small a one takes over nothing stays open",
    },
}
FOUND = {  # the same claims in the paper's sense, and in which words each of their conditions is told
    "C6": (
        "A student takes over its teacher's uncertainty",
        ("distillation takes {} off SN2's MUPE", "KD-SN2 is closer to its own teacher than to other teachers: {}"),
    ),
    "C3": (
        "The larger the student, the closer it comes",
        ("MUPE falls from size to size: {}", "KD-SN3's MUPE lies {} below KD-SN1's"),
    ),
    "C7": ("Too small a student takes over nothing", ("distillation takes {} off SN1's MUPE",)),
}
MARKS = {"yes": " ✓", "no": " ✗", "open": ""}  # whether a condition stands, taken alone
WORDS = ("reproduced", "holds so far", "not reproduced", "fails so far", DIFFER, "inconclusive", "open so far")


def size(record):
    """Of what size a study is: its scale and number of seeds."""
    count = len(record["seeds"])
    return f"`{record['profile']}`, {count} seed{'s' * (count > 1)}"


def listed(verdicts):
    """{claim: verdict} as "verdict: claims; …"."""
    found = {word: [claim for claim, verdict in verdicts.items() if verdict == word] for word in WORDS}
    return "; ".join(f"{word}: {', '.join(claims)}" for word, claims in found.items() if claims)


def share(condition):
    """By how much MUPE is lower, from its logarithm's difference, with its interval; else p as it was found."""
    if "mean" not in condition:
        return condition["found"]
    sign = -1 if condition["what"].startswith("−") else 1
    mean, *ends = (-math.expm1(-sign * value) for value in (condition["mean"], *(condition["interval"] or ())))
    return f"{mean:.0%}" + (f" [{min(ends):.0%}, {max(ends):.0%}]" if ends else "")


def answer(records):
    """What the studies say of the paper's central claims: a sentence, a table, and a list of all verdicts."""
    verdicts = [judged(record) for record in records]
    told, cautions, everything = [], [], []
    for record, found in zip(records, verdicts, strict=True):
        text = f"- All claims, {size(record)}: {listed(found)}."
        if enough(record):
            sentence = "; ".join(called[found[claim]] for claim, called in ANSWER.items())
            told.append(f"**The answer** ({size(record)}): {sentence}.")
            change = [claim for claim in found if len({row[claim] for row in record["definitions"].values()}) > 1]
            text += f" By other definitions of ECE and MUPE others come out for {', '.join(change) or 'none'}."
        else:
            cautions.append(
                f"For `{record['profile']}`, {len(record['seeds'])} are too few for a verdict that counts chance (it "
                f"takes {FEWEST_SEEDS} seeds): *so far* is what a claim's conditions say, each taken alone."
            )
        everything.append(text)
    lines = [["the paper's finding", *map(size, records)]]
    for claim, (says, reasons) in FOUND.items():
        cells = [f"{says} ({claim})"]
        for record, found in zip(records, verdicts, strict=True):
            (row,) = (row for row in record["claims"] if row["claim"] == claim)
            why = [text.format(share(condition)) for text, condition in zip(reasons, row["conditions"], strict=False)]
            cells.append(f"**{found[claim]}**: {'; '.join(why)}")
        lines.append(cells)
    return "\n\n".join([" ".join(told + cautions), markdown(lines), "\n".join(everything)])


def claims(records):
    """The verdicts on the paper's claims in Markdown, and a table of what they rest on; each study has its columns."""
    sizes = [size(record) for record in records]
    found = [f"{what}, {own}" for own in sizes for what in ("order of the values", "verdict")]
    verdicts = [["", "claim", *found, "do the paper's own values meet the rule?"]]
    reasons = [["", "what it rests on", "needed", *sizes]]
    for rows in zip(*(record["claims"] for record in records), strict=True):
        claim, says, own = (rows[0][key] for key in ("claim", "says", "paper"))
        verdicts.append([claim, says, *(row[key] for row in rows for key in ("literal", "controlled")), own])
        for conditions in zip(*(row["conditions"] for row in rows), strict=True):
            what = conditions[0]["what"].replace("|", "\\|")  # else it would end the table's cell
            cells = [condition["found"] + MARKS[condition["stands"]] for condition in conditions]
            reasons.append([claim, what, conditions[0]["needed"], *cells])
    return f"{markdown(verdicts)}\n\n{markdown(reasons)}"


def markdown(lines):
    """Rows of cells as a Markdown table."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    padded = (" | ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(f"| {line} |" for line in padded)


def named(seeds, dash="–", comma=", "):
    """Seeds as text: those in a row by the first and the last."""
    in_a_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{dash}{seeds[-1]}" if in_a_row else comma.join(map(str, seeds))


def heading(record):
    """What Table 1 is of; in which precision its seeds were trained, if they differ in it."""
    precision = [f"{dtype}: {told(seeds)}" for dtype, seeds in record["precision"].items()]
    mixed = f"; {'; '.join(precision)}" if len(precision) > 1 else ""
    return f"Table 1, the paper / here (profile `{record['profile']}`, {told(record['seeds'])}{mixed})"


def told(seeds):
    return f"seed{'s' * (len(seeds) > 1)} {named(seeds)}"


def show(folder):
    """Table 1 of a run, where its figures are, and how long each step took."""
    record = json.loads((folder / "table1.json").read_text())
    paper = json.loads((ROOT / "results" / "paper_table1.json").read_text())["networks"]
    print(f"\n{heading(record)}\n\n{table(record, paper)}\n")
    steps = sorted((folder / "notebooks").glob("*.json"))
    if steps:
        print("Seconds, the last time that each notebook ran:")
        for step in steps:
            print(f"  {step.stem:32s}{json.loads(step.read_text())['seconds']:8.0f}")
        print(f"\nFigures: {folder / 'figures'}   executed notebooks: {folder / 'notebooks'}")


if __name__ == "__main__":
    show(Path(sys.argv[1]))
