"""Draw the experiment in one picture: figures/experiment.png and .pdf.

python workflow/experiment.py
"""

import matplotlib.pyplot as plt
from kdutils import plots
from matplotlib.patches import FancyBboxPatch
from report import ROOT

LAYERS = {"SN1": 4, "SN2": 7, "SN3": 16}
GREY = "0.35"


def box(axis, x, y, width, height, text, colour=GREY, *, dashed=False, **text_options):
    """A box with its lower left corner at (x, y): dashed and hollow for a network that never met the teacher."""
    fill = "white" if dashed else (*plt.matplotlib.colors.to_rgb(colour), 0.15)
    line = {"linewidth": 2, "linestyle": "--" if dashed else "-", "edgecolor": colour, "facecolor": fill}
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", **line))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", **{"fontsize": 11} | text_options)


def arrow(axis, start, end, text="", *, colour=GREY, bend=None, at=None):
    """An arrow, straight or with a right angle ("angleA,angleB" in `bend`), and a text whose foot stands at `at`."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 2}
    style |= {"connectionstyle": "angle,angleA={},angleB={},rad=6".format(*bend)} if bend else {}
    axis.annotate("", end, start, arrowprops=style)
    if text:
        axis.text(*at, text, ha="center", va="bottom", fontsize=10, color=colour)


def draw():
    """The figure: what each network learns from, and what is compared."""
    figure, axis = plt.subplots(figsize=(11, 4.4))
    axis.set(xlim=(0, 14.2), ylim=(-0.05, 6.0))
    axis.set_axis_off()
    red = plots.STYLES["TN"].colour
    box(axis, 0.1, 3.6, 1.7, 1.3, "MNIST\nimages,\nlabels")
    box(axis, 2.9, 3.6, 2.2, 1.3, "teacher TN\n16 layers, dropout", red)
    arrow(axis, (1.8, 4.25), (2.9, 4.25))
    arrow(axis, (5.1, 4.25), (6.8, 4.25), "soft targets\nand labels", colour=red, at=(5.95, 4.35))
    never = "labels alone: these networks never meet the teacher"
    arrow(axis, (0.95, 3.6), (6.8, 1.25), never, bend=(-90, 0), at=(3.85, 1.35))
    for row, (name, layers) in enumerate(LAYERS.items()):
        y = 4.8 - 0.88 * row  # of the lower edge
        box(axis, 6.9, y, 2.1, 0.68, f"KD-{name}, {layers} layers", plots.STYLES[name].colour)
        box(axis, 6.9, y - 3, 2.1, 0.68, f"{name}, {layers} layers", plots.STYLES[name].colour, dashed=True)
    box(axis, 10.2, 2.1, 1.9, 1.3, "100 passes\nwith dropout on:\nconfidence")
    arrow(axis, (9.0, 4.25), (10.8, 3.4), bend=(0, 90))
    arrow(axis, (9.0, 1.25), (11.15, 2.1), bend=(0, 90))
    axis.plot((4, 4, 11.5), (4.9, 5.85, 5.85), color=red, linewidth=1.6)
    arrow(axis, (11.5, 5.85), (11.5, 3.4), colour=red)
    arrow(axis, (12.1, 2.75), (12.6, 2.75))
    box(axis, 12.6, 2.1, 1.5, 1.3, "MUPE:\nstudent\nbeside\nteacher")
    figure.tight_layout(pad=0.2)
    return figure


if __name__ == "__main__":
    plots.use_style()
    plots.save_figure(draw(), ROOT / "figures", "experiment")
