"""What a training step receives, and the order in which it receives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hybrid.data.mixing import draw_partners
from hybrid.data.randomness import torch_generator
from hybrid.distributed.rank_slices import ALONE, Share, Shares
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


class Portion(NamedTuple):
    """What a loader must get for one step.

    positions: (n,) int64, the images to load: the `own` ones of this rank first, then those of other ranks to mix with.
    partners:  (own,) int64 on the CPU, the rows of `positions` that the own ones are mixed with; None without mixing.
    total:     images of the step on all ranks.
    """

    step: int
    positions: Tensor
    own: int
    partners: Tensor | None
    total: int


@dataclass(frozen=True)
class Batching:
    """How the images of a split come.

    batch_size: images of a step on all ranks together.
    train: whether they are shuffled and augmented, by draws that depend on `seed` and the epoch.
    drop_last: whether an epoch leaves out a last batch that is smaller.
    shares: which part of each batch this process takes.
    """

    batch_size: int
    train: bool = False
    drop_last: bool = False
    seed: int = 0
    shares: Shares = ALONE


class Loader(ABC):
    """An endless supply of epochs over one split; `len()` is the number of steps of each.

    Of each batch it yields the part of this process's rank, which may be empty at an epoch's end; the batches and every image
    in them are the same for any number of ranks. Where it trains, the order is shuffled by (seed, epoch) and images are
    augmented; otherwise the order is the split's and every epoch is the same. Raises UserError for a batch size below 1, and
    for one above the number of samples where `drop_last` would leave no step at all.
    """

    def __init__(self, name: str, samples: int, batching: Batching) -> None:
        batch_size, drop_last = batching.batch_size, batching.drop_last
        if batch_size < 1:
            raise UserError(f"a batch of {batch_size} images is not possible; the batch size must be 1 or more.")
        if drop_last and batch_size > samples:
            raise UserError(
                f"a batch of {batch_size} images is larger than the {samples} of the {name} split, and drop_last would "
                f"drop it: use a batch size of {samples} or less, or drop_last=false."
            )
        self.name, self.samples, self.batching = name, samples, batching
        self.batch_size, self.drop_last, self.train = batch_size, drop_last, batching.train
        self.seed, self.shares = batching.seed, batching.shares
        self._next_epoch = 0

    def __len__(self) -> int:
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(images, labels) of one epoch, for a training loop of one's own: epoch 0 at first, and the next one each time.

        Images are (N, C, H, W) float32, labels (N,) int64, or (N, K) float32 class weights where mixup or cutmix mixed the
        images: `torch.nn.functional.cross_entropy` takes both.
        """
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        for batch in self.epoch(epoch):
            yield batch.images, batch.targets

    def share(self, step: int) -> Share:
        """This rank's part of an epoch's step `step`."""
        return self.shares.of(self._total(step))

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

    def portions(self, epoch: int, start: int, *, mixes: bool, device: torch.device | str = "cpu") -> Iterator[Portion]:
        """What to load from step `start` on, positions in the split on `device`; with those to mix with if it `mixes`."""
        order = self.order(epoch).to(device)  # once: a copy per step would make the GPU wait
        for step in range(start, len(self)):
            total = self._total(step)
            first = step * self.batch_size
            batch = order[first : first + total]
            rows = self.shares.rows(total)
            if mixes:
                partners, _ = draw_partners(total, seed=self.seed, epoch=epoch, step=step)
                yield self._with_partners(step, batch, rows, partners)
            else:
                own = torch.cat([batch[part] for part in rows])
                yield Portion(step, own, len(own), None, total)

    def _with_partners(self, step: int, batch: Tensor, rows: list[slice], partners: np.ndarray) -> Portion:
        own = np.concatenate([np.arange(part.start, part.stop) for part in rows])
        needed = np.concatenate([own, np.setdiff1d(partners[own], own)])
        place = np.empty(len(batch), dtype=np.int64)
        place[needed] = np.arange(len(needed))
        chosen = batch[torch.from_numpy(needed).to(batch.device)]
        return Portion(step, chosen, len(own), torch.from_numpy(place[partners[own]]), len(batch))

    def _total(self, step: int) -> int:
        return min(self.batch_size, self.samples - step * self.batch_size)
