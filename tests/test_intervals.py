"""Intervals beside the bands that matter, drawn where their numbers are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from kdutils import choices, intervals
from kdutils.stats import Estimate, image_weights
from kdutils.study import Study
from studies import fake_study


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(axis):
    """[(x, y, colour)] of the points, from top to bottom."""
    marks = [line for line in axis.lines if line.get_marker() in ("o", "D")]
    return [(*line.get_xydata()[0], line.get_color()) for line in marks]


def test_each_choice_has_a_row_beside_the_band_of_its_difference():
    rows = {label: {what: Estimate(x, 0.1, 9) for what in choices.SMALL} for label, x in (("ours", 1.0), ("else", 2.0))}
    axes = intervals.of_choices(rows, ours=["ours"]).axes
    assert len(axes) == len(choices.SMALL)
    for axis, small in zip(axes, choices.SMALL.values(), strict=True):
        assert points(axis) == [(1.0, 0, "black"), (2.0, 1, intervals.OTHER["color"])]
        (band,) = axis.patches
        assert (band.get_x(), band.get_width()) == pytest.approx((-small, 2 * small))
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["ours", "else"]
    assert axes[0].yaxis_inverted()


def test_the_claims_stand_by_unit_and_green_is_where_they_need_the_interval():
    studies = [Study(fake_study(seeds=seeds, copying=0.8), image_weights(400, resamples=50)) for seeds in (3, 4)]
    found = intervals.conditions(studies)
    assert list(found["ECE"])[-1] == "C5 (deterministic):\nECE SN2 − KD-SN2"
    assert {len(each) for rows in found.values() for each in rows.values()} == {2}
    sides = set()
    for axis, rows in zip(intervals.of_claims(found).axes, found.values(), strict=True):
        low, high = axis.get_xlim()
        drawn = points(axis)
        for bar, y, (first, second) in zip(axis.patches, range(len(rows)), rows.values(), strict=True):
            assert drawn[2 * y] == pytest.approx((first.estimate.mean, y - 0.16, "black"))
            assert drawn[2 * y + 1][:2] == pytest.approx((second.estimate.mean, y + 0.16))
            green = {"above": (first.bound, high), "below": (low, first.bound), "within": (-first.bound, first.bound)}
            np.testing.assert_allclose((bar.get_x(), bar.get_x() + bar.get_width()), green[first.side])
            sides.add(first.side)
    assert sides == {"above", "below", "within"}
