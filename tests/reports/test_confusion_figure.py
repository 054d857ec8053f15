"""Confusion matrices are drawn for real, as a PNG: matplotlib finds much of what is wrong only then."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid.reports.confusion_figure import confusion_figure


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.array(Image.open(file).convert("RGB"))


def written(axes) -> dict[tuple[int, int], str]:
    """(row, column) -> the text in that cell."""
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_confusions_are_shares_of_the_true_class_in_percent():
    figure = confusion_figure(torch.tensor([[3, 1], [0, 0]]), ["cat", "dog"])
    drawn(figure)
    (axes,) = figure.axes
    assert written(axes) == {(0, 0): "75", (0, 1): "25"}  # a class without images has no shares, and is no error
    assert axes.get_title() == "% of the true class, 4 images"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true (images)")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat (4)", "dog (0)"]
    assert [label.get_rotation() for label in axes.get_xticklabels()] == [45, 45]


def test_many_classes_have_a_colour_scale_in_place_of_numbers():
    figure = confusion_figure(torch.eye(21, dtype=torch.int64), [str(k) for k in range(21)])
    drawn(figure)
    assert len(figure.axes) == 2 and not figure.axes[0].texts


@pytest.mark.parametrize("names", [["a" * 200, "$x_1^{"], ["", "日本"]])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_class_name_can_be_drawn(names):
    figure = confusion_figure(torch.ones(2, 2), names)
    drawn(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == 2 and all(name[:1] in label for name, label in zip(names, labels, strict=True))
