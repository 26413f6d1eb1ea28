"""Print the paper's Table 1 beside ours, where the figures are and how long each step took.

python workflow/report.py runs/quick  after a run
python workflow/report.py --readme    writes what the files in results/ hold into README.md
"""

import json
import math
import re
import sys
from pathlib import Path

from kdutils.stats import FEWEST_SEEDS

ROOT = Path(__file__).resolve().parent.parent
SCALES = ("paper", "quick")  # those that the README tells of, the first one first
STORED = ("paper_table1", "coverage", "faults", "benchmark", "paper/sensitivity")
COLUMNS = {  # heading: (key in the paper's table, key in ours, format)
    "train": ("train_accuracy", "train", "{:.2%}"),
    "validation": ("validation_accuracy", "validation", "{:.2%}"),
    "test": ("test_accuracy", "accuracy", "{:.2%}"),
    "ECE": ("ece", "ECE", "{:.4f}"),
    "MUPE": ("mupe", "MUPE", "{:.4f}"),
}


def table(record, paper):
    """The two tables as one in Markdown, "paper / here" in each cell, with ± half an interval from two seeds on."""
    lines = [["network", *COLUMNS]]
    for name, ours in record["networks"].items():
        cells = [name]
        for key, own, form in COLUMNS.values():
            theirs, here = paper.get(name, {}).get(key), ours.get(own, {"mean": None, "interval": None})
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
DIFFER = "dependent on the definition"  # of ECE: with MC dropout, or with dropout off
WORDS = ("reproduced", "holds so far", "not reproduced", "fails so far", DIFFER, "inconclusive", "open so far")


def size(record):
    """Of what size a study is: its scale and number of seeds."""
    count = len(record["seeds"])
    return f"`{record['profile']}`, {count} seed{'s' * (count > 1)}"


def taken_alone(row):
    """What a claim's conditions say if each is taken alone and that is enough."""
    found = {condition["stands"] for condition in row["conditions"]}
    return "fails so far" if "no" in found else "open so far" if "open" in found else "holds so far"


def enough(record):
    """Whether a study has the seeds that a verdict needs."""
    return len(record["seeds"]) >= FEWEST_SEEDS


def judged(record):
    """{claim: verdict, or, with too few seeds, what its conditions say}; DIFFER where the two readings of ECE do."""
    verdicts = {}
    for row in record["claims"]:
        claim = row["claim"].split()[0]  # without " (deterministic)"
        verdict = row["controlled"] if enough(record) else taken_alone(row)
        verdicts[claim] = verdict if verdicts.get(claim, verdict) == verdict else DIFFER
    return verdicts


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
    """What the studies say of the paper's central claims, in a sentence, a table, and a list of all verdicts."""
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
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def cost(record):
    """How long a study's seeds took, from their networks' manifests, and what enough seeds would take."""
    spent = {}  # (threads, precision, processor): minutes of each seed
    for seed in record["seeds"]:
        paths = sorted((ROOT / "results" / record["profile"] / f"seed-{seed}").glob("*/manifest.json"))
        made = [json.loads(path.read_text()) for path in paths]
        hardware = made[0]["hardware"]
        kind = hardware["threads"], made[0]["training_precision"], hardware["processor"]
        spent.setdefault(kind, []).append(sum(sum(manifest["seconds"].values()) for manifest in made) / 60)
    each = ", ".join(
        f"{sum(minutes) / len(minutes):.0f} minutes on {threads} thread{'s' * (threads > 1)} of an {processor} in "
        f"{precision}"
        for (threads, precision, processor), minutes in spent.items()
    )
    text = f"A seed of `{record['profile']}` took {each} (its manifests say)."
    if not enough(record):
        free = [seed for seed in range(FEWEST_SEEDS) if seed not in record["seeds"]]
        missing = free[: FEWEST_SEEDS - len(record["seeds"])]
        core_minutes = sum(threads * sum(minutes) for (threads, *_), minutes in spent.items()) / len(record["seeds"])
        text += (
            f" The {len(missing)} that it lacks for verdicts (`make study PROFILE={record['profile']} "
            f"SEEDS={named(missing, '-', ',')} THREADS=1`, then `make results` with the same `PROFILE` and `SEEDS`, "
            f"and `make figures`) would take about {len(missing) * core_minutes / 60 / 2:.0f} hours on two cores."
        )
    return text


def benchmark(record):
    """The rows of results/benchmark.json in Markdown."""
    lines = ["| what | against | ratio (lowest to highest round) | of each run | target |", "|---|---|---|---|---|"]
    for row in record["rows"]:
        target = row["target"].replace("<=", "≤").replace(">=", "≥")
        missed, count = row["missed"], len(row["runs"])
        verdict = {None: "", 0: " ✓", count: " **missed**"}.get(missed, f" **missed** in {missed} of {count}")
        spread = "" if row["low"] == row["high"] else f" ({row['low']:.3g} to {row['high']:.3g})"
        note = f"<br>{row['note']}" if row["note"] else ""
        runs = ", ".join(f"{ratio:.3g}" for _, ratio, _ in row["runs"])
        lines.append(
            f"| {row['what']} | {row['against']}{note} | {row['ratio']:.3g}{spread} | {runs} | {target}{verdict} |"
        )
    hardware, versions = record["hardware"], record["versions"]
    made = (
        f"{len(record['made'])} runs, each on {hardware['threads']} threads of an {hardware['processor']}, "
        + ", ".join(f"{name} {versions[name]}" for name in ("torch", "torch-uncertainty", "baal"))
        + "; not measured on a GPU."
    )
    return "\n".join(lines) + f"\n\n{made}"


def faults(record):
    """The counts of results/faults.json in Markdown."""
    lines = ["| fault | tried | survived |", "|---|---|---|"]
    lines += [f"| {kind} | {n['tried']} | {n['survived']} |" for kind, n in record["faults"].items()]
    return "\n".join(lines)


def replace(text, marker, new):
    """`text` with what stands between <!-- marker --> and <!-- /marker --> replaced by `new`."""
    marked = rf"(<!-- {marker} -->).*(<!-- /{marker} -->)"
    text, count = re.subn(marked, lambda found: found[1] + new + found[2], text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md needs one <!-- {marker} --> … <!-- /{marker} -->")
    return text


def coverage(record):
    """What the simulations of results/coverage.json found, as half a sentence."""
    found = [by_seeds["10"] for by_seeds in record["coverage"].values()]
    return (
        f"with ten seeds, intervals held it in {min(found):.1%} to {max(found):.1%} of {record['studies']:,} studies "
        f"of each kind, and a claim without substance was called reproduced in at most "
        f"{max(record['false_verdicts'].values()):.1%}."
    )


def sensitivity(record):
    """What the claims' differences become if students are trained otherwise, in Markdown."""
    if not record["seeds"]:
        return "Nothing was trained otherwise yet (`make sensitivity`)."
    lines = [["what a claim rests on", "as chosen", "lowest, with", "highest, with", "clearly another answer with"]]
    for claim, found in record["claims"].items():
        (_, own), *others = found["means"].items()  # our own choice stands first
        ends = [pick(others, key=lambda other: other[1]) for pick in (min, max)]
        ends = [f"{mean:.2g}, {label}" for label, mean in ends]
        lines.append([claim, f"{own:.2g}", *ends, "; ".join(found["turned"]) or "none"])
    return (
        f"Of our choices in training, {len(others)} were made otherwise at `{record['profile']}`, one at a time, with "
        f"{len(record['seeds'])} seeds each:\n\n{markdown(lines)}"
    )


def named(seeds, dash="–", comma=", "):
    """Seeds as text: those in a row by the first and the last."""
    in_a_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}{dash}{seeds[-1]}" if in_a_row else comma.join(map(str, seeds))


def heading(record):
    seeds = record["seeds"]
    return f"Table 1, the paper / here (profile `{record['profile']}`, seed{'s' * (len(seeds) > 1)} {named(seeds)})"


def studies():
    """[the record of each study in results/ that the README tells of]"""
    paths = [ROOT / "results" / scale / "table1.json" for scale in SCALES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def filled(page):
    """README's text with all that comes from the files in results/."""
    stored = {name: json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in STORED}
    records, paper = studies(), stored["paper_table1"]["networks"]
    parts = {
        "answer": f"\n\n{answer(records)}\n\n",
        "table": "".join(f"\n{heading(record)}\n\n{table(record, paper)}\n" for record in records),
        "claims": f"\n{claims(records)}\n",
        "coverage": coverage(stored["coverage"]),
        "sensitivity": f"\n{sensitivity(stored['paper/sensitivity'])}\n",
        "faults": f"\n{faults(stored['faults'])}\n",
        "benchmark": f"\n{benchmark(stored['benchmark'])}\n",
        "time": " ".join(map(cost, records)),
    }
    for marker, text in parts.items():
        page = replace(page, marker, text)
    return page


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
    if sys.argv[1] == "--readme":
        readme = ROOT / "README.md"
        readme.write_text(filled(readme.read_text()))
    else:
        show(Path(sys.argv[1]))
