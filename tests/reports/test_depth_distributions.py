"""Medians, bands and classes against depth. Each is written as a PNG too: much goes wrong only then."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hybrid.reports.depth_distributions import contraction_ratios, intra_class_distances, jacobian_norms

SCAT = ["pixels", "scattering", "head.stem.2", "head.stages.0.0.relu1", "logits"]
RESNET = ["pixels", "relu", "layer1.0.relu", "layer1.0.relu#2", "layer1.1.relu", "layer1.1.relu#2", "logits"]


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.array(Image.open(file).convert("RGB"))


def curve(layers, start=20.0, step=10.0):
    return [(name, start + step * k) for k, name in enumerate(layers)]


def legend(figure) -> dict[str, matplotlib.lines.Line2D]:
    (box,) = figure.legends
    return {text.get_text(): line for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def test_contraction_is_drawn_as_medians_and_quantiles_on_a_log_axis():
    same, other = np.linspace(0.1, 0.3, 101), np.linspace(0.5, 1.5, 101)
    figure = contraction_ratios([("relu1", same, other), ("relu2", same / 2, np.append(other, np.inf))])
    drawn(figure)
    (axes,) = figure.axes
    one, low, high = axes.lines
    assert one.get_ydata()[0] == 1
    assert low.get_ydata().tolist() == pytest.approx([0.2, 0.1]) and high.get_ydata().tolist() == pytest.approx([1, 1])
    inner, outer, *_ = [band.get_paths()[0].vertices for band in axes.collections]
    assert inner[:, 1].min() == pytest.approx(0.15 / 2) and inner[:, 1].max() == pytest.approx(0.25)
    assert outer[:, 1].min() == pytest.approx(0.11 / 2) and outer[:, 1].max() == pytest.approx(0.29)
    assert axes.get_yscale() == "log" and list(legend(figure)) == ["same class", "different classes"]


def test_contraction_of_two_runs_is_overlaid_without_the_outer_bands():
    ratios = np.linspace(0.1, 1, 50)
    figure = contraction_ratios({run: [(name, ratios, ratios) for name in names]
                                         for run, names in {"scat": SCAT, "plain": RESNET}.items()})  # fmt: skip
    drawn(figure)
    assert len(figure.axes[0].collections) == 4
    assert list(legend(figure)) == ["same class", "different classes", "scat", "plain"]


def test_jacobian_norms_of_a_layer_without_samples_are_a_gap():
    figure = jacobian_norms([("a", [1.0, 2.0, 3.0]), ("b", [np.nan]), ("c", np.array([4.0]))])
    drawn(figure)
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [2, np.nan, 4])
    assert not figure.legends  # one line, one run: nothing to explain


def test_classes_have_lines_of_their_own_in_the_legend():
    names = [f"class {k}" for k in range(10)]
    figure = intra_class_distances({name: [("a", 8.0), ("b", 6.0 + 0.01 * k)] for k, name in enumerate(names)})
    drawn(figure)
    (axes,) = figure.axes
    looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
    assert len(set(looks)) == 10
    assert [(line.get_color(), line.get_linestyle()) for line in legend(figure).values()] == looks
    assert list(legend(figure)) == names


def test_many_classes_are_grey_lines_and_their_mean():
    figure = intra_class_distances({str(k): [("a", 1.0 + k), ("b", 2.0)] for k in range(20)})
    drawn(figure)
    (axes,) = figure.axes
    assert len(axes.lines) == 21 and axes.lines[-1].get_ydata().tolist() == [10.5, 2]
    assert list(legend(figure)) == ["one class", "mean of 20 classes"]


def test_classes_of_several_runs_are_a_mean_and_a_band():
    figure = intra_class_distances(
        {"scat": {"cat": curve(SCAT, 1, 1), "dog": curve(SCAT, 3, 1)}, "plain": {"cat": curve(RESNET, 1, 0)}}
    )
    drawn(figure)
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [2, 3, 4, 5, 6]
    extent = axes.collections[0].get_paths()[0].get_extents()
    assert (extent.y0, extent.y1) == (1, 7) and list(legend(figure)) == ["scat", "plain"]
