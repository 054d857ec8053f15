"""confusion.csv: how many test images of each class were predicted as each class, without the zeros.

The classes are numbers, in the order of classes.json, with their names beside them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import UserError, first_line
from hybrid.escaping import for_spreadsheet
from hybrid.files import write_text

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = ("true", "predicted", "images")
_NAMES = ("true_name", "predicted_name")  # not in files of earlier versions
_MOST_CLASSES = 25_000  # 5 GB of counts; ImageNet's whole collection has 21,841


def write_confusion(path: Path, counts: Tensor, class_names: Sequence[str]) -> None:
    """Write counts[true class, predicted class], a line for each pair of classes that has images."""
    names = [for_spreadsheet(name) for name in class_names]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_HEAD, *_NAMES])
    for true, predicted in counts.nonzero().tolist():
        writer.writerow([true, predicted, int(counts[true, predicted]), names[true], names[predicted]])
    write_text(path, file.getvalue())


def read_confusion(path: Path, classes: int) -> Tensor:
    """Return counts[true class, predicted class] (int64) of so many classes. Raises UserError for a damaged file."""
    import torch

    if classes > _MOST_CLASSES:
        raise UserError(f"{path} is not read: it is of {classes:,} classes, and {_MOST_CLASSES:,} are the limit.")
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ())[:3] != _HEAD:
                raise ValueError(f"its first line is not {','.join(_HEAD)}")
            for row in reader:
                true, predicted, images = (int(row[name]) for name in _HEAD)
                if min(true, predicted, images) < 0:
                    raise ValueError("a negative number")
                counts[true, predicted] = images
    except Exception as error:  # whatever a damaged or foreign file makes a reader raise
        raise UserError(f"{path} is damaged: {first_line(error)[:120]}.") from error
    return counts
