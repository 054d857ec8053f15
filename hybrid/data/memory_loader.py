"""Batches of a data set in memory. It lies on the device, or on the CPU if a policy has to work there."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hybrid.data.batch import Batch, Batching, Loader
from hybrid.data.finish_batch import BatchFinisher
from hybrid.data.policies import apply_seeded, make_policy
from hybrid.data.randomness import numbers
from hybrid.data.stored import MemorySplit


class MemoryLoader(Loader):
    """Takes each batch out of one tensor and augments it where that lies.

    One table of uniform numbers holds all that is random in an epoch, and each batch takes its rows of it. A policy of
    torchvision works image by image on the CPU; with one, the split must lie there, and batches go to the device afterwards.
    """

    def __init__(self, name: str, split: MemorySplit, batching: Batching, finisher: BatchFinisher) -> None:
        super().__init__(name, len(split), batching)
        self._data, self._finisher, self._augmenter = split, finisher, finisher.augmenter
        wants_policy = self.train and finisher.augmentation.policy is not None
        self._policy = make_policy(finisher.augmentation) if wants_policy else None

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        place, device = self._data.images.device, self._finisher.device
        draws_any = self.train and self._augmenter.draws_any
        table = self._augmenter.table(self.samples, seed=self.seed, epoch=epoch).to(place) if draws_any else None
        mixes = self.train and self._finisher.augmentation.mixes
        for portion in self.portions(epoch, start, mixes=mixes, device=place):
            positions = portion.positions
            # index_select is several times as fast as [positions]
            images = self._data.images.index_select(0, positions)
            draws = None if table is None else table.index_select(0, positions)
            if self.train:
                images = self._augment(images, positions, draws, epoch)
            labels, indices = (
                each.index_select(0, positions).to(device) for each in (self._data.labels, self._data.indices)
            )
            yield self._finisher.finish(images.to(device), labels, indices, portion=portion, epoch=epoch, draws=draws)

    def _augment(self, images: Tensor, positions: Tensor, draws: Tensor | None, epoch: int) -> Tensor:
        if draws is not None and not self._finisher.augmentation.crops_last:
            images = self._augmenter.crop_and_flip(images, draws)
        if self._policy is not None and len(images):
            images = apply_seeded(self._policy, images, numbers(self.seed, "policy", epoch, last=positions.numpy()))
        return images if draws is None else self._augmenter.cutout(images, draws)
