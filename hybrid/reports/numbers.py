"""Write the numbers of runs as words: their titles with the unit, and as many digits as they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hybrid.reports.groups import ABSENT
from hybrid.runs.numbers import is_percent

_COUNTS = ("parameters", "steps", "epochs", "ranks")
_TITLES = {
    "test.top1": "test top-1 (%)",
    "test.top5": "test top-5 (%)",
    "seconds": "training (s)",
    "images_per_second": "images/s",
}


def title(name: str) -> str:
    """Return a title with the unit for a number of summary.json or of metrics.jsonl."""
    if name.startswith("validation.best."):
        return f"best {title(name.replace('.best.', '.', 1))}"
    words = name.replace(".", " ").replace("/", " ").replace("_", " ")
    words = words.replace("top1", "top-1").replace("top5", "top-5")
    return _TITLES.get(name, f"{words} (%)" if is_percent(_last(name)) else words)


def _last(name: str) -> str:
    """The name of an evaluation's number: "top1" of "test.top1" and of "validation/top1"."""
    if "per_class/" in name:
        return name[name.index("per_class/") :]
    return name.rpartition(".")[2].rpartition("/")[2]


def mean_cells(name: str, means: Sequence[float], stds: Sequence[float]) -> list[str]:
    """Write mean ± std with the decimal points in line."""
    pairs = list(zip(means, stds, strict=True))
    plus = [
        "" if math.isnan(std) or (std == 0 and name == "parameters") else f" ± {number_text(name, std, mean)}"
        for mean, std in pairs
    ]
    width = max(map(len, plus), default=0)
    shown = [ABSENT if math.isnan(mean) and math.isnan(std) else number_text(name, mean, mean) for mean, std in pairs]
    return [f"{mean}{spread:<{width}}" for mean, spread in zip(shown, plus, strict=True)]


def number_text(name: str, value: float, mean: float) -> str:
    """Write a number of summary.json, a mean or a spread, with as many digits as the mean is worth."""
    last = _last(name)
    if is_percent(last):
        return f"{value:.2f}"
    if last == "loss":
        return f"{value:.4f}"
    if last in ("seconds", "test_seconds", "images_per_second"):
        return f"{value:,.0f}" if mean >= 100 else f"{value:,.1f}"
    if value == round(value) and (abs(mean) >= 10 or name in _COUNTS):
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(mean) < 10 else f"{value:.5g}"
