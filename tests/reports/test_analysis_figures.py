"""Figures of whole analyses: which layers they show, in which unit, under which names."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid.analysis.result import Analysis
from hybrid.reports.analysis_figures import MAIN_FIGURES, analysis_figures
from hybrid.reports.captions import svm_in_words

SIZES = {"pixels": 3, "S0": 3, "scattering": 48, "relu": 12}


def record(sizes=SIZES, **about) -> Analysis:
    layers = [
        {"name": name, "kind": "module", "depth": depth, "order": 0 if name == "S0" else None, "dimension": size}
        | {"constant": 0, "numbers": {"probe.1nn": 50.0 + depth, "classes.ratio": 1.0 - depth / 10}}
        for depth, (name, size) in enumerate(sizes.items())
    ]
    arrays = {}
    for name, size in sizes.items():
        arrays[f"{name}: classes.labels"] = np.arange(2)
        arrays[f"{name}: classes.within"] = np.full(2, (2 * size) ** 0.5)  # like independent standardised vectors
        arrays[f"{name}: contraction.same"] = arrays[f"{name}: contraction.different"] = np.linspace(0.5, 1, 9)
    told = {"layers": layers, "stability": {}, "images": 10, "settings": {"standardize": True}, **about}
    return Analysis(told, arrays)


def test_distances_are_per_dimension_where_dimensions_differ():
    axes = analysis_figures({"": record(class_names=["cat", "dog"])})["intra_class_distances"].axes[0]
    assert axes.get_ylabel().replace("\n", " ") == "mean intra-class distance / √(2·dimension)"
    for line in [line for line in axes.lines if len(line.get_xdata()) == 3]:
        assert line.get_ydata() == pytest.approx(np.ones(3))
    same = analysis_figures({"": record(dict.fromkeys(SIZES, 8))})["intra_class_distances"].axes[0]
    assert same.get_ylabel().replace("\n", " ") == "mean intra-class distance of standardised features"
    assert same.lines[0].get_ydata() == pytest.approx(np.full(3, 4.0))


def test_no_line_leads_through_the_orders_of_the_scattering():
    axes = analysis_figures({"": record()})["contraction"].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["pixels", "scattering", "relu"]


def test_the_accuracy_says_on_which_images():
    drawn = analysis_figures(
        {"": record(probe_split="validation")}, reference={"network": 60.0}, only=["accuracy_by_depth"]
    )
    assert list(drawn) == ["accuracy_by_depth"]
    assert drawn["accuracy_by_depth"].axes[0].get_ylabel() == "validation accuracy (%)"


def test_runs_of_different_networks_share_a_figure():
    drawn = analysis_figures({"hybrid": record(), "plain": record({"pixels": 3, "relu": 12})})
    assert "relative depth" in drawn["within_between"].axes[0].get_xlabel()


def test_stacked_figures_are_as_narrow_as_the_cards_they_are_shown_on():
    with_stability = record(stability={"rotate": {"label": "rotation", "strengths": [1, 2, 4], "displacement": None}})
    for name, size in SIZES.items():
        for kind in ("same", "other"):
            with_stability.arrays[f"{name}: separation.{kind}"] = np.linspace(1, size, 9)
        with_stability.arrays[f"{name}: stability.rotate"] = np.array([0.1, 0.2, 0.4])
    wide, narrow = (
        analysis_figures({"": with_stability}, only=MAIN_FIGURES, stacked=stacked) for stacked in (False, True)
    )
    assert wide.keys() == narrow.keys() >= {"cumulative_distances", "stability"}
    assert wide["cumulative_distances"].get_figwidth() > 6
    assert all(figure.get_figwidth() <= 3.5 for figure in narrow.values())
    assert [axes.get_title() for axes in narrow["cumulative_distances"].axes[:2]] == [
        "nearest of the same class",
        "nearest of another class",
    ]


def caption_of(drawn, name) -> str:
    return " ".join(drawn[name].get_suptitle().split())


def test_every_figure_says_of_which_images_and_vectors_it_is():
    settings = {"standardize": True, "pooling": "average", "pair_images": 128}
    told = record(data="cifar10", split="train", settings=settings)
    for layer, vectors in zip(told.about["layers"], ("projected", "averaged", "averaged", "averaged"), strict=True):
        layer |= {"vectors": vectors, "kind": "pixels" if vectors == "projected" else "module"}
    told.about["layers"][0]["dimension"] = 1024
    drawn = analysis_figures({"": told})
    words = "cifar10, 10 training images, maps averaged over positions, pixels projected to 1,024 values, standardised"
    assert caption_of(drawn, "within_between") == caption_of(drawn, "intra_class_distances") == words
    assert caption_of(drawn, "contraction") == "cifar10, up to 128 training images, the layers as they are"
    assert all(figure.get_suptitle() for figure in drawn.values())
    both = analysis_figures({"a": told, "b": record(data="digits", settings=settings)}, only=["within_between"])
    assert caption_of(both, "within_between").startswith("a: cifar10, 10 training images") and "; b: digits" in (
        caption_of(both, "within_between")
    )


def test_the_accuracy_says_how_many_images_the_svm_learned_from():
    settings = {"standardize": True, "svm_images": 4}
    told = record(data="digits", settings=settings)
    assert "SVM" not in caption_of(analysis_figures({"": told}, only=["accuracy_by_depth"]), "accuracy_by_depth")
    for layer in told.about["layers"]:
        layer["numbers"]["probe.svm"] = 60.0
    drawn = analysis_figures({"": told})
    assert caption_of(drawn, "accuracy_by_depth").endswith(", SVM trained on 4 images")
    assert "SVM" not in caption_of(drawn, "within_between")
    settings["svm_images"] = None
    assert svm_in_words(told) == "SVM trained on 10 images"


def test_the_pixels_of_earlier_analyses_are_called_what_was_measured():
    old = record(settings={"standardize": True, "pooling": "average"})
    old.about["layers"][0]["kind"] = "pixels"
    drawn = analysis_figures({"": old})
    names = {name: [tick.get_text() for tick in drawn[name].axes[0].get_xticklabels()][0] for name in drawn}
    assert names["within_between"] == "mean colour" and names["contraction"] == "pixels"
    assert "the mean colour for the pixels" in caption_of(drawn, "within_between")
    assert old.layers[0] == "pixels"


def test_rotations_of_several_runs_are_beside_one_another():
    def turned(sizes):
        told = record(sizes, settings={"standardize": True, "stability_images": 8})
        for layer in told.about["layers"]:
            layer["kind"] = layer["name"] if layer["name"] in ("pixels", "scattering") else "nonlinearity"
            told.arrays[f"{layer['name']}: rotation.angles"] = np.array([0.0, 45.0, 90.0])
            told.arrays[f"{layer['name']}: rotation.change"] = np.array([0.0, 0.2, 0.4])
        return told

    one = analysis_figures({"": turned(SIZES)}, only=["rotation"])["rotation"]
    assert [line.get_label() for line in one.axes[0].lines] == ["pixels", "scattering", "relu"]
    assert caption_of({"rotation": one}, "rotation") == "up to 8 images, maps averaged over positions"
    both = {"plain": turned({"pixels": 3, "relu": 3, "last": 3}), "turning": turned(SIZES), "old": record()}
    drawn = analysis_figures(both, only=["rotation"])["rotation"]
    labels = [line.get_label() for line in drawn.axes[0].lines]
    assert labels == ["pixels", "plain: last", "turning: scattering", "turning: relu"]
    assert drawn.axes[0].get_xlabel() == "rotation (degrees)"
    assert "rotation" not in analysis_figures({"": record()})
