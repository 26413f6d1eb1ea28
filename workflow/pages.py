"""What the README and the book's pages show of the files in results/.

python workflow/pages.py    writes it into README.md and docs/
"""

import functools
import json
import re

import numpy as np
from kdutils import followed
from kdutils.ours import ONE_PASS_NEEDS
from report import ROOT, answer, claims, heading, markdown, measures, size, stage, table, verdicts

SCALES = ("paper", "quick")  # those that the pages tell of, the first one first
MARK = re.compile(r"<!-- (\w+) -->")  # where a part begins
STORED = (
    "paper_table1",
    "coverage",
    "first_plan",
    "one_pass",
    "faults",
    "benchmark",
    "networks",
    "paper/sensitivity",
    "quick-converged/transfer",
)


def cost(records):
    """How long the studies' seeds took, from their networks' manifests."""
    spent = {}  # (threads, processor): {(profile, precision): minutes of each seed}
    for record in records:
        for seed in record["seeds"]:
            folder = ROOT / "results" / record["profile"] / f"seed-{seed}"
            paths = [folder / name / "manifest.json" for name in record["networks"]]
            made = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            hardware, kind = made[0]["hardware"], (record["profile"], made[0]["training_precision"])
            minutes = sum(sum(manifest["seconds"].values()) for manifest in made) / 60
            own = spent.setdefault((hardware["threads"], hardware["processor"]), {})
            own.setdefault(kind, []).append(minutes)
    told = []
    for (threads, processor), kinds in spent.items():
        each = [f"`{name}` {sum(own) / len(own):.0f} minutes in {dtype}" for (name, dtype), own in kinds.items()]
        told.append(f"{', '.join(each)}, on {threads} thread{'s' * (threads > 1)} of an {processor}")
    return "; ".join(told) + "."


def digits(value):
    """A number with three significant digits, without a power of ten."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


def benchmark(record):
    """The rows of results/benchmark.json in Markdown."""
    lines = ["| what | against | ratio (lowest to highest round) | of each run | target |", "|---|---|---|---|---|"]
    for row in record["rows"]:
        target = row["target"].replace("<=", "≤").replace(">=", "≥")
        missed, count = row["missed"], len(row["runs"])
        verdict = {None: "", 0: " ✓", count: " **missed**"}.get(missed, f" **missed** in {missed} of {count}")
        spread = "" if row["low"] == row["high"] else f" ({digits(row['low'])} to {digits(row['high'])})"
        against = row["against"] + (f"<br>{row['note']}" if row["note"] else "")
        runs = ", ".join(digits(ratio) for _, ratio, _ in row["runs"])
        lines.append(f"| {row['what']} | {against} | {digits(row['ratio'])}{spread} | {runs} | {target}{verdict} |")
    hardware, names = record["hardware"], ("torch", "torch-uncertainty", "baal")
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in names)
    machine = f"each on {hardware['threads']} threads of an {hardware['processor']}"
    return "\n".join(lines) + f"\n\n{len(record['made'])} runs, {machine}, {versions}; not measured on a GPU."


def faults(record):
    """The counts of results/faults.json in Markdown."""
    lines = ["| fault | tried | survived |", "|---|---|---|"]
    lines += [f"| {kind} | {n['tried']} | {n['survived']} |" for kind, n in record["faults"].items()]
    return "\n".join(lines)


def networks(record):
    """The rows of results/networks.json in two tables: what MC dropout took, and what it refused."""
    taken = [["network", "taken as", "variance", "of whole passes", "ratio", "by chance"]]
    refused = [["network", "refused, since"]]
    for row in record["rows"]:
        if row["way"] == "refused":
            refused.append([row["network"], row["says"].split(":")[0]])
        else:
            spread = 1.96 * row["chance"]
            numbers = [f"{row[key]:.3g}" for key in ("variance", "whole")] + [f"{row['ratio']:.3f}"]
            taken.append([row["network"], row["way"], *numbers, f"{1 - spread:.3f} to {1 + spread:.3f}"])
    return f"{markdown(taken)}\n\n{markdown(refused)}\n\ntorch {record['versions']['torch']}, on a processor."


def coverage(record):
    """What the simulations of results/coverage.json found, as half a sentence."""
    found = [by_seeds["10"] for by_seeds in record["coverage"].values()]
    share = record["transfer"]["coverage"]["own-teacher share"]["10"]
    return (
        f"with ten seeds, intervals held it in {min(found):.1%} to {max(found):.1%} of {record['studies']:,} studies "
        f"of each kind, the cautious one of the own-teacher share in {share:.1%}. A claim without substance was called "
        f"supported in at most {max(record['false_verdicts'].values()):.1%}."
    )


def sensitivity(record):
    """What the claims' differences become if students are trained otherwise, in Markdown."""
    if not record["seeds"]:
        return "Nothing was trained otherwise yet (`make sensitivity`)."
    longer = "twice the epochs"
    lines = [
        ["what a claim rests on", "as chosen", longer, "otherwise at least", "otherwise at most", "another side with"]
    ]
    for claim, found in record["claims"].items():
        (_, own), *others = found["means"].items()  # our own choice stands first
        ends = [pick(others, key=lambda other: other[1]) for pick in (min, max)]
        ends = [f"{mean:#.2g}, {label}" for label, mean in ends]
        cells = [f"{own:#.2g}", f"{found['means'][longer]:#.2g}", *ends, "; ".join(found["turned"]) or "none"]
        lines.append([claim, *cells])
    return (
        f"Of our choices in training, {len(others)} were made otherwise at `{record['profile']}`, one at a time, with "
        f"{len(record['seeds'])} seeds each:\n\n{markdown(lines)}"
    )


def first_plan(record):
    """Which conditions and verdicts of results/first_plan.json stand otherwise, a sentence for each scale."""
    told = []
    for profile, found in record["changes"].items():
        rows = [f"{row['claim']} ({row['what']})".replace("|", "\\|") for row in found["conditions"]]
        turned = [f"{row['claim']} would be *{row['then']}* instead of *{row['now']}*" for row in found["verdicts"]]
        told.append(
            f"At `{profile}`: {', '.join(rows) or 'none'}." + f" The verdict on {', '.join(turned)}." * bool(turned)
        )
    return " ".join(told)


FOLLOWED = (  # (network, dropout), each a row
    ("TN", "off"),
    ("KD-SN1", "on"),
    ("KD-SN1-steps", "on"),
    ("ONE-SN1", "off"),
    ("KD-SN2", "on"),
    ("KD-SN2-steps", "on"),
    ("ONE-SN2", "off"),
)
FOLLOWED_BY = {  # column: (images, measure)
    "skill": ("test", "skill"),
    "ρ of entropy": ("test", "ρ of entropy"),
    "skill, turned by 45°": ("rotation-45", "skill"),
    "skill, clothes": ("fashion", "skill"),
    "AUROC of clothes": ("fashion", "AUROC by entropy"),
}


def reading(record, network, dropout):
    """A network's reading in a `kdutils.followed` record; None if it has none."""
    return next((own for own in record["readings"] if (own["network"], own["dropout"]) == (network, dropout)), None)


def one_pass(records):
    """How closely the readings of `kdutils.followed` records follow the teacher's passes, a table in Markdown each."""
    tables = []
    for record in records:
        rows = [["network", "seeds", *FOLLOWED_BY]]
        for name, dropout in FOLLOWED:
            if own := reading(record, name, dropout):
                passes = "100 passes" if dropout == "on" else "one pass"
                measured = (own["images"][images].get(measure) for images, measure in FOLLOWED_BY.values())
                rows.append([f"{name}, {passes}", str(len(own["seeds"])), *map(followed.text, measured)])
        about = record | {"seeds": reading(record, "TN", "on")["seeds"]}
        tables.append(f"`{record['profile']}` ({stage(about)}):\n\n{markdown(rows)}")
    return "\n\n".join(tables)


def skill(record, network, dropout, usual=0):
    """A network's skill in a `kdutils.followed` record, in words; with its number of seeds, if below `usual`."""
    own = reading(record, network, dropout)
    count = len(own["seeds"])
    return followed.text(own["images"]["test"]["skill"]) + f" ({count} seeds)" * (count < usual)


def beyond(records, transfer):
    """What the one-pass students come to, with their numbers, and the verdicts on our claims about them.

    records: of `kdutils.followed`, the paper's scale first, `quick` with its controls last; transfer: of our claims.
    """
    first, quick = records[0], records[-1]
    about = first | {"seeds": reading(first, "ONE-SN2", "off")["seeds"]}
    longer = "KD-SN2-steps", "on"
    given = f", KD-SN2-steps, given as many steps, of {skill(first, *longer)}" if reading(first, *longer) else ""
    judged = {own["claim"]: own["controlled"] for own in transfer["claims"] if own["claim"] in ONE_PASS_NEEDS}
    each = []
    for verdict in dict.fromkeys(judged.values()):
        alike = [claim for claim, own in judged.items() if own == verdict]
        each.append(f"{' and '.join(alike)} {'are' if len(alike) > 1 else 'is'} *{verdict}*")
    claims = f"Of our claims, {' and '.join(each)}. " * bool(each)
    usual = len(reading(quick, "ONE-SN1", "off")["seeds"])
    hundred, single, alone = (skill(quick, f"ONE-SN1{own}", "off", usual) for own in ("", "-off", "-clean"))
    views = skill(quick, "KD-SN1-views", "on", usual)
    return (
        f"SN2 so trained, ONE-SN2, has a skill of {skill(first, 'ONE-SN2', 'off')} in one pass, KD-SN2 of "
        f"{skill(first, 'KD-SN2', 'on')} in its hundred{given}. (A copy of the teacher's confidences has 1, a constant "
        f"0; {size(about)}.) {claims}Explored at `{quick['profile']}`: SN1 so trained has {hundred}, with the single "
        f"pass as the answer {single}, without views {alone}. The paper's distillation on as many views has {views}."
    )


RECIPE = {  # column: field of a try
    "views": "views",
    "kinds of view": "kinds",
    "steps": "steps",
    "rate": "peak_learning_rate",
    "loss": "loss",
    "dropout": "dropout",
    "skill": "skill",
    "KL": "kl",
    "accuracy": "accuracy",
}


def setting(value):
    """A setting or a measure of a try as a cell shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("_", "-")


def recipe(record):
    """The tries of the one-pass students' recipe, in Markdown."""
    tries = [*record["tries"], *record.get("beside", ())]
    rows = [["try", "network", *RECIPE]]
    for own in tries:
        rows.append([own["option"], own["network"], *(setting(own[key]) for key in RECIPE.values())])
    return markdown(rows)


def plan(path):
    """What results/preregistration.json fixes, in Markdown; a sentence if it is not there yet."""
    if not path.exists():
        return "Nothing is written down yet: the recipe of the one-pass students is still being chosen."
    record = json.loads(path.read_text(encoding="utf-8"))
    made, commit = record["made"][:10], record["commit"][:7]
    lines = [f"Written down on {made} at commit {commit}, for seeds {record['seeds'][0]} to {record['seeds'][-1]}."]
    for family, needs in record["families"].items():
        rows = [["", "needs"], *([claim, "; ".join(own).replace("|", "\\|")] for claim, own in needs.items())]
        lines.append(f"## {family[0].upper()}{family[1:]}\n\n{markdown(rows)}")
    return "\n\n".join(lines)


def stacked(cells):
    """A table's Markdown with "paper / here" of each cell one above the other: a narrow column breaks neither."""
    return cells.replace(" / ", "<br>").replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def studies(*names):
    """[the record of each study in results/ that the pages tell of], of names such as "table1" or "explored"."""
    paths = [ROOT / "results" / scale / f"{name}.json" for scale in SCALES for name in names]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


@functools.cache
def parts():
    """{name: Markdown} of everything on the README's and the book's pages that comes from the files in results/."""
    stored = {name: json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8")) for name in STORED}
    records, transfers, paper = studies("table1"), studies("transfer"), stored["paper_table1"]["networks"]
    follow, turned = studies("followed"), stored["first_plan"]["changes"]["paper"]["verdicts"]
    return {
        "answer": f"\n\n{answer(records, transfers, stored['quick-converged/transfer'], turned)}\n\n",
        "measures": f"\n{measures(studies('transfer', 'explored'))}\n",
        "verdicts": f"\n{verdicts(records, transfers)}\n",
        "table": "".join(f"\n{heading(record)}\n\n{stacked(table(record, paper))}\n" for record in records),
        "claims": f"\n{claims(records)}\n",
        "our_claims": f"\n{claims(transfers)}\n",
        "beyond": beyond(follow, transfers[0]),
        "recipe": f"\n{recipe(stored['one_pass'])}\n",
        "one_pass": f"\n{one_pass(follow)}\n",
        "plan": f"\n\n{plan(ROOT / 'results' / 'preregistration.json')}\n\n",
        "first_plan": first_plan(stored["first_plan"]),
        "coverage": coverage(stored["coverage"]),
        "sensitivity": f"\n{sensitivity(stored['paper/sensitivity'])}\n",
        "faults": f"\n{faults(stored['faults'])}\n",
        "benchmark": f"\n{benchmark(stored['benchmark'])}\n",
        "networks": f"\n{networks(stored['networks'])}\n",
        "time": cost(records),
    }


def filled(page):
    """A page's text with the `parts` that it asks for, each between <!-- name --> and <!-- /name -->."""
    found = parts()
    for name in MARK.findall(page):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if name not in found or page.count(begin) != 1 or page.count(end) != 1:
            raise SystemExit(f"the page needs one {begin} … {end}, of {', '.join(found)}")
        before, after = page.split(begin)[0], page.split(end)[1]
        page = before + begin + found[name] + end + after
    return page


def pages():
    """The files that ask for parts."""
    known = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    return [path for path in known if MARK.search(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for path in pages():
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
