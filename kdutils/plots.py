"""One style for all figures: the paper's colours, counts beside every curve, PNG and PDF."""

import importlib.util
import io
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

from .plumbing.machine import in_a_notebook_page
from .plumbing.store import write_atomically


class Style(NamedTuple):
    """How a network is drawn: without distillation, in the colour of its distilled twin, dashed and hollow."""

    colour: str
    marker: str
    dashed: bool = False


STYLES = {  # the paper's colours
    "TN": Style("#d62728", "o"),
    "KD-SN1": Style("#6cb8e6", "^"),
    "KD-SN2": Style("#1f4fbf", "s"),
    "KD-SN3": Style("#0b9484", "D"),
    "SN1": Style("#6cb8e6", "^", dashed=True),
    "SN2": Style("#1f4fbf", "s", dashed=True),
    "SN3": Style("#0b9484", "D", dashed=True),
    "ONE-SN1": Style("#f5b041", "^"),
    "ONE-SN1-clean": Style("#f5b041", "v", dashed=True),
    "ONE-SN1-off": Style("#f5b041", "<", dashed=True),
    "ONE-SN1-labels": Style("#f5b041", ">", dashed=True),
    "KD-SN1-views": Style("#6cb8e6", "P"),
    "KD-SN1-steps": Style("#6cb8e6", "X"),
    "ONE-SN2": Style("#ca6f1e", "s"),
    "ONE-SN2-clean": Style("#ca6f1e", "v", dashed=True),
    "ONE-SN2-off": Style("#ca6f1e", "<", dashed=True),
    "ONE-SN2-labels": Style("#ca6f1e", ">", dashed=True),
    "KD-SN2-views": Style("#1f4fbf", "P"),
    "KD-SN2-steps": Style("#1f4fbf", "X"),
}

# bars of what chance does: hatched, so that no line on them is lost in grey
CHANCE = {"facecolor": "white", "edgecolor": "0.6", "hatch": "//////", "linewidth": 1, "zorder": 0.8}


def use_style():
    """Set the style of every figure that follows."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 100, "axes.titleweight": "bold"})


def ink(name):
    """The colour of lines and points of network `name`: its own, or a darker tone of it where that is pale in grey."""
    colour = np.array(to_rgb(STYLES[name].colour))
    return to_hex(0.65 * colour) if colour @ (0.299, 0.587, 0.114) > 0.6 else STYLES[name].colour


def network_style(name):
    """Keyword arguments for a line of network `name`: colour, marker, dashes, label."""
    colour, marker, dashed = STYLES[name]
    line = {"color": ink(name), "marker": marker, "linestyle": "--" if dashed else "-"}
    return line | {"markerfacecolor": "white" if dashed else colour, "label": name}


def interval(axis, y, found, name=None, scale=float, **style):
    """Draw {"mean", "interval"} at height y, in the style of network `name`: a point and, if known, its interval.

    scale: of the numbers, such as np.exp for the logarithm of a ratio. style: changes to `network_style`.
    """
    own = network_style(name) | {"linestyle": "-"} if name else {"color": "black", "marker": "o"}
    style = own | {"label": None, "markersize": 7} | style
    if found["interval"]:
        ends, line = [scale(end) for end in found["interval"]], {"marker": "", "linewidth": 2, "label": None}
        axis.plot(ends, (y, y), **style | line)
    axis.plot(scale(found["mean"]), y, **style)


def losses(axis, history, name):
    """Draw the training loss of network `name`: each step pale, a running mean in full; return the mean (k,) in nats.

    history: of `Run.history`. An older one holds no losses of steps. Then the mean of each epoch is drawn, a point
    each, and a line is printed that says so.
    """
    style, steps = network_style(name), np.array(history.get("step_losses", []))
    epochs = len(history["epochs"])
    if not len(steps):
        print(f"{name}: this older history holds no losses of steps, so the picture shows the mean of each epoch")
        means = np.array([epoch["loss"] for epoch in history["epochs"]])
        axis.plot(range(1, epochs + 1), means, **style | {"linestyle": ""})
        axis.set(xlabel="epoch", xticks=range(1, epochs + 1))
        return means
    window = max(1, len(steps) // 40)
    means = np.convolve(steps, np.ones(window) / window, "valid")
    axis.plot(np.arange(len(steps)) + 1, steps, color=style["color"], alpha=0.3, linewidth=1)
    axis.plot(np.arange(len(means)) + (window + 1) / 2, means, **style | {"marker": "", "linewidth": 2})
    for end in range(1, epochs):
        axis.axvline(end * len(steps) / epochs + 0.5, color="0.6", linewidth=1)
    axis.set(xlabel="optimiser step")
    return means


def save_figure(figure, folder, name):
    """Write `figure` as <name>.png (150 dots an inch) and <name>.pdf into `folder`; return the two file names.

    The files hold no date, so that the same figure is the same file.
    """
    for form, options in {"png": {"dpi": 150}, "pdf": {}}.items():
        content = io.BytesIO()
        undated = {"Software": None} if form == "png" else {"CreationDate": None}
        figure.savefig(content, format=form, bbox_inches="tight", metadata=undated, **options)
        write_atomically(folder / f"{name}.{form}", content.getvalue())
    return f"{name}.png", f"{name}.pdf"


def explore(draw, **choices):
    """Show the figure that draw() makes; in a page that somebody looks at, with a slider or a list for each argument.

    choices: {argument: (lowest, highest, step) or a list of options}. They begin at draw's defaults.
    """
    if in_a_notebook_page() and importlib.util.find_spec("ipywidgets"):
        from IPython.display import display
        from ipywidgets import interactive

        widget = interactive(draw, **choices)
        for control in widget.children[:-1]:
            control.style.description_width = "initial"  # else a long name is cut off
        display(widget)
    else:
        draw()


def calibration_curves(panels, bands=None, spread=None):
    """A figure of calibration curves, a column for each of panels {title: {network: ReliabilityBins}}.

    Above: accuracy against mean confidence, one point a non-empty bin, the diagonal being perfect calibration.
    Below: how many images each bin holds (logarithmic), so that nobody reads much into a point of three images.
    bands, spread {network: (low, high)}, each (n_bins,): where a perfectly calibrated network's accuracies lie by
    chance, drawn as hatched bars, and intervals of ours, drawn as whiskers.
    """
    size = {"figsize": (0.6 + 3.6 * len(panels), 5.4) if len(panels) > 1 else (6.4, 6.8), "layout": "constrained"}
    figure, axes = plt.subplots(
        2, len(panels), sharex=True, sharey="row", height_ratios=(3, 1.3), squeeze=False, **size
    )
    for (title, curves), above, below in zip(panels.items(), *axes, strict=True):
        above.plot([0, 1], [0, 1], color="0.55", linestyle=":", label="perfectly calibrated")
        for i, (name, bins) in enumerate(curves.items()):
            _curve(above, name, bins, bands and bands[name], spread and spread[name])
            _counts(below, name, bins, i, len(curves), numbers=len(panels) == 1)
        above.set(ylim=(-0.02, 1.02), xlim=(0, 1))
        above.set_title(title, fontsize=12)
        above.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        below.set(xlabel="confidence", yscale="log")
        below.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    most = max(bins.count.max() for curves in panels.values() for bins in curves.values())
    axes[1, 0].set_ylim(0.7, (60 if len(panels) == 1 else 3) * most)
    handles = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=11)
    figure.get_layout_engine().set(wspace=0.05)  # so that a panel's last tick is not read as the next one's first
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("images in bin")
    return figure


def _curve(axis, name, bins, band, spread):
    full = bins.count > 0
    x = bins.mean_confidence[full]
    style = network_style(name) | ({"linestyle": "-."} if name == "TN" else {})  # told apart in grey, too
    axis.plot(x, bins.accuracy[full], markersize=6, **style)
    if band is not None:
        low, high = (side[full] for side in band)
        axis.bar(x, high - low, 0.02, low, label="by chance (95 %)", **CHANCE)
    if spread is not None:
        axis.vlines(x, *(side[full] for side in spread), color=ink(name), linewidth=1.5)


def _counts(axis, name, bins, place, of, numbers):
    """The counts as bars, the `place`-th `of` as many networks; the teacher's white, to be told apart in grey."""
    colour, dashed = STYLES[name].colour, STYLES[name].dashed
    step = bins.upper - bins.lower
    width, filling = 0.9 * step / of, {"color": "white" if name == "TN" else colour, "edgecolor": ink(name)}
    left = bins.lower + 0.05 * step + place * width
    axis.bar(left, bins.count, width, align="edge", hatch="///" if dashed else None, **filling)
    if numbers and of <= 2:
        for x, count in zip(left + width / 2, bins.count, strict=True):
            how = {"textcoords": "offset points", "ha": "center", "fontsize": 9, "rotation": 90}
            axis.annotate(f"{count or ''}", (x, max(count, 1)), (0, 3), **how)


def isotonic_curves(confidences, curves, regions, bins, ends=(0.1, 0.9999)):
    """A figure of isotonic calibration curves on axes of log-odds, a column for each network of the four dicts.

    confidences {network: (n,)}; curves {network: (points, levels)} as of `calibration.isotonic`; regions {network:
    (low, high)} at the same points, in grey: where a perfectly calibrated network's curve lies by chance. bins
    {network: ReliabilityBins}, as markers, the last one shaded. Below: how many images lie where.
    Both axes show `ends`, and what lies beyond is drawn there: an accuracy of 1 has infinite log-odds.
    """
    size = {"figsize": (0.6 + 3.6 * len(curves), 5.6), "layout": "constrained"}
    figure, axes = plt.subplots(2, len(curves), sharex=True, sharey="row", height_ratios=(3, 1), squeeze=False, **size)
    low, high = np.log(ends) - np.log1p(np.negative(ends))
    edges = 1 / (1 + np.exp(-np.linspace(low, high, 25)))
    for (name, (points, levels)), above, below in zip(curves.items(), *axes, strict=True):
        points, levels, *region = (np.clip(part, *ends) for part in (points, levels, *regions[name]))
        above.fill_between(points, *region, color="0.8", linewidth=0, label="by chance (95 %)")
        above.plot(ends, ends, color="0.4", linestyle=":", label="perfectly calibrated")
        own, marks = network_style(name) | {"zorder": 3, "clip_on": False}, {"linestyle": "", "label": None}
        above.plot(points, levels, **own | {"marker": ""})
        above.plot(bins[name].mean_confidence, bins[name].accuracy.clip(*ends), **own | marks)
        below.hist(np.clip(confidences[name], *ends), edges, color=ink(name), zorder=3)
        for axis in (above, below):
            axis.axvspan(bins[name].lower[-1], ends[1], color="#fff3d0", zorder=0, label="the last bin")
            axis.set_xscale("logit")
        above.set(yscale="logit", xlim=ends, ylim=ends)
        above.set_title(name, fontsize=12)
        below.set(xlabel="confidence", yscale="log")
        for side in (above.xaxis, above.yaxis):
            _log_odds_ticks(side, ends)
    handles = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=11)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("images")
    return figure


def _log_odds_ticks(side, ends):
    """Percentages at equal steps of an axis of log-odds, none at its upper end."""
    ticks = [tick for tick in (0.1, 0.5, 0.9, 0.99, 0.999) if ends[0] <= tick < ends[1]]
    side.set_major_locator(FixedLocator(ticks))
    side.set_major_formatter(FixedFormatter([f"{100 * tick:g} %" for tick in ticks]))
    side.set_minor_locator(NullLocator())


def show_digits(images, titles, *, columns=10):
    """A figure of uint8 images (n, channels, height, width), in rows of `columns`, each with its title.

    channels: 1, in grey, or 3, in colour.
    """
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * 0.95, rows * 1.25), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image.transpose(1, 2, 0), cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9, fontweight="normal")
    return figure
