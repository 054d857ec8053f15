"""The pictures of the page: what a legend names, points side by side, curves over steps."""

from __future__ import annotations

import pytest

from hybrid.reports.published.entries import entries
from hybrid.reports.published.figures import labels_figure, section_figures
from hybrid.reports.published.rows import read_page
from hybrid.reports.runs import read_runs

RECIPE = ("experiment=digits", "data.subset.n=100")


@pytest.fixture
def section_and_rows(places):
    """section_and_rows() reads the list's table and what the runs of this test are in it."""

    def do():
        (section,) = read_page(places.rows).sections
        return section, entries(section, read_runs(places.root.parent / "runs"))

    return do


def legend(figure) -> list[str]:
    """The words of a figure's legend, in or outside its axes."""
    (axes,) = figure.axes
    (found,) = figure.legends or [axes.get_legend()]
    return [text.get_text() for text in found.get_texts()]


def test_a_legend_names_only_what_is_drawn(write_run, section_and_rows):
    write_run("a", *RECIPE, top1=90.0)
    assert legend(labels_figure(section_and_rows()[1])) == ["first", "published", "ours"]
    write_run("b", *RECIPE, "optimizer.lr=0.3", top1=80.0)
    assert legend(labels_figure(section_and_rows()[1]))[-1] == "ours, settings changed"


def test_points_at_the_same_number_of_labels_stand_side_by_side_around_it(write_run, section_and_rows):
    write_run("a", *RECIPE, top1=91.5)
    write_run("b", "experiment=digits", "data.subset.n=1000", "trainer.duration=30 epochs", top1=95.0)
    (axes,) = labels_figure(section_and_rows()[1]).axes
    published, ours = (container.lines[0].get_xdata() for container in axes.containers)
    assert 95 < published[0] < 99 and 101 < ours[0] < 105
    assert ours[1] == pytest.approx(1000), "a point that stands alone stands at its number"


@pytest.mark.parametrize(("length", "scale"), [(20, "linear"), (21, "log")])
def test_learning_curves_are_over_steps_and_null_is_all_images(write_run, section_and_rows, places, length, scale):
    places.rows.write_text(
        places.rows.read_text().replace("data.subset.n=1000 trainer.duration='30 epochs'\"", 'data.subset.n=null"')
    )
    write_run("a", *RECIPE, top1=90.0)
    write_run("b", "experiment=digits", "data.subset.n=null", top1=95.0, validation=[50.0 + k for k in range(length)])
    section, rows = section_and_rows()
    figure = section_figures(section, rows)["curves"][1]
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("step", scale)
    assert [line.get_xdata()[-1] for line in axes.lines] == [20.0, 10.0 * length]
    assert legend(figure) == ["100 (1 seed)", "all (1 seed)"]
