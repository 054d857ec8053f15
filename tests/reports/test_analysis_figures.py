"""Figures of whole analyses: which layers they show, in which unit, under which names."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid.analysis.result import Analysis
from hybrid.reports.analysis_figures import MAIN_FIGURES, analysis_figures

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
    for line in [line for line in axes.lines if len(line.get_xdata()) == 4]:
        assert line.get_ydata() == pytest.approx(np.ones(4))
    same = analysis_figures({"": record(dict.fromkeys(SIZES, 8))})["intra_class_distances"].axes[0]
    assert same.get_ylabel().replace("\n", " ") == "mean intra-class distance of standardised features"
    assert same.lines[0].get_ydata() == pytest.approx(np.full(4, 4.0))


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
