"""How much layers move when an image does, drawn: values, axes, the bound."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from hybrid.errors import UserError
from hybrid.reports.stability_figures import StabilityPanel, stability_curves


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.array(Image.open(file).convert("RGB"))


def legend(figure) -> dict[str, matplotlib.lines.Line2D]:
    (box,) = figure.legends
    return {text.get_text(): line for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def bar_names(figure) -> list[list[str]]:
    return [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes if axes.get_label() == "<colorbar>"]


def panel(strengths, layers=("pixels", "relu"), bound=None):
    strengths = np.asarray(strengths, dtype=float)
    return StabilityPanel(
        strengths,
        [(name, np.abs(strengths)[:, None] * [1.0, 2.0, 30.0] / (1 + k)) for k, name in enumerate(layers)],
        bound,
    )


def test_stability_is_the_median_over_images_with_the_bound_beside_it():
    strengths = [0, 0.5, 1, 2, 4]
    figure = stability_curves(
        {
            "translation (pixels)": panel(strengths, bound=np.array(strengths) / 4),
            "rotation (degrees)": panel([-10, 0, 10]),
        }
    )
    drawn(figure)
    translation, rotation = figure.axes[:2]
    assert translation.lines[0].get_xydata().tolist() == [
        [0.5, 1],
        [1, 2],
        [2, 4],
        [4, 8],
    ]  # no strength 0 on a log axis
    assert translation.lines[1].get_ydata().tolist() == [0.5, 1, 2, 4]
    assert translation.lines[2].get_ydata().tolist() == [0.125, 0.25, 0.5, 1]
    assert to_hex(translation.lines[2].get_color()) == "#000000"
    assert translation.get_xscale() == translation.get_yscale() == "log"
    assert rotation.get_xscale() == rotation.get_yscale() == "linear" and rotation.get_ylim()[0] == 0
    assert rotation.lines[0].get_ydata().tolist() == [20, 0, 20]
    assert [axes.get_xlabel() for axes in (translation, rotation)] == ["translation (pixels)", "rotation (degrees)"]
    assert list(legend(figure)) == ["bound, C = 1"] and bar_names(figure) == [["pixels", "relu"]]


def test_the_axes_of_stability_follow_the_layers_not_the_bound():
    axes = stability_curves({"noise": panel([0, 1, 2], bound=[0, 1e3, 1e6])}).axes[0]
    assert axes.get_ylim()[1] < 10
    assert not stability_curves({"noise": panel([0, 1, 2])}).legends


def test_panels_of_stability_have_the_same_layers():
    with pytest.raises(UserError, match="panel noise has other layers"):
        stability_curves({"translation": panel([0, 1]), "noise": panel([0, 1], layers=("pixels", "other"))})
    with pytest.raises(UserError, match="at least one perturbation"):
        stability_curves({})
