"""Batches of features that were computed once, in place of the images that they were computed from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hybrid.data.augmentation import BatchAugmenter
from hybrid.data.batch import Batch, Loader


class FeatureLoader(Loader):
    """The batches of another loader, with features as `images`: in the same order, mirrored alike, divided alike among ranks.

    Args:
        like: the other loader.
        rows: (n · versions, …), image after image; versions is 1 (the image) or 2 (the image, then its mirror image).
        labels, indices: (n, …) and (n,) of the loader's split.
        mirror: decides which images are mirrored, if they have two versions and the loader trains.
        channels_last: whether rows are (H, W, C). The features of a batch are (N, C, H, W), in the memory format of the rows.
        device: where the batches go.
    """

    def __init__(
        self,
        like: Loader,
        rows: Tensor,
        *,
        labels: Tensor,
        indices: Tensor,
        mirror: BatchAugmenter,
        channels_last: bool,
        device: torch.device,
    ) -> None:
        super().__init__(like.name, like.samples, like.batching)
        self._rows, self._mirror = rows, mirror
        self._labels, self._indices = labels.to(rows.device), indices.to(rows.device)
        self._versions = len(rows) // len(labels)
        self._channels_last, self._device = channels_last, device

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        place = self._rows.device
        mirrors = self.train and self._versions == 2
        table = self._mirror.table(self.samples, seed=self.seed, epoch=epoch).to(place) if mirrors else None
        for portion in self.portions(epoch, start, mixes=False, device=place):
            positions = portion.positions
            rows = positions * self._versions
            if table is not None:
                rows = rows + self._mirror.flipped(table[positions])
            features = self._rows.index_select(0, rows).to(self._device)
            features = features.permute(0, 3, 1, 2) if self._channels_last else features
            labels, indices = self._labels[positions].to(self._device), self._indices[positions].to(self._device)
            yield Batch(features, labels, labels, indices)
