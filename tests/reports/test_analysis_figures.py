"""What is drawn against depth: values, order of colours, names. Each is written as a PNG too: much goes wrong only then."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hybrid.errors import UserError
from hybrid.reports import analysis_figures as figures
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
    figure = figures.accuracy_by_depth(
        {"1-NN": curve(SCAT), "SVM": curve(SCAT[1:], 35.0)}, reference={"network": 88.04}
    )
    drawn(figure)
    (axes,) = figure.axes
    nn, svm, network = axes.lines
    assert nn.get_xydata().tolist() == [[0, 20], [1, 30], [2, 40], [3, 50], [4, 60]]
    assert svm.get_xydata().tolist() == [[1, 35], [2, 45], [3, 55], [4, 65]]  # it has no pixels: they keep their place
    assert set(network.get_ydata()) == {88.04} and [text.get_text() for text in axes.texts] == ["network 88.0"]
    assert ticks(axes) == ["pixels", "scattering", "stem.2", "stages.0.0.relu1", "logits"]
    assert axes.get_ylabel() == "test accuracy (%)"
    assert list(legend(figure)) == ["1-NN", "SVM"]
    assert len({nn.get_color(), svm.get_color()}) == len({nn.get_marker(), svm.get_marker()}) == 2
    assert figure.get_figwidth() == COLUMN and axes.yaxis.label.get_size() == 9
    assert {label.get_size() for label in axes.get_yticklabels()} == {8}


def test_two_networks_are_overlaid_by_relative_depth():
    runs = {
        "scat_resnet": {"1-NN": curve(SCAT), "SVM": curve(SCAT, 30)},
        "resnet18": {"1-NN": curve(RESNET), "SVM": curve(RESNET, 30)},
    }
    figure = figures.accuracy_by_depth(runs)
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
    (axes,) = figures.accuracy_by_depth(runs, axis="layer").axes
    assert axes.get_xlabel() == "layer" and [line.get_xdata()[-1] for line in axes.lines] == [4, 6]
    (axes,) = figures.accuracy_by_depth({"a": {"1-NN": curve(SCAT)}, "b": {"1-NN": curve(SCAT)}}).axes
    assert ticks(axes)[0] == "pixels" and axes.lines[1].get_xdata()[-1] == 4
    with pytest.raises(UserError, match="unknown axis: deep. Valid: auto, layer, relative"):
        figures.accuracy_by_depth(runs, axis="deep")


def test_with_one_curve_per_run_colours_are_the_runs_and_their_references():
    runs = {"scat_resnet": {"1-NN": curve(SCAT)}, "resnet18": {"1-NN": curve(RESNET)}}
    figure = figures.accuracy_by_depth(runs, reference={"resnet18": 95.2, "scat_resnet": 94.9})
    (axes,) = figure.axes
    scat, resnet, *references = axes.lines
    assert list(legend(figure)) == ["scat_resnet: 1-NN", "resnet18: 1-NN"]
    assert scat.get_color() != resnet.get_color()
    assert [(line.get_ydata()[0], line.get_color()) for line in references] == [
        (94.9, scat.get_color()), (95.2, resnet.get_color()),
    ]  # fmt: skip
    assert [text.get_text() for text in axes.texts] == ["scat_resnet 94.9", "resnet18 95.2"]
    low, high = (text.xyann[1] for text in axes.texts)
    assert high - low >= 9, "names of close lines overlap"


def test_a_single_curve_is_named_and_one_without_a_name_needs_no_legend():
    assert list(legend(figures.accuracy_by_depth({"1-NN": curve(SCAT)}))) == ["1-NN"]
    figure = figures.curves_by_depth({"": curve(SCAT)}, ylabel="distance over that in the layer before it")
    assert not figure.legends and figure.axes[0].get_ylabel().count("\n") == 1
    assert list(legend(figures.curves_by_depth({"a": {"": curve(SCAT)}, "b": {"": curve(SCAT)}}, ylabel=""))) == [
        "a",
        "b",
    ]


def test_a_value_that_is_not_finite_is_a_gap_and_a_log_axis_is_one():
    figure = figures.curves_by_depth(
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
        figures.accuracy_by_depth(empty)


def test_a_layer_twice_in_a_curve_is_an_error():
    with pytest.raises(UserError, match="layer relu1 twice"):
        figures.accuracy_by_depth({"1-NN": curve(["pixels", "relu1", "relu1"])})


def test_contraction_is_drawn_as_medians_and_quantiles_on_a_log_axis():
    same, other = np.linspace(0.1, 0.3, 101), np.linspace(0.5, 1.5, 101)
    figure = figures.contraction_ratios([("relu1", same, other), ("relu2", same / 2, np.append(other, np.inf))])
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
    figure = figures.contraction_ratios({run: [(name, ratios, ratios) for name in names]
                                         for run, names in {"scat": SCAT, "plain": RESNET}.items()})  # fmt: skip
    drawn(figure)
    assert len(figure.axes[0].collections) == 4
    assert list(legend(figure)) == ["same class", "different classes", "scat", "plain"]


def test_jacobian_norms_of_a_layer_without_samples_are_a_gap():
    figure = figures.jacobian_norms([("a", [1.0, 2.0, 3.0]), ("b", [np.nan]), ("c", np.array([4.0]))])
    drawn(figure)
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [2, np.nan, 4])
    assert not figure.legends  # one line, one run: nothing to explain


def test_classes_are_named_at_the_ends_of_their_lines():
    names = [f"class {k}" for k in range(10)]
    figure = figures.intra_class_distances({name: [("a", 8.0), ("b", 6.0 + 0.01 * k)] for k, name in enumerate(names)})
    drawn(figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == names  # from the lowest end to the highest
    for text, line in zip(axes.texts, axes.lines, strict=True):
        assert text.get_color() == line.get_color() and text.xy == tuple(line.get_xydata()[-1])
    places = [text.xyann[1] * axes.bbox.height * 72 / figure.dpi for text in axes.texts]
    assert min(np.diff(places)) >= 8.5, "names overlap"
    assert places[0] >= 0
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 10


def test_many_classes_are_grey_lines_and_their_mean():
    figure = figures.intra_class_distances({str(k): [("a", 1.0 + k), ("b", 2.0)] for k in range(20)})
    drawn(figure)
    (axes,) = figure.axes
    assert len(axes.lines) == 21 and axes.lines[-1].get_ydata().tolist() == [10.5, 2]
    assert list(legend(figure)) == ["one class", "mean of 20 classes"]


def test_classes_of_several_runs_are_a_mean_and_a_band():
    figure = figures.intra_class_distances(
        {"scat": {"cat": curve(SCAT, 1, 1), "dog": curve(SCAT, 3, 1)}, "plain": {"cat": curve(RESNET, 1, 0)}}
    )
    drawn(figure)
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [2, 3, 4, 5, 6]
    extent = axes.collections[0].get_paths()[0].get_extents()
    assert (extent.y0, extent.y1) == (1, 7) and list(legend(figure)) == ["scat", "plain"]
