"""Print the paper's Table 1 beside ours, where the figures are and how long each step took.

python workflow/report.py runs/quick              after a run
python workflow/report.py results/quick --readme  also writes the table into README.md
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = {  # heading: (key in the paper's table, key in ours, format)
    "train": ("train_accuracy", "train", "{:.2%}"),
    "validation": ("validation_accuracy", "validation", "{:.2%}"),
    "test": ("test_accuracy", "test", "{:.2%}"),
    "ECE": ("ece", "ECE", "{:.4f}"),
    "MUPE": ("mupe", "MUPE", "{:.4f}"),
}


def table(record, paper):
    """The two tables as one in Markdown, "paper / here" in each cell."""
    lines = [["network", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for name, ours in record["networks"].items():
        cells = [name]
        for key, own, form in COLUMNS.values():
            pair = (paper[name][key], ours.get(own))
            cells.append(" / ".join("–" if value is None else form.format(value) for value in pair))
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def main(folder, *options):
    record = json.loads((folder / "table1.json").read_text())
    paper = json.loads((ROOT / "results" / "paper_table1.json").read_text())["networks"]
    seeds = ", ".join(map(str, record["seeds"]))
    heading = f"Table 1, the paper / here (profile `{record['profile']}`, seed{'s' * (len(seeds) > 1)} {seeds})"
    text = f"{heading}\n\n{table(record, paper)}\n"
    if "--readme" in options:
        readme = ROOT / "README.md"
        marked = r"(<!-- table -->\n).*(\n<!-- /table -->)"
        found, count = re.subn(marked, lambda mark: mark[1] + text + mark[2], readme.read_text(), flags=re.DOTALL)
        if count != 1:
            raise SystemExit("README.md needs one <!-- table --> … <!-- /table --> for its table")
        readme.write_text(found)
    print(f"\n{text}")
    steps = sorted((folder / "notebooks").glob("*.json"))
    if steps:
        print("Seconds, the last time that each notebook ran:")
        for step in steps:
            print(f"  {step.stem:32s}{json.loads(step.read_text())['seconds']:8.0f}")
        print(f"\nFigures: {folder / 'figures'}   executed notebooks: {folder / 'notebooks'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
