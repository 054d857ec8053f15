"""What the images of a data set are labelled with, and so what a network has to say about an image.

task            labels of N images                     outputs of a network
classification  (N,) int64, one of K classes           (N, K) logits
multilabel      (N, K) float32, each label 0 or 1      (N, K) logits, each of one label
regression      (N, K) float32, any numbers            (N, K) numbers, in the units of the labels
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from hybrid.errors import UserError, unknown_name
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

Task = Literal["classification", "multilabel", "regression"]
# The outputs of a network are called so in each task.
OUTPUT_WORDS: dict[Task, str] = {"classification": "classes", "multilabel": "labels", "regression": "values"}


def task_of(labels: Tensor) -> Task:
    """The task that labels stand for: whole numbers (N,) are classes, (N, K) of 0 and 1 alone are labels, others are values."""
    if labels.ndim == 1:
        return "regression" if labels.is_floating_point() else "classification"
    return "multilabel" if bool(((labels == 0) | (labels == 1)).all()) else "regression"


def as_labels(labels: Any, *, task: Task | None, where: str | Path) -> Tensor:
    """Labels as a user has them, in a tensor, an array or a list, as a tensor that `checked_labels` can check.

    Whole numbers of any width become int64, other numbers float32. A column (N, 1) of whole numbers becomes (N,). Where the
    task is classification, or None and the labels show nothing else, one-hot rows become their class; where it is
    classification, floats that are whole numbers do. Raises UserError, naming `where`, for what holds no numbers.
    """
    try:
        values = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise UserError(f"{where}: labels are no table of numbers ({str(error)[:80]}).") from error
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        raise UserError(
            f"{where}: labels are numbers of shape (N,) or (N, K), got {values.dtype} of shape {values.shape}."
        )
    if values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind != "f":
        values = values[:, 0]
    if task in ("classification", None) and values.ndim == 2 and _is_one_hot(values):
        return torch.from_numpy(values.argmax(1))
    if (
        task == "classification"
        and values.dtype.kind == "f"
        and values.ndim == 1
        and bool((values == values.round()).all())
    ):
        values = values.astype(np.int64)
    return torch.from_numpy(
        np.array(values, dtype=np.float32 if values.dtype.kind == "f" or values.ndim == 2 else np.int64)
    )


def _is_one_hot(values: np.ndarray) -> bool:
    return values.shape[1] > 1 and bool(((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all())


def checked_labels(labels: Tensor, *, task: Task, outputs: int, count: int, where: str | Path) -> Tensor:
    """The labels of `count` images as the task has them: int64 (N,), or float32 (N, outputs); (N,) values become (N, 1).

    Raises UserError, naming `where`, for no image, another number of labels than of images, another shape, a label that is no
    class, is neither 0 nor 1, or is no finite number.
    """
    if task not in get_args(Task):
        raise unknown_name(str(task), get_args(Task), what=f"task of {where}")
    if task == "classification":
        _check_type(labels, where)
        check_labels(labels, num_classes=outputs, count=count, where=where)
        return labels.to(torch.int64)
    _check_count(labels, count, where)
    table = labels.to(torch.float32)
    table = table[:, None] if table.ndim == 1 else table
    if tuple(table.shape[1:]) != (outputs,):
        raise UserError(
            f"{where}: labels of shape {tuple(labels.shape)}, but the data set names {outputs} {OUTPUT_WORDS[task]}."
        )
    if not bool(torch.isfinite(table).all()):
        position = int((~torch.isfinite(table)).any(1).nonzero()[0])
        raise UserError(f"{where}: the label of image {position} is not a finite number.")
    if task == "multilabel" and not bool(((table == 0) | (table == 1)).all()):
        wrong = float(table[(table != 0) & (table != 1)][0])
        raise UserError(f"{where}: label {wrong:g} is neither 0 nor 1.")
    return table


def check_labels(labels: Tensor, *, num_classes: int, count: int, where: str | Path) -> None:
    """Raises UserError, naming `where`, for no image, another number of labels than of images, or a label that is no class."""
    _check_count(labels, count, where)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise UserError(f"{where}: label {wrong} is outside 0..{num_classes - 1} ({num_classes} classes).")


def _check_count(labels: Tensor, count: int, where: str | Path) -> None:
    if count == 0:
        raise UserError(f"{where}: no images in it.")
    if len(labels) != count:
        raise UserError(f"{where}: {len(labels)} labels for {count} images.")


def _check_type(labels: Tensor, where: str | Path) -> None:
    if labels.ndim != 1 or labels.is_floating_point():
        kind = str(labels.dtype).removeprefix("torch.")
        raise UserError(
            f"{where}: labels of classes are whole numbers of shape (N,), got {kind} of shape {tuple(labels.shape)}; a data "
            "set of other labels says task = 'multilabel' or 'regression'."
        )
