"""What is drawn against depth: values, order of colours, names. Each is written as a PNG too: much goes wrong only then."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hybrid.errors import UserError
from hybrid.reports.depth_figures import accuracy_by_depth, curves_by_depth
from hybrid.reports.style import COLUMN

SCAT = ["pixels", "scattering", "head.stem.2", "head.stages.0.0.relu1", "logits"]
RESNET = ["pixels", "relu", "layer1.0.relu", "layer1.0.relu#2", "layer1.1.relu", "layer1.1.relu#2", "logits"]


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.array(Image.open(file).convert("RGB"))


def curve(layers, start=20.0, step=10.0):
    return [(name, start + step * k) for k, name in enumerate(layers)]


def ticks(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def legend(figure) -> dict[str, matplotlib.lines.Line2D]:
    (box,) = figure.legends
    return {text.get_text(): line for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def test_accuracies_of_one_run_stand_at_its_layers_names():
    figure = accuracy_by_depth({"1-NN": curve(SCAT), "SVM": curve(SCAT[1:], 35.0)}, reference={"network": 88.04})
    drawn(figure)
    (axes,) = figure.axes
    nn, svm, network = axes.lines
    assert nn.get_xydata().tolist() == [[0, 20], [1, 30], [2, 40], [3, 50], [4, 60]]
    assert svm.get_xydata().tolist() == [[1, 35], [2, 45], [3, 55], [4, 65]]  # it has no pixels: they keep their place
    assert set(network.get_ydata()) == {88.04}
    assert ticks(axes) == ["pixels", "scattering", "stem.2", "stages.0.0.relu1", "logits"]
    assert axes.get_ylabel() == "test accuracy (%)"
    assert list(legend(figure)) == ["1-NN", "SVM", "network 88.0"]
    assert len({nn.get_color(), svm.get_color()}) == len({nn.get_marker(), svm.get_marker()}) == 2
    assert figure.get_figwidth() == COLUMN and axes.yaxis.label.get_size() == 9
    assert {label.get_size() for label in axes.get_yticklabels()} == {8}


def test_two_networks_are_overlaid_by_relative_depth():
    runs = {
        "scat_resnet": {"1-NN": curve(SCAT), "SVM": curve(SCAT, 30)},
        "resnet18": {"1-NN": curve(RESNET), "SVM": curve(RESNET, 30)},
    }
    figure = accuracy_by_depth(runs)
    drawn(figure)
    (axes,) = figure.axes
    assert [line.get_xdata().tolist() for line in axes.lines[::2]] == [
        pytest.approx([0, 0.25, 0.5, 0.75, 1]),
        pytest.approx(np.arange(7) / 6),
    ]
    assert "relative depth" in axes.get_xlabel()
    one, two, three, four = axes.lines
    assert one.get_color() == three.get_color() != two.get_color() == four.get_color()  # the classifier's colour
    assert one.get_linestyle() == two.get_linestyle() == "-" and three.get_linestyle() == four.get_linestyle() == "--"
    entries = legend(figure)
    assert list(entries) == ["1-NN", "SVM", "scat_resnet", "resnet18"]
    assert entries["resnet18"].get_linestyle() == "--"


def test_layers_can_be_counted_instead_and_equal_layers_keep_their_names():
    runs = {"short": {"1-NN": curve(SCAT)}, "long": {"1-NN": curve(RESNET)}}
    (axes,) = accuracy_by_depth(runs, axis="layer").axes
    assert axes.get_xlabel() == "layer" and [line.get_xdata()[-1] for line in axes.lines] == [4, 6]
    (axes,) = accuracy_by_depth({"a": {"1-NN": curve(SCAT)}, "b": {"1-NN": curve(SCAT)}}).axes
    assert ticks(axes)[0] == "pixels" and axes.lines[1].get_xdata()[-1] == 4
    with pytest.raises(UserError, match="unknown axis: deep. Valid: auto, layer, relative"):
        accuracy_by_depth(runs, axis="deep")


def test_with_one_curve_per_run_colours_are_the_runs_and_their_references():
    runs = {"scat_resnet": {"1-NN": curve(SCAT)}, "resnet18": {"1-NN": curve(RESNET)}}
    figure = accuracy_by_depth(runs, reference={"resnet18": 95.2, "scat_resnet": 94.9})
    (axes,) = figure.axes
    scat, resnet, *references = axes.lines
    assert list(legend(figure)) == ["scat_resnet: 1-NN", "resnet18: 1-NN", "scat_resnet 94.9", "resnet18 95.2"]
    assert scat.get_color() != resnet.get_color()
    assert [(line.get_ydata()[0], line.get_color()) for line in references] == [
        (94.9, scat.get_color()), (95.2, resnet.get_color()),
    ]  # fmt: skip


def test_a_single_curve_is_named_and_one_without_a_name_needs_no_legend():
    assert list(legend(accuracy_by_depth({"1-NN": curve(SCAT)}))) == ["1-NN"]
    figure = curves_by_depth({"": curve(SCAT)}, ylabel="distance over that in the layer before it")
    assert not figure.legends and figure.axes[0].get_ylabel().count("\n") == 1
    assert list(legend(curves_by_depth({"a": {"": curve(SCAT)}, "b": {"": curve(SCAT)}}, ylabel=""))) == [
        "a",
        "b",
    ]


def test_a_value_that_is_not_finite_is_a_gap_and_a_log_axis_is_one():
    figure = curves_by_depth(
        {"ratio": [("a", 0.01), ("b", float("nan")), ("c", float("inf")), ("d", 5.0)]},
        ylabel="within / between",
        scale="log",
    )
    drawn(figure)
    (axes,) = figure.axes
    assert np.isfinite(axes.lines[0].get_ydata()).tolist() == [True, False, False, True]
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "within / between"


@pytest.mark.parametrize("empty", [{}, {"1-NN": []}, {"run": {}}])
def test_nothing_to_draw_is_an_error(empty):
    with pytest.raises(UserError, match="nothing to draw"):
        accuracy_by_depth(empty)


def test_a_layer_twice_in_a_curve_is_an_error():
    with pytest.raises(UserError, match="layer relu1 twice"):
        accuracy_by_depth({"1-NN": curve(["pixels", "relu1", "relu1"])})
