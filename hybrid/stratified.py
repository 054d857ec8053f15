"""A sample of labelled images in which every class has its share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


def stratified_positions(labels: Tensor, count: int, *, seed: int, every_class: bool = False) -> Tensor:
    """`count` positions in `labels` (N,), ascending, each class in proportion to its size, drawn by RandomState(seed).

    Labels that are no classes, of floating-point numbers, are one class: the positions are drawn from all alike.

    Shares are rounded by largest remainders, so a rare class may have none; with every_class=True each class has one at
    least, and the rest is shared out. Raises UserError for a count above N, or one that cannot show every class so.
    """
    values = classes_or_one(labels).cpu().numpy()
    classes, sizes = np.unique(values, return_counts=True)
    least = int(every_class)
    if count > len(values):
        raise UserError(f"{count} images are more than the {len(values)} that there are")
    if count < least * len(classes):
        raise UserError(f"{count} images cannot show all {len(classes)} classes; choose {len(classes)} or more")
    total = max(len(values) - least * len(classes), 1)
    share = (count - least * len(classes)) * (sizes - least) / total
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: count - least * len(classes) - quota.sum()]] += 1
    random = np.random.RandomState(seed % 2**32)  # its streams are frozen across NumPy's versions, unlike default_rng's
    chosen = [
        random.permutation(np.flatnonzero(values == label))[: number + least]
        for label, number in zip(classes, quota, strict=True)
    ]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def classes_or_one(labels: Tensor) -> Tensor:
    """(N,) whole numbers: the labels where they are classes; zeros where they are floating-point numbers (N, …)."""
    return torch.zeros(len(labels), dtype=torch.int64) if labels.is_floating_point() else labels
