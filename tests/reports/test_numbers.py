"""Titles with units, and digits that a number is worth."""

from __future__ import annotations

import math

import pytest

from hybrid.reports.numbers import mean_cells, number_text, title


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test.top1", "test top-1 (%)"),
        ("validation/top1", "validation top-1 (%)"),
        ("test.balanced_accuracy", "test balanced accuracy (%)"),
        ("test.per_class/a.b", "test per class a b (%)"),
        ("test.auc", "test auc"),
        ("train/loss", "train loss"),
    ],
)
def test_a_title_has_the_unit(name, words):
    assert title(name) == words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("test.balanced_accuracy", 83.128, "83.13"), ("test.per_class/cat", 100.0, "100.00"), ("test.loss", 0.5, "0.5000"),
        ("test.auc", 1.0, "1.0000"), ("test.mean_absolute_error", 12.3456, "12.346"), ("parameters", 1234, "1,234"),
        ("epochs", 3.0, "3"), ("seconds", 1234.5, "1,234"),
    ],
)  # fmt: skip
def test_a_number_has_the_digits_that_it_is_worth(name, value, words):
    assert number_text(name, value, value) == words


def test_points_are_in_line():
    assert mean_cells("test.top1", [90.0, 91.5, math.nan], [1.25, math.nan, math.nan]) == [
        "90.00 ± 1.25",
        "91.50       ",
        "–       ",
    ]
