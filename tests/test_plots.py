import matplotlib.pyplot as plt
import numpy as np
import pytest
from kdutils import calibration, plots


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
