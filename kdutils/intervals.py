"""Intervals beside the band that matters: what another choice changes, and what the claims rest on."""

import matplotlib.pyplot as plt

from . import plots
from .choices import SMALL
from .claims import verdicts

OURS, OTHER = {"color": "black", "marker": "o"}, {"color": "#1f4fbf", "marker": "D"}
BAND = {"facecolor": "0.88", "edgecolor": "0.6", "zorder": 0}  # too small to matter
WANTED = {"color": "#bfe3c0", "edgecolor": "#4d8f50", "zorder": 0}  # where a claim needs the whole interval
UNITS = {"accuracy": "accuracy", "ECE": "ECE", "": "logarithm of a ratio of MUPEs"}  # a word of `what`: its axis


def of_choices(rows, ours):
    """A figure of differences by choice: a column for each of `choices.SMALL`, its band in grey.

    rows: {choice: {difference: Estimate}}, from top to bottom. ours: the choices drawn in black, the others are blue.
    """
    columns = list(next(iter(rows.values())))
    size = {"figsize": (10, 2.2 + 0.42 * len(rows)), "layout": "constrained"}
    figure, axes = plt.subplots(1, len(columns), sharey=True, **size)
    figure.get_layout_engine().set(wspace=0.06)
    for axis, what in zip(axes, columns, strict=True):
        axis.axvspan(-SMALL[what], SMALL[what], **BAND)
        for y, (label, found) in enumerate(rows.items()):
            plots.interval(axis, y, found[what].record(), color=(OURS if label in ours else OTHER)["color"])
        axis.set_title(what.replace(": ", "\n").replace(" SN2", "\nSN2"), fontsize=12)
        axis.set_xlabel(f"grey: ±{SMALL[what]:.3g}")
        axis.grid(visible=False, axis="y")
        axis.locator_params(axis="x", nbins=3)
    axes[0].set(yticks=range(len(rows)), yticklabels=rows)
    axes[0].invert_yaxis()
    axes[0].tick_params("y", labelsize=12)
    return figure


def conditions(studies):
    """{unit: {row: [Condition of each study]}} of the claims' conditions that have an estimate. studies: of `Study`."""
    found = {unit: {} for unit in UNITS}
    for study in studies:
        for claim, reading, own, *_ in verdicts(study):
            for condition in (each for each in own if each.estimate is not None):
                unit = next(word for word in UNITS if word in condition.what)
                row = f"{claim}{f' ({reading})' * bool(reading)}:\n{condition.what}"
                found[unit].setdefault(row, []).append(condition)
    return found


def of_claims(found):
    """A figure of `conditions` of one or two studies: green where the claim needs the interval, an axis for each unit.

    Black circles are the first study's, blue diamonds the second's. An interval has the level of its condition.
    """
    heights = [len(rows) for rows in found.values()]
    size = {"figsize": (8.5, 2.4 + 0.56 * sum(heights)), "layout": "constrained"}
    figure, axes = plt.subplots(len(found), 1, height_ratios=heights, **size)
    for axis, (unit, rows) in zip(axes, found.items(), strict=True):
        for y, each in enumerate(rows.values()):
            axis.plot((each[0].bound,) * 2, (y, y), alpha=0)  # the picture reaches it
            for own, style, up in zip(each, (OURS, OTHER), (-0.16, 0.16), strict=False):
                plots.interval(axis, y + up, own.estimate.record(own.level), **style)
        low, high = axis.get_xlim()
        for y, (first, *_) in enumerate(rows.values()):
            ends = {"above": (first.bound, high), "below": (low, first.bound)}
            left, right = ends.get(first.side, (-first.bound, first.bound))
            axis.barh(y, right - left, 0.75, left=left, **WANTED)
        axis.set(xlim=(low, high), yticks=range(len(rows)), yticklabels=rows)
        axis.set_xlabel(UNITS[unit], fontsize=13)
        axis.tick_params(labelsize=13)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
    return figure
