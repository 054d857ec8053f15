"""The words for the numbers of an evaluation: "accuracy 98.20 %", "balanced accuracy 91.00 %", "loss 0.0712"."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WORDS = {"top1": "accuracy", "top5": "top-5", "f1": "F1", "auc": "AUC", "r2": "R²"}
_PERCENT = {"top1", "top5", "balanced_accuracy", "calibration_error", "exact_match"}
_FIRST = ("top1", "average_precision", "mean_absolute_error")  # the first that is there says how good a run is
_OF_TASKS = dict(zip(("classification", "multilabel", "regression"), _FIRST, strict=True))
_SMALLER_IS_BETTER = ("loss", "error")  # the ends of names
_NO_RESULTS = ("images", "step")
_NOT_NEGATIVE = ("parameters", "seconds", "test_seconds", "images_per_second", "steps", "epochs")


def in_words(name: str, value: float) -> str:
    """A number of an evaluation for people, such as "accuracy 98.20 %" for top1."""
    words = _WORDS.get(name) or name.replace("per_class/", "accuracy of ").replace("_", " ")
    if is_percent(name):
        return f"{words} {value:.2f} %"
    return f"{words} {value:.4f}" if abs(value) < (1e5 if name == "loss" else 10) else f"{words} {value:.5g}"


def is_percent(name: str) -> bool:
    """Whether a number of an evaluation with this name is in %."""
    return name in _PERCENT or name.startswith("per_class/")


def first_of(names: Iterable[str]) -> str:
    """The name of the number that says how good a run is: the accuracy, or what the task has in its place, or the loss."""
    names = set(names)
    return next((name for name in _FIRST if name in names), "loss")


def main_number(task: str) -> str:
    """The name of the number that says how good a run of a task is (`hybrid.data.tasks`), which its evaluations always have."""
    return _OF_TASKS[task]


def name_of(words: str) -> str:
    """The name in records of a number that people call by other words: top1 of "accuracy"; any other name as it is."""
    return next((name for name, word in _WORDS.items() if word.lower() == words.lower()), words)


def limits(name: str) -> tuple[float, float]:
    """The least and the largest value that a number of an evaluation, of a summary or of records can have."""
    last = name[name.index("per_class/") :] if "per_class/" in name else name.rpartition(".")[2].rpartition("/")[2]
    if is_percent(last):
        return 0.0, 100.0
    if last in ("auc", "f1", "average_precision"):
        return 0.0, 1.0
    lowest = 0.0 if smaller_is_better(last) or last in _NOT_NEGATIVE else -math.inf
    return lowest, 1.0 if last == "r2" else math.inf


def smaller_is_better(name: str) -> bool:
    """Whether less is better of a number with this name, such as "validation/loss" or "mean_absolute_error"."""
    return name.endswith(_SMALLER_IS_BETTER)


def headline(numbers: Mapping[str, Any], *, asked: str | None = None) -> str:
    """The number that says how good a run is: the one `asked` for (trainer.best_metric) where it is there.

    Otherwise it is the accuracy, or what the task has in its place, or the loss.
    """
    name = asked if asked in numbers else first_of(numbers)
    return in_words(name, numbers[name])


def results(numbers: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(name, number) of an evaluation's results, without the numbers of single classes."""
    for name, value in numbers.items():
        if isinstance(value, int | float) and name not in _NO_RESULTS and "/" not in name:
            yield name, value
