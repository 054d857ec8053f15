"""Figures with a curve per layer: values, order of colours, scales, names."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from hybrid.errors import UserError
from hybrid.reports.layer_figures import boundary_curves, class_spectra, cumulative_distances
from hybrid.reports.style import COLUMN, PAGE


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.array(Image.open(file).convert("RGB"))


def legend(figure) -> dict[str, matplotlib.lines.Line2D]:
    (box,) = figure.legends
    return {text.get_text(): line for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def lightness(line) -> float:
    return float(np.dot(to_rgba(line.get_color())[:3], (0.2126, 0.7152, 0.0722)))


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def bar_names(figure) -> list[list[str]]:
    return [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_boundary_points_have_one_curve_per_layer_from_dark_to_light():
    figure = boundary_curves([("pixels", [40, 30, 20]), ("relu", [30, 20, 9]), ("logits", [9, 4, 0])], samples=1000)
    drawn(figure)
    axes = figure.axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines][2] == [[1, 0.9], [2, 0.4], [3, 0]]
    assert [line.get_label() for line in axes.lines] == ["pixels", "relu", "logits"]
    shades = [lightness(line) for line in axes.lines]
    assert shades == sorted(shades)
    assert labels(axes) == ["pixels", "relu", "logits"] and bar_names(figure) == []
    assert axes.get_ylabel().replace("\n", " ") == "boundary points (% of 1,000 images)"
    assert figure.get_figwidth() == COLUMN


def test_the_axis_is_logarithmic_down_to_one_image_and_has_a_place_for_none():
    figure = boundary_curves([("a", [900, 40]), ("b", [0, 0])], samples=1000)
    drawn(figure)
    axes = figure.axes[0]
    heights = [axes.transLimits.transform(axes.transScale.transform((1, share)))[1] for share in (0, 0.1, 1, 10, 100)]
    steps = np.diff(heights)
    assert heights[0] == 0 and steps[1] == pytest.approx(steps[2]) == pytest.approx(steps[3]) and steps[0] > 0.1
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "0.1", "1", "10", "100"]
    linear = boundary_curves([("a", [900, 40]), ("b", [0, 0])], samples=1000, scale="linear")
    assert linear.axes[0].get_yscale() == "linear" and linear.axes[0].get_ylim()[0] == 0


@pytest.mark.parametrize("ends", [[5] * 20, list(range(1, 21)), [999] * 19 + [0], [0] * 12])
def test_names_at_the_lines_are_in_their_order_and_do_not_overlap(ends):
    figure = boundary_curves([(f"layer{k}", [1000, end]) for k, end in enumerate(ends)], samples=1000)
    drawn(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for one, other in zip(boxes, boxes[1:], strict=False):
        assert other.y0 >= one.y1 - 1 if other.y0 > one.y0 else one.y0 >= other.y1 - 1
    places = [text.get_position()[1] for text in figure.axes[0].texts]
    assert np.array_equal(np.argsort(places), np.argsort(ends, kind="stable"))
    assert min(places) >= -0.1 and max(places) <= 1.1


@pytest.mark.parametrize("count", [-1, 1001])
def test_counts_that_cannot_be_are_an_error(count):
    with pytest.raises(UserError, match="plain: layer relu has a count outside 0 ... 1000"):
        boundary_curves({"plain": [("relu", [count])]}, samples=1000)


def test_runs_have_panels_with_common_axes_and_names_of_their_own():
    counts = [("pixels", [40, 30]), ("logits", [9, 4])]
    figure = boundary_curves({"scat": counts, "plain": [counts[0], ("relu", [20, 10]), counts[1]]}, samples=50)
    drawn(figure)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert [axes.get_title() for axes in panels] == ["scat", "plain"] and figure.get_figwidth() == PAGE
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert [labels(axes) for axes in panels] == [["pixels", "logits"], ["pixels", "relu", "logits"]]
    assert panels[0].lines[-1].get_color().tolist() == panels[1].lines[-1].get_color().tolist()  # the last layer's
    shares = [("pixels", [1, 3]), ("logits", [2, 2])]
    assert len(bar_names(class_spectra({"a": shares, "b": shares}))) == 1


def test_of_many_layers_eight_distributions_are_drawn():
    values = np.linspace(1, 2, 50)
    figure = cumulative_distances([(f"layer{k}", values, values) for k in range(20)])
    assert [line.get_label() for line in figure.axes[0].lines] == [f"layer{k}" for k in (0, 1, 4, 7, 10, 13, 16, 19)]


def test_distances_are_cumulated_exactly_on_a_log_axis():
    generator = np.random.default_rng(0)
    same, other = generator.gamma(3, 0.1, 3000).round(2), 1 + generator.gamma(3, 0.1, 2000)
    figure = cumulative_distances([("relu1", same, other), ("relu2", same / 2, np.append(other, np.nan))])
    drawn(figure)
    left, right = figure.axes[:2]
    assert [axes.get_title() for axes in (left, right)] == ["nearest of the same class", "nearest of another class"]
    for axes, values in ((left, same), (right, other)):
        x, y = axes.lines[0].get_data()
        np.testing.assert_allclose(y, [(values <= value).mean() for value in x])
        assert x[0] == values.min() and (x[-1], y[-1]) == (values.max(), 1)
        assert len(x) <= 400 and axes.get_yscale() == "log" and axes.get_xscale() == "linear"
        assert axes.get_xlabel() == "distance"
    assert right.lines[1].get_ydata()[-1] == 1  # NaN is no distance
    assert left.get_xlim() == right.get_xlim()


def test_distances_of_two_runs_are_two_rows_with_the_runs_names():
    values = np.linspace(1, 2, 50)
    layers = [("a", values, values), ("b", values, values)]
    figure = cumulative_distances({"scat": layers, "plain": layers[:1]}, titles=("left", "right"))
    drawn(figure)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert [axes.get_title() for axes in panels] == ["left", "right", "", ""]
    assert [axes.get_ylabel().split("\n")[0] for axes in panels] == ["scat", "", "plain", ""]
    assert bar_names(figure) == [["a", "b"], ["a"]]


def test_distances_of_very_different_layers_have_a_log_axis_too():
    values = np.linspace(0, 2, 50)
    figure = cumulative_distances([("a", values, values), ("b", 30 * values, 30 * values)])
    drawn(figure)
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_xlim()[0] == pytest.approx(2 / 49)


def test_spectra_are_cumulated_from_the_largest_and_averaged_over_classes():
    layers = [("relu1", [[1.0, 3.0], [1.0, 1.0]]), ("relu2", np.array([4.0, 0.0]))]
    figure = class_spectra(layers)
    drawn(figure)
    axes = figure.axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 62.5], [2, 100]]
    assert axes.lines[1].get_ydata().tolist() == [100, 100]
    assert axes.get_xscale() == "linear" and axes.get_ylabel() == "cumulated variance (%)"
    axes = class_spectra(layers, share=False).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [2, 3] and axes.get_ylabel() == "cumulated variance"


def test_spectra_of_different_dimensions_have_a_log_axis_and_no_variance_is_a_gap():
    figure = class_spectra([("a", np.ones((2, 4))), ("b", np.zeros((2, 9)))])
    drawn(figure)
    assert figure.axes[0].get_xscale() == "log"
    assert np.isnan(figure.axes[0].lines[1].get_ydata()).all()
