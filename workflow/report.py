"""Print the paper's Table 1 beside ours, where the figures are and how long each step took.

python workflow/report.py runs/quick  after a run
python workflow/report.py --readme    writes what the files in results/ hold into README.md
"""

import json
import re
import sys
from pathlib import Path

from kdutils.stats import FEWEST_SEEDS

ROOT = Path(__file__).resolve().parent.parent
SCALES = ("paper", "quick")  # those that the README tells of, the first one first
STORED = ("paper_table1", "coverage", "faults", "benchmark", "quick/sensitivity")
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
        "reproduced": "the more so the larger it is",
        "not reproduced": "not the more so the larger it is",
        "inconclusive": "whether the more so the larger it is stays open",
    },
    "C7": {
        "reproduced": "too small a student takes over none of it",
        "not reproduced": "the smallest one takes over some of it, too",
        "inconclusive": "whether too small a student takes over none of it stays open",
    },
}
DIFFER = "dependent on the definition"  # of ECE: with MC dropout, or with dropout off


def size(record):
    """Of what size a study is: its scale and number of seeds."""
    count = len(record["seeds"])
    return f"`{record['profile']}`, {count} seed{'s' * (count > 1)}"


def sorted_out(record):
    """{claim: verdict}; where MC dropout and dropout off give two, DIFFER."""
    verdicts = {}
    for row in record["claims"]:
        claim, verdict = row["claim"].split()[0], row["controlled"]  # without " (deterministic)"
        verdicts[claim] = verdict if verdicts.get(claim, verdict) == verdict else DIFFER
    return verdicts


def answer(records):
    """The verdicts in a few sentences: those of the first study with enough seeds, and what the others say to it."""
    decided = next((record for record in records if len(record["seeds"]) >= FEWEST_SEEDS), None)
    if decided is None:
        return (
            f"**The answer so far:** open. {'; '.join(map(size, records))}: that gives the numbers below, but a "
            f"verdict that counts chance needs {FEWEST_SEEDS} seeds."
        )
    verdicts = sorted_out(decided)
    transferred, grows, least = (words[verdicts[claim]] for claim, words in ANSWER.items())
    found = "; ".join(
        f"{wanted}: {', '.join(claims)}"
        for wanted in ("reproduced", "not reproduced", DIFFER, "inconclusive")
        if (claims := [claim for claim, verdict in verdicts.items() if verdict == wanted])
    )
    change = [claim for claim in verdicts if len({row[claim] for row in decided["definitions"].values()}) > 1]
    text = (
        f"**The answer** ({size(decided)}): {transferred}; {grows}; {least}. The paper's claims: {found}. "
        f"If ECE and MUPE are defined otherwise than in Table 1, verdicts change on: {', '.join(change) or 'none'}."
    )
    for other in records:
        if other is not decided:
            gains = [row["conditions"][0] for row in other["claims"] if row["claim"] in ("C6", "C7")]
            gains = [f"{gain['what']} {gain['found']}, needed {gain['needed']}" for gain in gains]
            text += f" Beside it {size(other)}: {'; '.join(gains)}."
    return text


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
            reasons.append([claim, what, conditions[0]["needed"], *(condition["found"] for condition in conditions)])
    return f"{markdown(verdicts)}\n\n{markdown(reasons)}"


def markdown(lines):
    """Rows of cells as a Markdown table."""
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def cost(folder, seeds):
    """How long the networks of `seeds` took, from their manifests, as a sentence."""
    made = [json.loads(path.read_text()) for seed in seeds for path in folder.glob(f"seed-{seed}/*/manifest.json")]
    seconds = sum(sum(manifest["seconds"].values()) for manifest in made) / len(seeds)
    hardware, threads = made[0]["hardware"], made[0]["hardware"]["threads"]
    return (
        f"A seed of `{folder.name}` took {seconds / 60:.0f} minutes on {threads} thread{'s' * (threads > 1)} of an "
        f"{hardware['processor']} in {made[0]['training_precision']} (its manifests say)."
    )


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
        f"Of our choices in training, {len(others)} were made otherwise, one at a time, with {len(record['seeds'])} "
        f"seeds each:\n\n{markdown(lines)}"
    )


def heading(record):
    seeds = record["seeds"]
    in_a_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    named = f"{seeds[0]}–{seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))
    return f"Table 1, the paper / here (profile `{record['profile']}`, seed{'s' * (len(seeds) > 1)} {named})"


def studies():
    """[the record of each study in results/ that the README tells of]"""
    paths = [ROOT / "results" / scale / "table1.json" for scale in SCALES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def filled(page):
    """README's text with all that comes from the files in results/."""
    stored = {name: json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in STORED}
    records, paper = studies(), stored["paper_table1"]["networks"]
    parts = {
        "answer": answer(records),
        "table": "".join(f"\n{heading(record)}\n\n{table(record, paper)}\n" for record in records),
        "claims": f"\n{claims(records)}\n",
        "coverage": coverage(stored["coverage"]),
        "sensitivity": f"\n{sensitivity(stored['quick/sensitivity'])}\n",
        "faults": f"\n{faults(stored['faults'])}\n",
        "benchmark": f"\n{benchmark(stored['benchmark'])}\n",
        "time": " ".join(cost(ROOT / "results" / record["profile"], record["seeds"]) for record in records),
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
