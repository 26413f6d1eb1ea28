"""Write down what is to be judged on the fresh seeds, before any of them is trained: results/preregistration.json.

python workflow/preregister.py    refuses if a fresh seed is in results/ already
"""

import json
from dataclasses import asdict

from kdutils import judging, ours
from kdutils.plumbing.machine import provenance
from kdutils.plumbing.store import to_json, write_atomically
from kdutils.profiles import FIRST_FRESH, PROFILES
from kdutils.recipes import recipe_of
from report import ROOT

SEEDS = list(range(FIRST_FRESH, FIRST_FRESH + judging.FEWEST_SEEDS))
PATH = ROOT / "results" / "preregistration.json"


def papers():
    """{claim: [what it needs]} of the paper's claims, as the record of `paper` has them."""
    rows = json.loads((ROOT / "results" / "paper" / "table1.json").read_text(encoding="utf-8"))["claims"]
    return {row["claim"]: [f"{own['what']}: {own['needed']}" for own in row["conditions"]] for row in rows}


def own():
    """{claim: [what it needs]} of ours."""
    return {
        claim: [
            f"{need.what}: {judging.SIDES[need.side].format(need.bound)}"
            + (f" ({need.level:.0%} interval)" if need.level != 0.95 else "")
            for need in needs
        ]
        for claim, needs in (ours.NEEDS | ours.ONE_PASS_NEEDS).items()
    }


def plan():
    """What is fixed: the seeds, how their networks are trained, and each family of claims with what it needs."""
    profile = PROFILES["paper"]
    return {
        "seeds": SEEDS,
        "profile": asdict(profile),
        "recipe": asdict(recipe_of(profile)),
        "families": {"the paper's claims": papers(), "our claims": own()},
    }


def main():
    trained = [seed for seed in SEEDS if (ROOT / "results" / "paper" / f"seed-{seed}").exists()]
    if trained:
        raise SystemExit(f"seeds {trained} are in results/ already: nothing can be written down before them any more")
    about = {key: value for key, value in provenance().items() if key in ("made", "commit", "versions")}
    write_atomically(PATH, to_json(about | plan()))


if __name__ == "__main__":
    main()
