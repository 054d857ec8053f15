"""Figures of whole analyses: which layers they show, in which unit, under which names."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid.analysis.record import Record
from hybrid.reports.analysis import figures

SIZES = {"pixels": 3, "S0": 3, "scattering": 48, "relu": 12}


def record(sizes=SIZES, **about) -> Record:
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
    return Record(told, arrays)


def test_distances_are_per_dimension_where_dimensions_differ():
    axes = figures({"": record(class_names=["cat", "dog"])})["intra_class_distances"].axes[0]
    assert axes.get_ylabel().replace("\n", " ") == "mean intra-class distance / √(2·dimension)"
    for line in [line for line in axes.lines if len(line.get_xdata()) == 4]:
        assert line.get_ydata() == pytest.approx(np.ones(4))
    same = figures({"": record(dict.fromkeys(SIZES, 8))})["intra_class_distances"].axes[0]
    assert same.get_ylabel().replace("\n", " ") == "mean intra-class distance of standardised features"
    assert same.lines[0].get_ydata() == pytest.approx(np.full(4, 4.0))


def test_no_line_leads_through_the_orders_of_the_scattering():
    axes = figures({"": record()})["contraction"].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["pixels", "scattering", "relu"]


def test_the_accuracy_says_on_which_images():
    drawn = figures({"": record(probe_split="validation")}, reference={"network": 60.0}, only=["accuracy_by_depth"])
    assert list(drawn) == ["accuracy_by_depth"]
    assert drawn["accuracy_by_depth"].axes[0].get_ylabel() == "validation accuracy (%)"


def test_runs_of_different_networks_share_a_figure():
    drawn = figures({"hybrid": record(), "plain": record({"pixels": 3, "relu": 12})})
    assert "relative depth" in drawn["within_between"].axes[0].get_xlabel()
