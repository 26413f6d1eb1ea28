import importlib.util
import re
import zlib
from itertools import combinations, pairwise

import kdutils as kd
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from kdutils import calibration, plots
from matplotlib.colors import to_rgb


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_curve_stands_where_its_bins_are():
    """Also the last bin, in which most of MNIST lies."""
    confidence, correct = np.array([0.35, 0.95, 0.97, 0.99]), np.array([1, 1, 1, 0])
    bins = calibration.reliability_bins(confidence, correct)
    figure = plots.calibration_curves({"title": {"TN": bins}})
    above, below = figure.axes
    curve = next(line for line in above.lines if line.get_label() == "TN")
    np.testing.assert_allclose(curve.get_xydata(), [[0.35, 1], [0.97, 2 / 3]])
    bars = {round(bar.get_x() + bar.get_width() / 2, 2): bar.get_height() for bar in below.patches}
    assert bars[0.35] == 1
    assert bars[0.95] == 3
    low, high = below.get_xlim()
    assert low <= 0
    assert high >= 1
    assert below.get_ylim()[1] > 3


def test_a_figure_is_the_same_file_each_time(tmp_path):
    for folder in ("one", "two"):
        figure = plots.show_digits(np.zeros((3, 1, 28, 28), np.uint8), "abc")
        assert plots.save_figure(figure, tmp_path / folder, "digits") == ("digits.png", "digits.pdf")
    for name in ("digits.png", "digits.pdf"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("page", [False, True])
def test_a_headless_notebook_shows_one_figure_and_a_page_has_widgets(monkeypatch, page):
    drawn = []
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if page:
        monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    plots.explore(lambda bins=10, network="TN": drawn.append((bins, network)), bins=(2, 30), network=["SN1", "TN"])
    assert drawn == [(10, "TN")]
    assert len(shown) == page
    if page:
        slider, choice = shown[0].children[:2]
        assert (slider.min, slider.max, slider.value) == (2, 30, 10)
        slider.value = 15
        choice.value = "SN1"
        assert drawn == [(10, "TN"), (15, "TN"), (15, "SN1")]


def test_an_interval_stands_where_its_numbers_are():
    _, axis = plt.subplots()
    found = {"mean": 0.0, "interval": [-1.0, 1.0]}
    plots.interval(axis, 3, found, "SN2", scale=np.exp)
    line, point = axis.lines
    np.testing.assert_allclose(line.get_xydata(), [[np.exp(-1), 3], [np.exp(1), 3]])
    np.testing.assert_allclose(point.get_xydata(), [[1, 3]])
    assert point.get_markerfacecolor() == "white"
    assert point.get_color() == plots.STYLES["SN2"].colour


def test_every_steps_loss_is_drawn_with_a_running_mean():
    losses = np.arange(80.0, 0, -1)
    _, axis = plt.subplots()
    means = plots.losses(axis, {"epochs": [{"epoch": 1}, {"epoch": 2}], "step_losses": list(losses)}, "SN2")
    pale, mean, end = axis.lines
    np.testing.assert_array_equal(pale.get_xydata(), np.column_stack([np.arange(1, 81), losses]))
    np.testing.assert_allclose(mean.get_xydata(), np.column_stack([np.arange(1.5, 80), (losses[1:] + losses[:-1]) / 2]))
    np.testing.assert_array_equal(mean.get_ydata(), means)
    assert end.get_xdata() == [40.5, 40.5]
    assert axis.get_xlabel() == "optimiser step"


def test_of_an_older_history_the_epochs_losses_are_drawn_and_that_is_printed(capsys):
    _, axis = plt.subplots()
    means = plots.losses(axis, {"epochs": [{"epoch": 1, "loss": 0.6}, {"epoch": 2, "loss": 0.1}]}, "TN")
    (points,) = axis.lines
    np.testing.assert_array_equal(points.get_xydata(), [[1, 0.6], [2, 0.1]])
    assert points.get_linestyle() == "None"
    assert list(means) == [0.6, 0.1]
    assert axis.get_xlabel() == "epoch"
    assert "TN: this older history holds no losses of steps" in capsys.readouterr().out


def test_isotonic_curves_show_what_has_no_finite_log_odds_at_the_ends():
    confidence, correct = np.array([0.2, 0.95, 1.0]), np.array([0, 1, 1])
    curve, region = calibration.isotonic(confidence, correct), (np.array([0, 0.9, 1]), np.ones(3))
    bins = calibration.reliability_bins(confidence, correct)
    figure = plots.isotonic_curves({"TN": confidence}, {"TN": curve}, {"TN": region}, {"TN": bins})
    above, below = figure.axes
    line = next(line for line in above.lines if line.get_label() == "TN")
    np.testing.assert_allclose(line.get_xydata(), [[0.2, 0.1], [0.95, 0.9999], [0.9999, 0.9999]])
    assert sum(bar.get_height() for bar in below.patches[:-1]) == 3  # the last patch shades the last bin
    assert below.patches[-2].get_height() == 1


def contrast(colour):
    """That of a colour with white, 1 to 21, as WCAG 2 defines it; marks that can be seen have 3."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 1.05 / (np.dot(parts, (0.2126, 0.7152, 0.0722)) + 0.05)


@pytest.mark.parametrize("name", plots.STYLES)
def test_a_networks_lines_and_rims_can_be_seen_in_grey(name):
    (line,) = plt.plot([0, 1], **plots.network_style(name))
    assert contrast(line.get_color()) > 3
    assert contrast(line.get_markeredgecolor()) > 3
    hollow = plots.STYLES[name].dashed
    assert line.get_markerfacecolor() == ("white" if hollow else plots.STYLES[name].colour)


def test_chance_is_hatched_and_columns_have_a_rim():
    """So that neither is the grey of KD-SN1's line."""
    bins = calibration.reliability_bins(np.array([0.35, 0.95]), np.array([1, 1]))
    band = np.full(10, 0.2), np.full(10, 0.9)
    above, below = plots.calibration_curves({"": {"KD-SN1": bins}}, {"KD-SN1": band}).axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx([0.7, 0.7])
    assert [bar.get_y() for bar in above.patches] == pytest.approx([0.2, 0.2])
    assert all(bar.get_hatch() for bar in above.patches)
    assert all(contrast(bar.get_edgecolor()[:3]) > 3 for bar in below.patches)


def test_the_benchmarks_bars_can_be_told_apart_in_grey():
    spec = importlib.util.spec_from_file_location("bench", ROOT / "tests" / "benchmarks" / "bench.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    axis, _ = bench.draw(kd.notebook.committed("benchmark.json")).axes
    own = {bars.get_label(): bars[0] for bars in axis.containers if bars.get_label() in plots.STYLES}
    fills = []
    for bar in own.values():
        fill, rim = contrast(bar.get_facecolor()[:3]), contrast(bar.get_edgecolor()[:3])
        fills.append((bar.get_hatch() if rim > 1.5 * fill else None, fill))  # in the fill's own colour none is seen
    assert list(own) == ["TN", "SN2", "SN1"]
    for (hatch, one), (other_hatch, other) in combinations(fills, 2):
        assert hatch != other_hatch or max(one, other) > 2 * min(one, other)
    assert all(contrast(bar.get_edgecolor()[:3]) > 3 for bar in own.values())


PAGE = 700  # pixels: as wide as README.md shows a figure


@pytest.mark.parametrize("path", sorted((ROOT / "figures").glob("figure*.pdf")), ids=lambda path: path.stem)
def test_letters_are_legible_at_half_size(path):
    """At least 5 pixels at half of PAGE; 6.5 in the figure that README.md shows first."""
    content = path.read_bytes()
    points = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)[1])
    parts = [zlib.decompress(part) for part in re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)endstream", content, re.S)]
    sizes = [float(size) for part in parts for size in re.findall(rb"/F\d+ ([\d.]+) Tf", part)]
    assert min(sizes) / points * PAGE / 2 >= (6.5 if "figure16" in path.stem else 5)


def drawn(monkeypatch, notebook, marks, **known):
    """{file name: figure} that those cells of a notebook draw which hold one of `marks`, in order."""
    figures = {}
    monkeypatch.setattr(plots, "save_figure", lambda figure, _, name: figures.setdefault(name, figure) and ())
    monkeypatch.setattr(plt, "show", lambda: None)
    cells = nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", 4).cells
    names = {"kd": kd, "np": np, "pd": pd, "plt": plt, "folder": None} | known
    with plt.rc_context():
        plots.use_style()
        for cell in cells:
            if cell.cell_type == "code" and any(mark in cell.source for mark in marks):
                exec(compile(cell.source, notebook, "exec"), names)
        for figure in figures.values():
            figure.draw_without_rendering()
    return figures


def committed(profile, seed):
    return kd.Run(profile, seed, ROOT / "results", read_only=True)


def figure_16(monkeypatch):
    records = kd.notebook.all_committed("transfer.json")
    students = [prefix + name for name in ("SN1", "SN2", "SN3") for prefix in ("", "KD-")]
    known = {"records": records, "record": records["paper"], "found": records["paper"]["networks"]}
    known |= {"distilled": students[1::2], "students": students, "run": committed("paper", 0)}
    known |= {"reading": "MUPE, student's dropout {}, teacher's on"}
    marks = ("def label_rows", '"quick-converged":', '"raw gain": "gain"', "figure16_studies")
    return drawn(monkeypatch, "07_what_is_transferred", marks, **known)


def figures_of_08(monkeypatch, marks=("figure17_lesson", "figure18_steps", "figure22_widths")):
    record = kd.notebook.committed("quick/followed.json")
    found = {(own["network"], own["dropout"]): own["images"] for own in record["readings"]}
    marks = ("def label(", "ladder = [", *marks)
    return drawn(monkeypatch, "08_one_pass", marks, found=found, run=committed("quick", 10))


def shown(axis):
    """The boxes of the labels of its x-axis that lie in view, from left to right."""
    (low, high), ticks = axis.get_xlim(), zip(axis.get_xticks(), axis.get_xticklabels(), strict=True)
    return sorted((label.get_window_extent() for at, label in ticks if low <= at <= high), key=lambda box: box.x0)


@pytest.mark.parametrize("draw", [figure_16, figures_of_08])
def test_no_letter_is_cut_and_no_tick_covers_the_next(monkeypatch, draw):
    figures = draw(monkeypatch)
    assert len(figures) == {figure_16: 1, figures_of_08: 3}[draw]
    for name, figure in figures.items():
        drawn = figure.get_tightbbox()
        assert 0 <= drawn.x0 < drawn.x1 <= figure.get_figwidth(), name
        for axis in figure.axes:
            assert all(left.x1 < right.x0 for left, right in pairwise(shown(axis))), name
            assert axis.title.get_window_extent().width <= 1.15 * axis.bbox.width, name


def test_what_was_not_trained_is_said_and_what_is_grey(monkeypatch):
    (figure,) = figure_16(monkeypatch).values()
    for axis in figure.axes:
        assert [text.get_text() for text in axis.texts] == ["not trained"]
    assert "share" in figure.axes[-1].get_title()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Fashion-MNIST"]


def test_every_mark_of_figure_18_is_explained(monkeypatch):
    figure = figures_of_08(monkeypatch)["figure18_steps"]
    marks = {line.get_marker() for line in figure.axes[0].lines} - {"", "|", "None"}
    assert {line.get_marker() for line in figure.legends[0].get_lines()} >= marks


def test_the_legends_under_shift_name_each_network_once_and_cover_nothing(monkeypatch):
    figures = figures_of_08(monkeypatch, ("def under_shift(", "figure20_shifts", "figure21b_fresh"))
    assert list(figures) == ["figure20_shifts", "figure21b_fresh"]
    for figure, count in zip(figures.values(), (4, 3), strict=True):
        (legend,), (axis,) = figure.legends, figure.axes
        names = [text.get_text() for text in legend.get_texts()]
        assert len(set(names)) == len(names) == count
        assert not legend.get_window_extent().overlaps(axis.get_tightbbox())
