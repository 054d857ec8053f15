"""What every measurement asks of features and labels, checked in one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybrid.errors import UserError, first_line

_ROWS = 4096  # samples that are looked at together, so that no copy of all features is made


def as_tensor(values: Any, name: str) -> Tensor:
    """Return a tensor as it is, and a NumPy array or a list of numbers as a tensor; UserError, with `name`, for anything else."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} must be a tensor or an array of numbers: {first_line(error)}") from error


def checked_features(features: Tensor, name: str = "features", *, finite: bool = True) -> Tensor:
    """The features without their graph; a NumPy array becomes a tensor.

    Raises UserError, which calls them `name`, unless they are floating-point, (N, ...) with at least one sample and one
    value each, and without NaN or infinite values (which is not looked at with finite=False).
    """
    features = as_tensor(features, name)
    if features.ndim < 2 or not features.is_floating_point() or not features.numel():
        kind = str(features.dtype).removeprefix("torch.")
        raise UserError(f"{name} must be floating-point (N, ...) and not empty, got {kind} {tuple(features.shape)}")
    features = features.detach()
    wrong = sum(int((~block.isfinite().flatten(1).all(1)).sum()) for block in features.split(_ROWS)) if finite else 0
    if wrong:
        raise UserError(f"{name} must be finite: {wrong} of {len(features)} samples have NaN or infinite values")
    return features


def checked_labels(labels: Tensor, samples: int | None = None, name: str = "labels") -> Tensor:
    """The labels as int64. Raises UserError unless they are (N,) integers, N being `samples` where that is given."""
    labels = as_tensor(labels, name)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        kind = str(labels.dtype).removeprefix("torch.")
        raise UserError(f"{name} must be integers (N,), got {kind} of shape {tuple(labels.shape)}")
    if samples is not None and len(labels) != samples:
        raise UserError(f"{len(labels)} {name} do not fit {samples} samples")
    return labels.detach().long()
