"""Layers on paper: their names, their order, their colours."""

from __future__ import annotations

import numpy as np

from hybrid.reports.layer_figures import class_spectra
from hybrid.reports.layer_names import layer_colours, layer_order, short_names, tick_numbers

SCAT = ["pixels", "scattering", "head.stem.2", "head.stages.0.0.relu1", "logits"]
RESNET = ["pixels", "relu", "layer1.0.relu", "layer1.0.relu#2", "layer1.1.relu", "layer1.1.relu#2", "logits"]


def bar_names(figure) -> list[list[str]]:
    return [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_names_lose_what_tells_nothing_apart():
    assert short_names(SCAT) == ["pixels", "scattering", "stem.2", "stages.0.0.relu1", "logits"]
    assert short_names(RESNET) == ["pixels", "relu", "layer1.0", "layer1.0#2", "layer1.1", "layer1.1#2", "logits"]
    assert short_names(["a.relu", "a.act"]) == ["relu", "act"]
    long = short_names(["encoder.attention.projection.first", "decoder.attention.projection.last"])
    assert max(map(len, long)) <= 16 and len(set(long)) == 2
    same = ["x" * 9 + letter + "y" * 20 for letter in "ab"]
    assert short_names(same) == same  # shorter they would be one


def test_layers_of_several_curves_are_merged_in_depth_order():
    assert layer_order([["b", "c"], ["a", "b", "d"], ["d", "e"]]) == ["a", "b", "c", "d", "e"]


def test_colours_get_lighter_and_stay_apart_for_thirteen_layers():
    colours = layer_colours(13)
    luminance = colours[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > 0).all() and luminance[-1] < 0.85
    assert np.abs(np.diff(colours[:, :3], axis=0)).sum(1).min() > 0.05


def test_too_many_names_are_thinned_evenly():
    assert tick_numbers(20) == list(range(20)) and tick_numbers(21) == list(range(0, 21, 2))
    layers = [(f"relu{k}", [1.0, 2.0]) for k in range(40)]
    ((names),) = bar_names(class_spectra(layers))
    assert names[0] == "relu0" and 10 <= len(names) <= 20
