"""Legends and notes in figures cover no data: a legend stands in a free corner or below, a note at a free side of its point."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from hybrid.reports.free_places import add_legend, move_to_free_places


@pytest.fixture
def axes():
    axes = Figure(figsize=(5.2, 3.4), layout="constrained").subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return axes


def corner_of(axes) -> tuple[float, float]:
    """The middle of the legend inside, as parts of the axes."""
    box = axes.get_legend().get_window_extent().transformed(axes.transAxes.inverted())
    return tuple(((box.p0 + box.p1) / 2 > 0.5).astype(int))


@pytest.mark.parametrize(
    ("line", "corner"),
    [
        ([(0, 0.05), (1, 0.05)], (1, 1)),
        ([(0, 0.95), (1, 0.95)], (1, 0)),
        ([(0, 0), (1, 1)], (0, 1)),
        ([(0, 1), (1, 0)], (1, 1)),
    ],
)
def test_a_small_legend_stands_in_a_corner_that_no_curve_crosses(axes, line, corner):
    axes.plot(*zip(*line, strict=True), label="curve")
    add_legend(axes)
    assert not axes.figure.legends
    assert corner_of(axes) == corner


def test_a_band_around_a_curve_counts_as_data(axes):
    axes.plot([0, 1], [0.9, 0.9], label="curve")
    axes.fill_between([0, 1], [0.3, 0.3], [1, 1])
    add_legend(axes)
    assert corner_of(axes)[1] == 0


def test_the_legend_goes_below_where_no_corner_is_free(axes):
    x = np.linspace(0, 1, 50)
    axes.plot(x, x % 0.1 * 10, label="everywhere")
    height = axes.figure.get_figheight()
    add_legend(axes, "heading")
    axes.figure.draw_without_rendering()
    (legend,) = axes.figure.legends
    assert axes.get_legend() is None
    assert axes.figure.get_figheight() > height
    assert legend.get_window_extent().y1 < axes.get_tightbbox().y0


@pytest.mark.parametrize(("x", "y"), [(0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.98, 0.98), (0.5, 0.5)])
def test_a_note_stays_inside_the_axes(axes, x, y):
    note = axes.annotate("1 of 2", (x, y), (0, 0), textcoords="offset points")
    move_to_free_places([note])
    box = note.get_window_extent()
    assert (box.p0 >= axes.bbox.p0).all() and (box.p1 <= axes.bbox.p1).all()


def test_a_note_keeps_clear_of_curves_and_of_other_notes(axes):
    axes.plot([0, 0.5, 1], [0.9, 0.5, 0.3])  # it falls on the right of the point: only above is free there
    first, second = (axes.annotate("1 of 2", (0.5, 0.5), (0, 0), textcoords="offset points") for _ in range(2))
    move_to_free_places([first])
    assert first.get_ha() == "left" and first.get_window_extent().y0 > axes.transData.transform((0.5, 0.5))[1]
    move_to_free_places([first, second])
    assert not first.get_window_extent().overlaps(second.get_window_extent())
