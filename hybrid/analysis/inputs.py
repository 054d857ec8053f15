"""Images of any kind as batches for an analysis: tensors, NumPy arrays, a DataLoader, a Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from hybrid.analysis.checks import checked_labels
from hybrid.errors import UserError

Batch = tuple[Tensor, Tensor | None]


def batches_of(images: Any, labels: Any = None, *, most: int | None, batch_size: int, seed: int) -> Iterator[Batch]:
    """Batches (images, labels) of at most `most` images; labels are None where there are none.

    Args:
        images: a tensor or array (N, ...) of floating-point numbers, with integer `labels` (N,) or None; a map-style
            Dataset of (image, label) or of images; or any iterable of batches (images, labels, ...) or of images alone,
            such as a DataLoader.
        most: where a tensor or Dataset has more, this many are drawn by `seed`; of batches the first are taken. None: all.
        batch_size: images at a time; batches that are given keep their own size.

    Raises UserError for anything else, images that are not floating-point, and labels that do not fit.
    """
    if isinstance(images, Tensor | np.ndarray):
        return _of_tensor(torch.as_tensor(images), labels, _drawn(len(images), most, seed), batch_size)
    if labels is not None:
        raise UserError(
            f"labels has no effect with a {type(images).__name__}, whose batches bring their own: leave it out"
        )
    if isinstance(images, Dataset) and not isinstance(images, IterableDataset):
        return _of_dataset(images, _drawn(len(images), most, seed), batch_size)
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise UserError(
            f"images is a {type(images).__name__}; it can be a tensor, a NumPy array, a DataLoader or a Dataset"
        )
    return _of_batches(images, most)


def _drawn(count: int, most: int | None, seed: int) -> Tensor:
    """Positions of the images that are taken."""
    if most is None or count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]


def _blocks(positions: Tensor, size: int) -> tuple[Tensor, ...]:
    return positions.split(size) if len(positions) else ()


def _of_tensor(images: Tensor, labels: Any, positions: Tensor, batch_size: int) -> Iterator[Batch]:
    targets = None if labels is None else checked_labels(torch.as_tensor(labels), len(images))
    for block in _blocks(positions, batch_size):
        yield _checked(images[block.to(images.device)], None if targets is None else targets[block.to(targets.device)])


def _of_dataset(dataset: Any, positions: Tensor, batch_size: int) -> Iterator[Batch]:
    for block in _blocks(positions, batch_size):
        items = [dataset[position] for position in block.tolist()]
        pairs = [item if isinstance(item, tuple | list) else (item,) for item in items]
        images = [_image(pair[0]) for pair in pairs]
        if len({image.shape for image in images}) > 1:
            raise UserError(
                "the images of the data set have different sizes: give it a transform that makes them equal"
            )
        labels = torch.tensor([int(pair[1]) for pair in pairs]) if all(len(pair) > 1 for pair in pairs) else None
        yield _checked(torch.stack(images), labels)


def _image(image: Any) -> Tensor:
    if isinstance(image, Tensor | np.ndarray):
        return torch.as_tensor(image)
    raise UserError(f"an image of the data set is a {type(image).__name__}: give it a transform that makes tensors")


def _of_batches(batches: Iterable[Any], most: int | None) -> Iterator[Batch]:
    taken = 0
    for batch in batches:
        if isinstance(batch, Mapping) or not isinstance(batch, Tensor | np.ndarray | tuple | list) or not len(batch):
            raise UserError(f"a batch is a {type(batch).__name__}; it must be (images, labels), or images alone")
        parts = (batch,) if isinstance(batch, Tensor | np.ndarray) else batch
        images, labels = (torch.as_tensor(each) for each in parts[:2]) if len(parts) > 1 else (_image(parts[0]), None)
        if not len(images):
            continue
        left = len(images) if most is None else most - taken
        labels = None if labels is None else checked_labels(labels, len(images))[:left]
        yield _checked(images[:left], labels)
        taken += len(images)
        if most is not None and taken >= most:
            return


def _checked(images: Tensor, labels: Tensor | None) -> Batch:
    if images.ndim < 2 or not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"images must be floating-point (N, C, H, W), as the model takes them, got {kind} {tuple(images.shape)}"
        )
    return images, labels
