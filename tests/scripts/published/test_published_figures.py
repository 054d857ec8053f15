"""The pictures of the page: what a legend names, points side by side, curves over steps."""

from __future__ import annotations

import colorsys
import json

import pytest
from matplotlib.colors import to_rgb
from published.figures import labels_figure, section_figures
from published.matching import entries
from published.rows import read_page

from hybrid.runs.reading import find_runs

RECIPE = ("experiment=digits", "data.subset.n=100")


@pytest.fixture
def section_and_rows(places):
    """section_and_rows() reads the list's table and what the runs of this test are in it."""

    def do():
        (section,) = read_page(places.rows).sections
        return section, entries(section, find_runs(places.root.parent / "runs"))

    return do


def legend(figure) -> list[str]:
    """The words of a figure's legend, below its axes."""
    (found,) = figure.legends
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
    assert 98 < published[0] < 99.5 and 100.5 < ours[0] < 102
    assert ours[1] == pytest.approx(1000), "a point that stands alone stands at its number"


@pytest.mark.parametrize(("length", "scale"), [(20, "linear"), (21, "log")])
def test_learning_curves_are_over_steps_and_null_is_all_images(write_run, section_and_rows, places, length, scale):
    places.rows.write_text(
        places.rows.read_text().replace("data.subset.n=1000 trainer.duration='30 epochs'\"", 'data.subset.n=null"')
    )
    write_run("a", *RECIPE, top1=90.0)
    write_run("b", "experiment=digits", "data.subset.n=null", top1=95.0, validation=[50.0 + k for k in range(length)])
    section, rows = section_and_rows()
    figure = section_figures(rows)["curves"][1]
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("step", scale)
    assert [line.get_xdata()[-1] for line in axes.lines] == [20.0, 10.0 * length]
    assert legend(figure) == ["100 labels (1 seed)", "1,000 labels (1 seed)"]
    assert figure.legends[0].get_title().get_text() == "first"


def test_curves_of_changed_settings_are_named_by_them_in_lighter_shades_of_their_row_s_colour(
    write_run, section_and_rows
):
    write_run("a", *RECIPE, top1=90.0)
    write_run("b", *RECIPE, "optimizer.lr=0.3", "trainer.duration=2 epochs", top1=80.0)
    words, figure = section_figures(section_and_rows()[1])["curves"]
    assert words == "Learning curves"
    assert legend(figure) == ["the recipe's (1 seed)", "lr=0.3, 2 epochs (1 seed)"]
    own, changed = (colorsys.rgb_to_hls(*to_rgb(line.get_color())) for line in figure.axes[0].lines)
    assert own[0] == pytest.approx(changed[0], abs=0.01) and changed[1] > own[1] + 0.1


def test_more_curves_than_eyes_follow_are_left_out_and_counted(write_run, section_and_rows):
    for k in range(9):
        write_run(f"a{k}", *RECIPE, f"optimizer.lr=0.{k + 1}", top1=80.0)
    words, figure = section_figures(section_and_rows()[1])["curves"]
    assert words == "Learning curves; not drawn: 3 more with other settings, in the table"
    assert len({line.get_color() for line in figure.axes[0].lines}) == 6


def test_a_run_that_diverged_does_not_hide_the_others_and_is_named(write_run, section_and_rows):
    def losses(folder, values):
        records = [{"step": 10 * k, "epoch": k, "train/loss": value} for k, value in enumerate(values)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return folder

    losses(write_run("a", *RECIPE, "optimizer.lr=0.3", top1=80.0), [2.0, 1.0, 0.5, 0.4])
    failed = losses(write_run("b", *RECIPE), [2.5, 2.0, 200.0, 1e30, None])
    (failed / "error.txt").write_text("ValueError: the loss is not finite\n")
    words, figure = section_figures(section_and_rows()[1])["curves"]
    assert words == "Learning curves; thin, ending in ×: runs that failed or are not finished"
    assert legend(figure) == ["the recipe's (1 failed)", "lr=0.3 (1 seed)"]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(3.0)
