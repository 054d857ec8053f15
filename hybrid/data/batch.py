"""What a training step receives, and the order in which it receives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.data.randomness import torch_generator
from hybrid.errors import UserError


class Batch(NamedTuple):
    """One step's samples, on the loader's device.

    images:  (N, C, H, W) float32, augmented and preprocessed: what the model takes.
    labels:  (N,) int64, the true classes, also where images were mixed.
    targets: (N,) int64, equal to `labels`; or (N, K) float32 class weights when mixup or cutmix mixed the images.
    indices: (N,) int64, each sample's position in the data set's own train or test files.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    indices: Tensor


class Loader(ABC):
    """An endless supply of epochs over one split; `len()` is the number of steps of each.

    With `train=True` the order is shuffled by (seed, epoch) and images are augmented; otherwise the order is the split's and
    every epoch is the same. Raises UserError for a batch size below 1, and for one above the number of samples when
    `drop_last` would leave no step at all.
    """

    def __init__(self, *, name: str, samples: int, batch_size: int, train: bool, drop_last: bool, seed: int) -> None:
        if batch_size < 1:
            raise UserError(f"a batch of {batch_size} images is not possible; the batch size must be 1 or more.")
        if drop_last and batch_size > samples:
            raise UserError(
                f"a batch of {batch_size} images is larger than the {samples} of the {name} split, and drop_last would "
                f"drop it: use a batch size of {samples} or less, or drop_last=false."
            )
        self.name, self.samples, self.batch_size = name, samples, batch_size
        self.train, self.drop_last, self.seed = train, drop_last, seed

    def __len__(self) -> int:
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    @abstractmethod
    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Steps `start`, `start` + 1, … of that epoch, exactly as an epoch begun at step 0 gives them.

        Nothing is read, decoded or augmented for the steps before `start`.
        """

    def order(self, epoch: int) -> Tensor:
        """(samples,) int64: the positions in the split, in the order in which this epoch shows them."""
        if not self.train:
            return torch.arange(self.samples)
        return torch.randperm(self.samples, generator=torch_generator(self.seed, "order", epoch))

    def steps(self, epoch: int, start: int, *, device: torch.device | str = "cpu") -> Iterator[tuple[int, Tensor]]:
        """(step, positions in the split, on `device`) from step `start` on."""
        order = self.order(epoch).to(device)  # once: a copy per step would make the GPU wait
        for step in range(start, len(self)):
            yield step, order[step * self.batch_size : (step + 1) * self.batch_size]
