"""Predictions as a pandas table, and as CSV, JSON and lines on a terminal, which are written as the predictions come."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO

from hybrid.prediction.predict import Prediction

if TYPE_CHECKING:
    import pandas as pd


def as_table(predictions: Iterable[Prediction]) -> pd.DataFrame:
    """Columns `class` and `probability` (0..1), then `class_2`, `probability_2` …; the index is the file."""
    import pandas as pd

    files, rows = [], []
    for file, classes in predictions:
        files.append(int(file) if file.isdigit() else file)
        ends = ["", *(f"_{rank}" for rank in range(2, len(classes) + 1))]
        rows.append({f"{column}{end}": value for end, pair in zip(ends, classes, strict=True)
                     for column, value in zip(("class", "probability"), pair, strict=True)})  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index(files, name="image"))


def print_table(predictions: Iterable[Prediction], *, top: int, ahead: int = 64) -> int:
    """One line per file: its name, then class and probability (%) of each of its classes. Returns the number of files.

    ahead: how many predictions may be waited for before the first line is written; the columns are as wide as these need.
    """
    predictions = iter(predictions)
    first = list(itertools.islice(predictions, ahead))
    wide = max(map(len, ["file", *(_shown(each.file) for each in first)]))
    widest = max(map(len, ["class", *(each.classes[0][0] for each in first)]))
    count = 0
    for count, (file, classes) in enumerate(itertools.chain(first, predictions), start=1):
        if count == 1:
            words = "   and the next ones" if top > 1 else ""
            print(f"{'file':<{wide}}  {'class':<{widest}}  probability{words}")
        (best, probability), *others = classes
        rest = ", ".join(f"{name} {100 * value:.2f} %" for name, value in others)
        line = f"{_shown(file):<{wide}}  {best:<{widest}}  {100 * probability:>9.2f} %   {rest}"
        print(line.rstrip(), flush=True)
    return count


def _shown(file: str) -> str:
    """A name on the disk need not be valid text."""
    return file.encode(errors="backslashreplace").decode()


def write_csv(file: BinaryIO, predictions: Iterable[Prediction], *, top: int) -> int:
    """Columns file, class, probability, class_2, probability_2, …; probabilities in 0..1. Returns the number of rows."""
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    table = csv.writer(text)
    ranks = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    table.writerow(["file", *(f"{column}{rank}" for rank in ranks for column in ("class", "probability"))])
    for name, classes in predictions:
        table.writerow([name, *(cell for label, value in classes for cell in (label, f"{value:.6g}"))])
        count += 1
    text.detach()
    return count


def write_json(file: BinaryIO, predictions: Iterable[Prediction], *, top: int) -> int:
    """A list of {"file", "class", "probability", "top": [{"class", "probability"}, …]}. Returns its length."""
    count = 0
    file.write(b"[")
    for count, (name, classes) in enumerate(predictions, start=1):
        ranked = [{"class": label, "probability": value} for label, value in classes]
        row = {"file": name, **ranked[0], "top": ranked}
        file.write((",\n" if count > 1 else "\n").encode() + json.dumps(row).encode())
    file.write(b"\n]\n")
    return count


Writer = Callable[..., int]
WRITERS: dict[str, Writer] = {".csv": write_csv, ".json": write_json}
