"""Read a confusion matrix class by class: accuracies, and the classes that are confused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from hybrid.escaping import for_terminal

_SHOWN_CLASSES, _SHOWN_CONFUSIONS = 100, 10


class ClassAccuracy(NamedTuple):
    """A class with its number of images and the share of them that was recognised, in % (None without images)."""

    name: str
    images: int
    accuracy: float | None


class Confusion(NamedTuple):
    """`count` images of the class `true` were predicted as `predicted`."""

    true: str
    predicted: str
    count: int


def class_accuracies(confusion: Tensor, names: Sequence[str]) -> list[ClassAccuracy]:
    """Return a row per class, in the order of the labels, from counts[true class, predicted class]."""
    images, right = confusion.sum(1).tolist(), confusion.diagonal().tolist()
    rows = zip(names, images, right, strict=True)
    return [ClassAccuracy(name, count, 100 * hits / count if count else None) for name, count, hits in rows]


def confusions(confusion: Tensor, names: Sequence[str]) -> list[Confusion]:
    """Return every pair of classes that was confused, the most frequent first."""
    wrong = confusion.clone().fill_diagonal_(0)
    pairs = [(wrong[true, predicted].item(), true, predicted) for true, predicted in wrong.nonzero().tolist()]
    ordered = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))
    return [Confusion(names[true], names[predicted], count) for count, true, predicted in ordered]


def classes_text(confusion: Tensor, names: Sequence[str]) -> str:
    """Write two tables for a terminal: accuracy per class (the lowest 100 of many), and the most frequent confusions."""
    names = [for_terminal(name) for name in names]
    rows = class_accuracies(confusion, names)
    lines = ["accuracy per class:"]
    if len(rows) > _SHOWN_CLASSES:
        lines = [f"accuracy per class (the {_SHOWN_CLASSES} lowest of {len(rows)}):"]
        rows = sorted((row for row in rows if row.images), key=lambda row: row.accuracy)[:_SHOWN_CLASSES]
    width = max(len(row.name) for row in rows)
    for name, images, accuracy in rows:
        lines.append(f"  {name:<{width}}  " + (f"{accuracy:6.2f} % of {images}" if images else "     no images"))
    pairs = confusions(confusion, names)
    lines += ["", "most frequent confusions:" if pairs else "no confusions"]
    width = max((len(pair.true) for pair in pairs[:_SHOWN_CONFUSIONS]), default=0)
    for true, predicted, count in pairs[:_SHOWN_CONFUSIONS]:
        lines.append(f"  {count:5d} x  {true:<{width}} taken for {predicted}")
    return "\n".join(lines)
