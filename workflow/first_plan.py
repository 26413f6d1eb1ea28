"""Which answers hang on the interval that replaced the first plan's? Written into results/first_plan.json.

python workflow/first_plan.py    some seconds; `make transfer` gives it, too

The first plan drew seeds and test images anew together (a two-level bootstrap), with Student's t at R − 1 degrees of
freedom. `stats.two_level` replaced it: it covers more evenly (tests/benchmarks/coverage.py). Conditions and verdicts
that differ are listed with both.
"""

from unittest import mock

import numpy as np
from kdutils import claims, stats
from kdutils.plumbing.machine import provenance
from kdutils.plumbing.store import to_json, write_atomically
from report import ROOT
from transferred import SCALES, files, kept


def two_level_bootstrap(values, resampled, seed=0):
    """The first plan's Estimate; arguments as for `stats.two_level`."""
    values, resampled = np.asarray(values, float), np.asarray(resampled, float)
    drawn = np.random.default_rng(seed).integers(0, len(values), resampled.shape)
    means = np.take_along_axis(resampled, drawn, 1).mean(1)
    return stats.Estimate(float(values.mean()), float(means.std(ddof=1)), len(values) - 1)


def judged(study):
    """{claim: verdict} and {(claim, what): condition} of a Study."""
    found = [(claim + f" ({reading})" * bool(reading), *row) for claim, reading, *row in claims.verdicts(study)]
    conditions = {(claim, own.what): own.record() for claim, rows, *_ in found for own in rows}
    return {claim: verdict for claim, *_, verdict in found}, conditions


def changes(profile):
    """What stands otherwise by the first plan's interval, of the seeds of a profile that are shown."""
    seeds = files(profile)["transfer.json"]
    study = kept(profile, seeds)
    verdicts, conditions = judged(study)
    with mock.patch("kdutils.stats.two_level", two_level_bootstrap):
        old_verdicts, old_conditions = judged(study)
    return {
        "seeds": seeds,
        "conditions": [
            {"claim": claim, "what": what, "now": now["found"], "then": old_conditions[claim, what]["found"]}
            for (claim, what), now in conditions.items()
            if now["stands"] != old_conditions[claim, what]["stands"]
        ],
        "verdicts": [
            {"claim": claim, "now": now, "then": old_verdicts[claim]}
            for claim, now in verdicts.items()
            if now != old_verdicts[claim]
        ],
    }


def main():
    record = provenance() | {"changes": {profile: changes(profile) for profile in SCALES}}
    write_atomically(ROOT / "results" / "first_plan.json", to_json(record))


if __name__ == "__main__":
    main()
