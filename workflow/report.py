"""A study in words: the paper's Table 1 beside ours, what it says of the claims; after a run, also how long it took.

python workflow/report.py runs/quick
"""

import json
import math
import sys
from pathlib import Path

from kdutils.claims import CLAIMS, DIFFER, PUBLISHED, judged, reasons
from kdutils.judging import FEWEST_SEEDS, marked
from kdutils.ours import NEEDS, ONE_PASS_NEEDS
from kdutils.profiles import FIRST_FRESH

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


RANKS = "ρ of mutual information, own − other teachers"
WORDS = ("supported", "not supported", DIFFER, "open")
TOLD = (  # (network, measure, what it says, form): an answer in numbers
    ("KD-SN2", "gain", "distillation takes off SN2's MUPE", "share"),
    ("KD-SN2", "recalibrated gain, own teacher", "… after the best recalibration", "share"),
    ("KD-SN2", "recalibrated gain, other teachers", "… and towards teachers that it never met", "share"),
    ("KD-SN2", "own-teacher share", "KD-SN2's share of what is peculiar to its teacher", "number"),
    ("SN2", "own-teacher share", "… and SN2's, which never met it", "number"),
    ("KD-SN3", "log mutual information / teacher's", "KD-SN3's mutual information, of its teacher's", "ratio"),
    ("SN3", "log mutual information / teacher's", "… and SN3's, which never met it", "ratio"),
    ("KD-SN2", "log mutual information / teacher's", "KD-SN2's mutual information, of its teacher's", "ratio"),
    ("SN2", "log mutual information / teacher's", "… and SN2's, which never met it", "ratio"),
    ("KD-SN2", RANKS, "KD-SN2's order of the images by it: ρ with the own teacher's, less with others'", "number"),
    ("SN2", RANKS, "… and SN2's, which never met it", "number"),
)
ANSWER = (  # what was found; how its measures are told, each by its place in TOLD
    (
        "Distillation takes a quarter to a third off the MUPE of SN2, a student of seven layers",
        "This *gain* is {0}.",
    ),
    (
        "Part of that is level and scale, which the best recalibration of SN2 gives, too: roughly two fifths at the "
        "paper's scale, two thirds at the smaller one. Recalibrated, SN2 gains towards its own teacher alone",
        "It takes off {1}; towards teachers that the student never met, {2}.",
    ),
    (
        "KD-SN2 has a fifth to a quarter of what is peculiar to its teacher",
        "Its share is {3}; that of SN2, which never met the teacher, is {4}.",
    ),
    (
        "The level of the teacher's dropout uncertainty is not taken over: distilled, a student's passes just agree "
        "more than its twin's",
        "KD-SN3's mutual information is {5} of its teacher's; SN3's is {6}. KD-SN2's is {7}, SN2's {8}. On which "
        "images the passes disagree is learned in part from the own teacher.",
    ),
)
WHERE = (  # whose numbers they are
    "Of two numbers the first is found at the paper's scale (50,000 training images, {} fresh seeds), the second at a "
    "smaller one (8,000 images, {} seeds). In brackets stand 95% intervals over seeds and test images."
)
CONVERGED = (
    "- **Trained to the end, nearly all of the gain is level and scale.** With twelve epochs instead of three "
    "({seeds} seeds, 8,000 images), distillation takes {0} off SN2's MUPE, and {1} after recalibration. KD-SN2's "
    "share is {2}. Its mutual information is {3} of its teacher's; that of SN2, {4}."
)
CONVERGED_MEASURES = (
    ("KD-SN2", "gain", "share"),
    ("KD-SN2", "recalibrated gain, own teacher", "share"),
    ("KD-SN2", "own-teacher share", "number"),
    ("KD-SN2", "log mutual information / teacher's", "ratio"),
    ("SN2", "log mutual information / teacher's", "ratio"),
)
FORMS = {  # how a number and the ends of its interval are told
    "share": lambda value: f"{-math.expm1(-value):z.0%}",
    "ratio": lambda value: f"{math.exp(value):.0%}",
    "number": lambda value: f"{value:z.2f}",
}


def size(record):
    """Of what size a study is: its scale and number of seeds."""
    count = len(record["seeds"])
    return f"`{record['profile']}`, {count} seed{'s' * (count > 1)}"


def listed(verdicts):
    """{claim: verdict} as "verdict: claims; …"."""
    found = {word: [claim for claim, verdict in verdicts.items() if verdict == word] for word in WORDS}
    return "; ".join(f"{word}: {', '.join(claims)}" for word, claims in found.items() if claims)


def with_interval(found, form):
    """A measure {"mean", "interval"} in one of FORMS, e.g. "32% [26%, 38%]"."""
    mean, *ends = map(FORMS[form], (found["mean"], *(found["interval"] or ())))
    return mean + (f" [{', '.join(ends)}]" if ends else "")


def number(record, network, measure, form):
    """A network's measure in a record of what was transferred, as `with_interval` tells it."""
    return with_interval(record["networks"][network][measure], form)


def answer(records, transfers, converged, turned=()):
    """What was found, and how far it is judged: bullets with their numbers at each scale, between two paragraphs.

    records, transfers: of the paper's claims and of ours, the paper's scale first; converged: the last bullet's record.
    turned: the verdicts that the first plan's interval would change at the paper's scale, of `first_plan`.
    """
    found = [
        " and ".join(number(record, network, measure, form) for record in transfers)
        for network, measure, _, form in TOLD
    ]
    lines = [f"- **{says}.** {told.format(*found)}" for says, told in ANSWER]
    longer = (number(converged, *own) for own in CONVERGED_MEASURES)
    lines.append(CONVERGED.format(*longer, seeds=len(converged["seeds"])))
    counts = [len(record["seeds"]) for record in transfers]
    return "\n\n".join([WHERE.format(*counts), "\n".join(lines), trust(records[0], transfers[0], turned)])


def trust(record, transfer, turned=()):
    """How far the paper's scale is judged, in sentences, by its records of the paper's claims and of ours.

    turned: as for `answer`.
    """
    count = len(transfer["seeds"])
    if count < FEWEST_SEEDS:
        said = f"So far {count} of {FEWEST_SEEDS} are there, so every claim is *open* by our rule."
    else:
        papers, own = (counted(judged(found)) for found in (record, transfer))
        missing = len(NEEDS | ONE_PASS_NEEDS) - len(transfer["claims"])
        otherwise = ", ".join(f"{row['claim']} *{row['then']}*" for row in turned)
        otherwise = f" (by our first plan's interval: {otherwise})" * bool(otherwise)
        unmeasured = f", {missing} not yet measured" * bool(missing)
        said = f"The paper's claims: {papers}{otherwise}. Our own: {own}{unmeasured}."
    return (
        "*Fresh* means that all claims about these seeds were written down before their training. "
        f"{said} All other numbers are *exploration*: claims were found on those seeds."
    )


def counted(verdicts):
    """{claim: verdict} as "2 *supported*, 1 *not supported*, 5 *open*"."""
    simple = ["open" if verdict == DIFFER else verdict for verdict in verdicts.values()]
    found = [f"{simple.count(word)} *{word}*" for word in WORDS if word in simple]
    return ", ".join(found)


def stage(record):
    """Of a study: "fresh seeds", on which nothing was explored, or "exploration"."""
    return "fresh seeds" if record["profile"] == "paper" and min(record["seeds"]) >= FIRST_FRESH else "exploration"


def measures(transfers):
    """What was transferred, in numbers, as a table."""
    lines = [["", *(f"{size(record)} ({stage(record)})" for record in transfers)]]
    for network, measure, says, form in TOLD:
        lines.append([says, *(number(record, network, measure, form) for record in transfers)])
    return markdown(lines)


def verdicts(records, transfers):
    """All verdicts, on the paper's claims and on ours, as a list."""
    lines = []
    for record in records:
        text = f"- The paper's claims, {size(record)}: {listed(judged(record))}."
        change = [claim for claim in CLAIMS if len({row.get(claim) for row in record["definitions"].values()}) > 1]
        other = f" Other definitions of ECE and MUPE change the verdict on {', '.join(change)}."
        lines.append(text + other * bool(change))
    lines += [f"- Our claims, {size(record)}: {listed(judged(record))}." for record in transfers]
    return "\n".join(lines)


def claims(records):
    """The verdicts on claims in Markdown, and a table of what they rest on; each study has its columns.

    The first study's claims are shown, with "–" where another one does not measure them.
    """
    sizes, papers = [size(record) for record in records], "paper" in records[0]["claims"][0]
    kinds = ("order of the values", "verdict") if papers else ("verdict",)
    keys = ("literal", "controlled")[-len(kinds) :]
    last = ["do the paper's own values meet the rule?"] * papers
    verdicts = [["", "claim", *(f"{what}, {own}" for own in sizes for what in kinds), *last]]
    rests = [["", "what it rests on", "needed", *sizes]]
    by_claim = [{row["claim"]: row for row in record["claims"]} for record in records]
    for claim, first in by_claim[0].items():
        own = [rows[claim][key] if claim in rows else "–" for rows in by_claim for key in keys]
        verdicts.append([claim, first["says"], *own, *([first["paper"]] if papers else [])])
    found = [reasons(record) for record in records]
    for (claim, what), condition in found[0].items():
        cells = [marked(own.get((claim, what))) for own in found]
        # a bar would end the table's cell
        rests.append([claim, what.replace("|", "\\|"), condition["needed"], *cells])
    return f"{markdown(verdicts)}\n\n{markdown(rests)}"


def markdown(lines):
    """Rows of cells as a Markdown table."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    padded = (" | ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(f"| {line} |" for line in padded)


def named(seeds):
    """Seeds as text: those in a row by the first and the last."""
    in_a_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}–{seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))


def heading(record):
    """What Table 1 is of; in which precision its seeds were trained, if they differ in it."""
    precision = [f"{dtype}: {told(seeds)}" for dtype, seeds in record["precision"].items()]
    mixed = f"; {'; '.join(precision)}" if len(precision) > 1 else ""
    return f"Table 1, the paper / here (profile `{record['profile']}`, {told(record['seeds'])}{mixed})"


def told(seeds):
    return f"seed{'s' * (len(seeds) > 1)} {named(seeds)}"


def show(folder):
    """Table 1 of a run, beside that of the original if it changes one, where its figures are, and how long it took."""
    record = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
    paper = json.loads((ROOT / "results" / "paper_table1.json").read_text(encoding="utf-8"))["networks"]
    print(f"\n{heading(record)}\n\n{table(record, paper)}\n")
    if before := record.get("original"):
        columns = {
            name: {PUBLISHED[key]: own["mean"] for key, own in row.items()} for name, row in before["networks"].items()
        }
        print(f"The original / here ({size(before)} / {size(record)})\n\n{table(record, columns)}\n")
    steps = sorted((folder / "notebooks").glob("*.json"))
    if steps:
        print("Seconds, the last time that each notebook ran:")
        for step in steps:
            print(f"  {step.stem:32s}{json.loads(step.read_text(encoding='utf-8'))['seconds']:8.0f}")
        print(f"\nFigures: {folder / 'figures'}   executed notebooks: {folder / 'notebooks'}")


if __name__ == "__main__":
    show(Path(sys.argv[1]))
