"""A notebook's first and last cell: its parameters checked and printed, and where its results come from."""

import ast
import json
import os
import sys
import time
from dataclasses import fields

from .plumbing.checks import check_seed
from .plumbing.machine import commit, provenance
from .plumbing.store import WHOLE, display_path, expanded, project_root, to_json, write_atomically
from .profiles import Profile, of_one_stage, parse_seeds, resolve, seeds_in
from .runs import TABLE_1, Run

OWN = "a setting of a profile is changed in a file of its own, as docs/own.md shows"


class SettingsError(ValueError):
    """A setting that is not accepted. Jupyter and papermill show its message alone, without a traceback."""

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


def from_parameters(
    *,
    profile,
    seed,
    device,
    precision,
    runs,
    data,
    seeds=None,
    source=None,
    controls=None,
    at_least=1,
    having=TABLE_1,
):
    """The Runs that a notebook's parameters ask for, one for each seed, after checking and printing them.

    profile: as for `profiles.resolve`, and $KDUTILS_PROFILE overrides it. "auto" is what suits the device
    (`profile_for`); "paper" of the committed results; with seeds, the one profile in `runs`. device and
    precision: as for Run. runs, data: folders, "" for the usual ones. seeds: as for `profiles.parse_seeds`; "" is all
    committed ones that have the networks `having`, or `seed` alone among the user's own; None is `seed` alone. source:
    "results" reads what is committed, "runs" the user's own and trains what is missing. controls: whether SN1 and SN3
    are wanted, too. Raises SettingsError for a wrong parameter, for one that papermill injected and the notebook does
    not have, for fewer seeds than at_least, and for "auto" where `runs` has several profiles.
    """
    given = {"profile": profile, "seed": seed, "device": device, "precision": precision, "runs": runs, "data": data}
    more = {"seeds": seeds, "source": source, "controls": controls}
    given |= {key: value for key, value in more.items() if value is not None}
    _show_figures()
    try:
        _check(given)
        return _open(**given, at_least=at_least, having=having)
    except ValueError as error:
        raise SettingsError(error) from None


def _show_figures():
    """Figures are part of a notebook, even where $MPLBACKEND names a backend without a page, as on clusters."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel") and "inline" not in os.environ.get("MPLBACKEND", "inline"):
        shell.run_line_magic("matplotlib", "inline")


def profile_for(device):
    """The name of the profile that suits a device: "paper" for a GPU, else "quick". device: as for Run."""
    return "paper" if Run("quick", device=device).device.type == "cuda" else "quick"


def _only(runs, device):
    """The name of the one profile with a teacher in the folder `runs`; without any, what suits the device."""
    there = sorted({path.parts[-4] for path in runs.glob("*/seed-*/TN/manifest.json")})
    if len(there) > 1:
        raise ValueError(f"profile must be given, as {display_path(runs)} has several: {', '.join(there)}")
    return there[0] if there else profile_for(device)


def _check(given):
    if unknown := _injected() - set(given):
        own = f"; {OWN}" if unknown & {field.name for field in fields(Profile)} else ""
        raise ValueError(f"unknown parameter {', '.join(sorted(unknown))}: known are {', '.join(given)}{own}")
    if given.get("source", "runs") not in ("results", "runs"):
        raise ValueError(f"unknown source {given['source']!r}: known are results, runs")
    if not isinstance(given.get("controls", False), bool):
        raise ValueError(f"controls must be True or False, got {given['controls']!r}")
    for name in ("runs", "data"):
        if not isinstance(given[name], str):
            raise ValueError(f"{name} must be a folder's path or an empty string, got {given[name]!r}")


def _open(
    profile, seed, device, precision, runs, data, seeds=None, source="runs", controls=False, at_least=1, having=()
):
    committed = source == "results"
    runs = expanded(runs) if runs else project_root() / "runs"
    profile = os.environ.get("KDUTILS_PROFILE") or profile
    if profile == "auto":
        profile = "paper" if committed else profile_for(device) if seeds is None else _only(runs, device)
    profile = resolve(profile)
    root, asked = project_root() / "results" if committed else runs, seeds
    if seeds == "":
        kept = [Run(profile, number, root, read_only=True) for number in seeds_in(root / profile.name) if committed]
        whole = of_one_stage(profile.name, [run.seed for run in kept if all(map(run.has, having))])
        if committed and len(whole) < at_least > 1:
            held = f"{display_path(root / profile.name)} holds {len(whole)} seeds with {', '.join(having)}"
            raise ValueError(f"{held}: at least {at_least} are needed here ({WHOLE})")
        seeds = whole or None
    numbers = [check_seed(seed)] if seeds is None else parse_seeds(seeds)
    if len(numbers) < at_least:
        raise ValueError(f"seeds must be at least {at_least} here, such as 0-{at_least - 1}, got {asked!r}")
    options = {"device": device, "precision": precision, "data": data, "read_only": committed}
    opened = [Run(profile, number, root, **options) for number in numbers]
    if device not in ("auto", "cpu"):
        _ = opened[0].device  # refused now rather than after the data
    for run in opened:
        run.output = runs / ("reference" if committed else "") / profile.name
    other = "".join(f", {key} {value}" for key, value in profile.changes.items())
    name = f"{profile.name} ({profile.base}{other})" if other else profile.name
    print(
        f"profile {name}: {profile.train_images:,} training, {profile.validation_images:,} validation, "
        f"{profile.test_images:,} test images, {profile.epochs} epoch{'s' * (profile.epochs > 1)}, "
        f"{profile.mc_passes} passes\nseed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}, "
        f"networks and predictions in {display_path(root)}"
    )
    return opened


def _injected():
    """The names that papermill assigned in its injected cell; none outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = [cell for cell in (shell.user_ns["In"] if shell else []) if cell.startswith("# Parameters\n")]
    assigned = [node for cell in cells for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
    return {target.id for node in assigned for target in node.targets}


def committed(name):
    """What a JSON file of the repository's `results` holds, e.g. "paper_table1.json"."""
    return json.loads((project_root() / "results" / name).read_text(encoding="utf-8"))


def all_committed(name):
    """{profile: what its JSON file `name` in the repository's `results` holds}, of the profiles that have one."""
    return {path.parent.name: committed(path) for path in sorted((project_root() / "results").glob(f"*/{name}"))}


def finding(run, says, else_says="", at="paper"):
    """What the committed results of profile `at` show, as a figure's title; over other numbers, `else_says`."""
    return says if run.read_only and run.profile.name == at else else_says


def keep(run, file, record):
    """Write `record`, which JSON holds, as `file` into the run's output folder."""
    write_atomically(run.output / file, to_json(record))


def finish(notebook, run):
    """Print where a notebook's results come from, and write <notebook>.json: the proof that it ran to its end."""
    record = {"notebook": notebook, "seconds": round(time.perf_counter() - run.opened, 1)} | provenance()
    keep(run, f"notebooks/{notebook}.json", record)
    origin = f"commit {record['commit']}" if record["commit"] else commit()[1]
    print(f"{record['seconds']:.0f} s on {record['made']}, {origin}")
    for part in ("versions", "hardware"):
        print(", ".join(f"{key} {value}" for key, value in record[part].items()))
