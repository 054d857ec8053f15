"""Predictions as a pandas table, and as CSV, JSON and lines on a terminal, which are written as the predictions come."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO, Literal

from hybrid.data import Task
from hybrid.escaping import for_spreadsheet, for_terminal
from hybrid.prediction.predict import Prediction

if TYPE_CHECKING:
    import pandas as pd


Likelihood = Literal["probability", "score"]  # what the number of a class is called: a score where the loss trains none


def as_table(
    predictions: Iterable[Prediction], *, task: Task = "classification", likelihood: Likelihood = "probability"
) -> pd.DataFrame:
    """Columns `class` and `probability` (0..1), then `class_2`, `probability_2` …; the index is the file.

    Without classes there is a column for each label, with its probability, or for each value.
    """
    import pandas as pd

    files, rows = [], []
    for file, classes in predictions:
        files.append(int(file) if file.isdigit() else file)
        if task != "classification":
            rows.append(dict(classes))
            continue
        ends = ["", *(f"_{rank}" for rank in range(2, len(classes) + 1))]
        rows.append({f"{column}{end}": value for end, pair in zip(ends, classes, strict=True)
                     for column, value in zip(("class", likelihood), pair, strict=True)})  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index(files, name="image"))


def print_table(
    predictions: Iterable[Prediction],
    *,
    top: int,
    ahead: int = 64,
    task: Task = "classification",
    likelihood: Likelihood = "probability",
) -> int:
    """One line per file: its name, then class and probability (%) of each of its classes. Returns the number of files.

    Without classes the line has the probability (0..1) of each label, or each value.

    ahead: how many predictions may be waited for before the first line is written; the columns are as wide as these need.
    """
    predictions = iter(predictions)
    first = list(itertools.islice(predictions, ahead))
    wide = max(map(len, ["file", *(_shown(each.file) for each in first)]))
    if task != "classification":
        return _print_numbers(
            itertools.chain(first, predictions), wide, digits=".4f" if task == "multilabel" else ".6g"
        )
    widest = max(map(len, ["class", *(for_terminal(each.numbers[0][0]) for each in first)]))
    count = 0
    for count, (file, classes) in enumerate(itertools.chain(first, predictions), start=1):
        if count == 1:
            words = "   and the next ones" if top > 1 else ""
            print(f"{'file':<{wide}}  {'class':<{widest}}  {likelihood:>11}{words}")
        (best, probability), *others = [(for_terminal(name), value) for name, value in classes]
        rest = ", ".join(f"{name} {_number(value, likelihood)}" for name, value in others)
        line = f"{_shown(file):<{wide}}  {best:<{widest}}  {_number(probability, likelihood):>11}   {rest}"
        print(line.rstrip(), flush=True)
    return count


def _number(value: float, likelihood: Likelihood) -> str:
    return f"{100 * value:.2f} %" if likelihood == "probability" else f"{value:.4f}"


def _print_numbers(predictions: Iterable[Prediction], wide: int, *, digits: str) -> int:
    count, widths = 0, []
    for count, (file, numbers) in enumerate(predictions, start=1):
        if count == 1:
            names = [for_terminal(name) for name, _ in numbers]
            widths = [max(len(name), 12) for name in names]
            print(f"{'file':<{wide}}" + "".join(f"  {name:>{w}}" for name, w in zip(names, widths, strict=True)))
        cells = "".join(f"  {format(value, digits):>{w}}" for (_, value), w in zip(numbers, widths, strict=True))
        print(f"{_shown(file):<{wide}}{cells}", flush=True)
    return count


def _shown(file: str) -> str:
    """A name on the disk need not be valid text."""
    return for_terminal(file.encode(errors="backslashreplace").decode())


def write_csv(
    file: BinaryIO,
    predictions: Iterable[Prediction],
    *,
    top: int,
    task: Task = "classification",
    likelihood: Likelihood = "probability",
) -> int:
    """Columns file, class, probability, class_2, probability_2, …; probabilities in 0..1. Returns the number of rows.

    A name that a spreadsheet would compute, such as =1+1, has ' before it.

    Without classes the columns are the file, and each label with its probability, or each value in its own units.
    """
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    table = csv.writer(text)
    ranks = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    heading = [f"{column}{rank}" for rank in ranks for column in ("class", likelihood)]
    for name, numbers in predictions:
        if not count:
            names = heading if task == "classification" else [for_spreadsheet(label) for label, _ in numbers]
            table.writerow(["file", *names])
        cells = [for_spreadsheet(name)]
        if task == "classification":
            cells += [cell for label, value in numbers for cell in (for_spreadsheet(label), f"{value:.6g}")]
        else:
            cells += [f"{value:.9g}" for _, value in numbers]
        table.writerow(cells)
        count += 1
    text.detach()
    return count


def write_json(
    file: BinaryIO,
    predictions: Iterable[Prediction],
    *,
    top: int,
    task: Task = "classification",
    likelihood: Likelihood = "probability",
) -> int:
    """A list of {"file", "class", "probability", "top": [{"class", "probability"}, …]}. Returns its length.

    Without classes it is a list of {"file", "probabilities": {label: 0..1, …}} or {"file", "values": {name: value, …}}.
    """
    count = 0
    file.write(b"[")
    for count, (name, numbers) in enumerate(predictions, start=1):
        if task == "classification":
            ranked = [{"class": label, likelihood: value} for label, value in numbers]
            row = {"file": name, **ranked[0], "top": ranked}
        else:
            several = "probabilities" if likelihood == "probability" else "scores"
            row = {"file": name, several if task == "multilabel" else "values": dict(numbers)}
        file.write((",\n" if count > 1 else "\n").encode() + json.dumps(row).encode())
    file.write(b"\n]\n")
    return count


Writer = Callable[..., int]
WRITERS: dict[str, Writer] = {".csv": write_csv, ".json": write_json}
