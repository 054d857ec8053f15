"""confusion.csv: how many test images of each class were predicted as each class, without the zeros.

The classes are numbers, in the order of classes.json, with their names beside them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import UserError
from hybrid.escaping import for_spreadsheet
from hybrid.files import write_text

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = ("true", "predicted", "images")
_NAMES = ("true_name", "predicted_name")  # not in files of earlier versions


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

    counts = torch.zeros(classes, classes, dtype=torch.int64)
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                true, predicted, images = (int(row[name]) for name in _HEAD)
                if min(true, predicted, images) < 0:
                    raise ValueError("a negative number")
                counts[true, predicted] = images
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:120]}") from error
    return counts
