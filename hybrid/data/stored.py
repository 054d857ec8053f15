"""The images of one split and their labels, as a data set keeps them: in memory, or in files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hybrid.data.file_names import FileNames
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


Stored = Literal["train", "test"]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class MemorySplit:
    """The images of one split, in memory.

    Attributes:
        images: (n, C, H, W) uint8.
        labels: as the data set's task has them (`hybrid.data.tasks`): (n,) int64 classes, or (n, K) float32.
        indices: (n,) int64, the position of each image in the data set's own files.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Tensor) -> MemorySplit:
        """A split of the images at these positions."""
        return MemorySplit(self.images[positions], self.labels[positions], self.indices[positions])

    def to(self, device: torch.device) -> MemorySplit:
        """The split on another device."""
        return MemorySplit(self.images.to(device), self.labels.to(device), self.indices.to(device))


@dataclass(frozen=True)
class FileSplit:
    """The image files of one split.

    Attributes:
        paths: of n files; any sequence of texts is kept as `hybrid.data.file_names.FileNames`.
        labels: as the data set's task has them (`hybrid.data.tasks`): (n,) int64 classes, or (n, K) float32.
        indices: (n,) int64, the position of each file in the data set's own list.
    """

    paths: Sequence[str]
    labels: Tensor
    indices: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", FileNames.of(self.paths))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Tensor) -> FileSplit:
        """A split of the files at these positions."""
        return FileSplit(self.paths.take(positions.numpy()), self.labels[positions], self.indices[positions])


Split = MemorySplit | FileSplit


def joined(splits: Sequence[Split]) -> Split:
    """The images of several parts of a data set as one. Positions in the data set's files go on from part to part."""
    starts = [0, *itertools.accumulate(len(split) for split in splits)]
    labels = torch.cat([split.labels for split in splits])
    indices = torch.cat([split.indices + start for split, start in zip(splits, starts, strict=False)])
    if isinstance(splits[0], MemorySplit):
        return MemorySplit(torch.cat([split.images for split in splits]), labels, indices)  # type: ignore[union-attr]
    return FileSplit(FileNames.joined([split.paths for split in splits]), labels, indices)  # type: ignore[union-attr]
