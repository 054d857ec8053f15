from __future__ import annotations

import torch

from hybrid.reports.classes import class_accuracies, classes_text, confusions

COUNTS = torch.tensor([[3, 1, 0], [2, 2, 0], [0, 0, 0]])
NAMES = ("cat", "dog", "eel")


def test_accuracies_are_per_true_class_and_none_without_images():
    assert class_accuracies(COUNTS, NAMES) == [("cat", 4, 75.0), ("dog", 4, 50.0), ("eel", 0, None)]


def test_confusions_are_ordered_and_leave_the_counts_alone():
    assert confusions(COUNTS, NAMES) == [("dog", "cat", 2), ("cat", "dog", 1)]
    assert COUNTS.trace() == 5


def test_the_text_shows_both_and_of_many_classes_the_lowest():
    text = classes_text(COUNTS, NAMES)
    assert "cat   75.00 % of 4" in text and "eel       no images" in text and "2 x  dog taken for cat" in text
    assert classes_text(torch.eye(2, dtype=torch.int64), NAMES[:2]).endswith("no confusions")
    many = torch.eye(150, dtype=torch.int64)
    many[149] = many[149].roll(1)
    shown = classes_text(many, [f"n{k}" for k in range(150)]).splitlines()
    assert "100 lowest of 150" in shown[0] and "n149" in shown[1] and "0.00 %" in shown[1]


def test_a_class_name_moves_no_cursor():
    assert "\\x1b[2J" in (text := classes_text(torch.tensor([[1, 1], [0, 2]]), ["\x1b[2J", "b"])) and "\x1b" not in text
