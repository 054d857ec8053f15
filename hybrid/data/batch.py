"""Batches: what a training step receives, and in which order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybrid.data.mixing import draw_partners
from hybrid.data.randomness import epoch_generator
from hybrid.distributed.rank_slices import ALONE, Share, Shares
from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


class Batch(NamedTuple):
    """The samples of one step, on the loader's device.

    Attributes:
        images: (N, C, H, W) float32, augmented and preprocessed, as the model takes them.
        labels: (N,) int64, the true classes, also where images were mixed; of another task (N, K) float32
            (`hybrid.data.tasks`).
        targets: equal to `labels`; where mixup or cutmix mixed images, (N, K) float32 weights of the K classes, or the means
            of the labels of both images, weighted alike.
        indices: (N,) int64, the position of each sample in the data set's own train or test files.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    indices: Tensor


class Portion(NamedTuple):
    """The images that a loader must get for one step.

    Attributes:
        step: its number within the epoch.
        positions: (n,) int64, positions in the split: first the `own` images of this rank, then images of other ranks that
            they are mixed with.
        own: how many images are this rank's.
        partners: (own,) int64 on the CPU, the rows of `positions` that they are mixed with; None without mixing.
        total: images of the step on all ranks.
    """

    step: int
    positions: Tensor
    own: int
    partners: Tensor | None
    total: int


@dataclass(frozen=True)
class Batching:
    """How a split is cut into batches.

    Attributes:
        batch_size: images of a step on all ranks together.
        train: whether images are shuffled and augmented, by draws that depend on `seed` and the epoch.
        drop_last: whether an epoch leaves out a last batch that is smaller.
        seed: decides order and augmentation.
        shares: which part of each batch this process takes.
    """

    batch_size: int
    train: bool = False
    drop_last: bool = False
    seed: int = 0
    shares: Shares = ALONE


class Loader(ABC):
    """Epochs over one split, as many as are wanted; `len()` is the number of steps in each.

    Where it trains, the order is shuffled by (seed, epoch) and images are augmented; otherwise images come in the order of the
    split, and every epoch is the same. In a run of several processes, a loader yields its rank's part of each batch, which
    may be empty at the end of an epoch. The batches, and every image in them, are the same for any number of ranks.

    Raises:
        UserError: the batch size is below 1, or `drop_last` would leave no step.
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
        """The (images, labels) of one epoch, for a training loop of your own: epoch 0 at first, and the next one each time.

        Images are (N, C, H, W) float32. Labels are (N,) int64, or (N, K) float32 weights of the classes where mixup or cutmix
        mixed images; `torch.nn.functional.cross_entropy` takes both. Labels of another task are (N, K) float32.
        """
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        for batch in self.epoch(epoch):
            yield batch.images, batch.targets

    def share(self, step: int) -> Share:
        """This rank's part of an epoch's step `step`."""
        return self.shares.of(self._total(step))

    @abstractmethod
    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on, bit for bit those of an epoch that begins at step 0.

        Nothing is read, decoded or augmented for the steps before `start`.
        """

    def order(self, epoch: int) -> Tensor:
        """(samples,) int64: positions in the split, in the order of this epoch."""
        if not self.train:
            return torch.arange(self.samples)
        return torch.randperm(self.samples, generator=epoch_generator(self.seed, "order", epoch))

    def portions(self, epoch: int, start: int, *, mixes: bool, device: torch.device | str = "cpu") -> Iterator[Portion]:
        """The portions from step `start` on, with positions on `device`, and with partners if it `mixes`."""
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
                own = batch[rows[0]] if len(rows) == 1 else torch.cat([batch[part] for part in rows])
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
