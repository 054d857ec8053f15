"""Batches of image files: worker processes decode and crop them, the device does the rest."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hybrid.data.augmentation import Augmentation
from hybrid.data.batch import Batch, Batching, Loader
from hybrid.data.finish_batch import BatchFinisher
from hybrid.data.images import Box
from hybrid.data.policies import apply_seeded, make_policy
from hybrid.data.randomness import number, numpy_generator, torch_generator
from hybrid.data.resampling import resampler
from hybrid.data.sources import Source
from hybrid.data.stored import FileSplit
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError

_MOST_WORKERS = 16
_TOGETHER = 16  # files whose images are shuffled together, where those of few files are read at a time
_LOOK, _MOST_PATIENT = 5.0, 600.0  # seconds: between two looks at the clock; without any batch
_stalled = threading.Event()
_workers: list[multiprocessing.Process] = []  # of the epoch that began last


class _DecodedFiles(Dataset):
    """What the workers run: (epoch, position) → the image, uint8 (C, H, W), or the text of the error.

    The text is returned, because an exception of a worker reaches the main process as a page of traceback.
    """

    def __init__(self, paths: Sequence[str], source: Source, augmentation: Augmentation, *, train: bool, seed: int):
        self.paths = paths
        self.source, self.augmentation, self.train, self.seed = source, augmentation, train, seed
        self.policy = make_policy(augmentation) if train and augmentation.policy else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, address: tuple[int, int]) -> Tensor | str:
        epoch, position = address
        try:
            image = self._open(self.paths[position], epoch, position)
        except UserError as error:
            return str(error)
        if self.policy is None:
            return image
        return apply_seeded(self.policy, image[None], [number(self.seed, "policy", epoch, position)])[0]

    def _open(self, path: str, epoch: int, position: int) -> Tensor:
        area, source = self.augmentation.random_resized_crop, self.source
        if not self.train or area is None:
            return source.item(path)
        random, reader = numpy_generator(self.seed, "resized_crop", epoch, position), source.reader
        height, width = reader.size

        def choose_box(image_width: int, image_height: int) -> Box:
            aspect = image_width / image_height if reader.fit == "squash" else width / height
            return random_box(image_width, image_height, area=area, random=random, aspect=aspect)

        return source.item_box(path, choose_box)


def random_box(
    width: int, height: int, *, area: tuple[float, float], random: np.random.Generator, aspect: float = 1.0
) -> Box:
    """(left, top, right, bottom) in pixels of a random part of the area, 3/4 to 4/3 times as wide as `aspect` says.

    It is the crop of Szegedy et al. 2015. As in torchvision, after ten boxes that do not fit the largest central box with an
    allowed ratio is taken. area: the (smallest, largest) part. aspect: width / height of the images that the model sees.
    """
    narrowest, widest = 3 / 4 * aspect, 4 / 3 * aspect
    for _ in range(10):
        target = width * height * random.uniform(*area)
        ratio = math.exp(random.uniform(math.log(narrowest), math.log(widest)))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * widest)))
    h = min(height, max(1, round(width / narrowest)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


class _Addresses:
    """The (epoch, position) of each image of each step. They are made step by step, as ImageNet's epoch has over a million."""

    def __init__(self, epoch: int, positions: list[Tensor]) -> None:
        self.epoch, self.positions = epoch, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for positions in self.positions:
            yield [(self.epoch, position) for position in positions.tolist()]


def _collate(shape: tuple[int, int, int], items: list[Tensor | str]) -> Tensor | str:
    for item in items:
        if isinstance(item, str):
            return item
    return torch.stack(items) if items else torch.empty(0, *shape, dtype=torch.uint8)


class FileLoader(Loader):
    """Decodes image files in worker processes, which also make the random-resized crop and apply the policy.

    The images go to the device as uint8, and all other changes are made there. Workers are started anew for each epoch, which
    costs a fraction of a second. A worker that dies, and a file that cannot be read, end the epoch with a UserError.
    """

    def __init__(
        self, name: str, split: FileSplit, batching: Batching, finisher: BatchFinisher, source: Source
    ) -> None:
        super().__init__(name, len(split), batching)
        self._data, self._finisher, self._augmenter = split, finisher, finisher.augmenter
        self._decoded = _DecodedFiles(split.paths, source, finisher.augmentation, train=self.train, seed=self.seed)
        self.num_workers = worker_count(source.num_workers)
        self._image_shape = source.image_shape
        self._blocks = source.blocks(split.paths) if self.train else None

    def order(self, epoch: int) -> Tensor:
        if self._blocks is None:
            return super().order(epoch)
        random, blocks = torch_generator(self.seed, "order", epoch), torch.from_numpy(self._blocks)
        group = torch.randperm(int(blocks.max()) + 1, generator=random) // _TOGETHER
        images = torch.randperm(self.samples, generator=random)
        return images[group[blocks[images]].argsort(stable=True)]

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        portions = list(self.portions(epoch, start, mixes=self.train and self._finisher.augmentation.mixes))
        device = self._finisher.device
        table = self._augmenter.table(self.samples, seed=self.seed, epoch=epoch) if self.train else None
        addresses = _Addresses(epoch, [portion.positions for portion in portions])
        for portion, images in zip(portions, self._decode(epoch, addresses), strict=True):
            positions = portion.positions
            images = images.to(device, non_blocking=True)
            draws = None if table is None else table[positions].to(device)
            if draws is not None and not self._finisher.augmentation.crops_last:
                images = self._augmenter.cutout(self._augmenter.crop_and_flip(images, draws), draws)
            labels, indices = self._data.labels[positions].to(device), self._data.indices[positions].to(device)
            yield self._finisher.finish(images, labels, indices, portion=portion, epoch=epoch, draws=draws)

    def _decode(self, epoch: int, addresses: _Addresses) -> Iterator[Tensor]:
        workers = min(self.num_workers, len(addresses))
        resampler()  # here, and not in every worker
        batches = DataLoader(
            self._decoded,
            batch_sampler=addresses,
            num_workers=workers,
            timeout=_LOOK if workers else 0,
            collate_fn=partial(_collate, self._image_shape),
            pin_memory=self._finisher.device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_parent,
            generator=torch_generator(self.seed, "workers", epoch),  # or it would draw from the global generator
        )
        others = set(multiprocessing.active_children())
        decoding = iter(batches)
        _workers[:] = set(multiprocessing.active_children()) - others
        try:
            for images in _patiently(decoding, workers):
                if isinstance(images, str):
                    raise UserError(images)
                yield images
        except RuntimeError as error:
            if (explained := dead_worker()) is None:
                raise
            raise explained from error


def _patiently(decoding: Iterator[Tensor | str], workers: int) -> Iterator[Tensor | str]:
    """The batches. Raises UserError if the workers give none for `_MOST_PATIENT` seconds, though they are alive."""
    asked = time.monotonic()
    while True:
        try:
            batch = next(decoding)
        except StopIteration:
            return
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
            _stalled.set()
            if (waited := time.monotonic() - asked) < _MOST_PATIENT:
                continue
            raise UserError(
                f"no batch of images for {waited:.0f} s, of {workers} processes that decode: {_shared_memory()}; or the disk "
                "does not answer. data.num_workers=0 decodes without other processes."
            ) from error
        _stalled.clear()
        yield batch
        asked = time.monotonic()


def _shared_memory() -> str:
    """What may be wrong with the memory in which workers hand over their images."""
    try:
        free = shutil.disk_usage("/dev/shm").free / 2**20
    except OSError:
        return "shared memory may be too small"
    return f"shared memory may be too small (/dev/shm has {free:.0f} MiB left; docker run --shm-size=2g gives more)"


def is_stalled() -> bool:
    """Whether a loader has waited for its workers for seconds: then nothing comes between two steps at which a run could stop."""
    return _stalled.is_set()


def dead_worker() -> UserError | None:
    """The error for a worker process that has died in this epoch or the last one; None while all are well.

    torch raises a RuntimeError about it at any moment of the main thread, not only where the loader is asked for a batch. A
    death is told once: it does not explain an error of a later run in the same program.
    """
    usual = (None, 0, -signal.SIGTERM)  # it runs, it is done, torch has ended it
    died = [worker for worker in _workers if worker.exitcode not in usual]
    if not died:
        return None
    _workers[:] = [worker for worker in _workers if worker not in died]
    code = died[0].exitcode
    end = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return UserError(
        f"a process that decodes images died (process {died[0].pid}, {end}): usually memory ran out; lower data.num_workers, "
        "or set it to 0 to see the reason."
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ignore Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP, which reach all processes: the parent saves, and then ends its workers itself.

    A second SIGTERM is not ignored, so that the parent can end a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def worker_count(wanted: int | str) -> int:
    """The number of processes that decode. "auto" is one for each core that this process may use, up to 16.

    Ranks on one machine share its cores evenly. 0 decodes in the main process.
    """
    if wanted != "auto":
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // Launch.read().local_size), _MOST_WORKERS)
