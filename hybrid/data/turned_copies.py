"""Images of one split that are images of another one, turned by 90, 180 or 270 degrees or mirrored.

Images in memory are compared exactly: sums over the pixels that such turns exchange are equal for copies, so that few pairs are
left to compare. Files may have been encoded anew. They are compared by small versions of themselves first, and then whole.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hybrid.data.sources import FileSource
from hybrid.data.stored import FileSplit
from hybrid.errors import UserError

Pairs = list[tuple[int, int]]
_TURNS = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]  # the first one changes nothing
_ORBITS = 16  # groups of exchanged pixels that are summed
_MOST_FILES, _MOST_BYTES = 1000, 2**26  # of both splits: more of them are not decoded
_SMALL, _CLOSE = 16, 4.0  # pixels of a small version's side; its largest difference between copies, in grey levels
_MOST_CONFIRMED = 64  # pairs of files that are compared whole
_LARGEST_CHANGE = 0.2  # by which copies differ, relative to what differs within the image


def turned(image: Tensor, turn: tuple[int, bool]) -> Tensor:
    """(..., H, W) mirrored, if `turn` says so, and then turned by so many quarters."""
    quarters, mirrored = turn
    return torch.rot90(image.flip(-1) if mirrored else image, quarters, (-2, -1))


def turned_images(train: Tensor, other: Tensor) -> Pairs:
    """(position in other, position in train) of images (n, C, H, W) that are equal after a turn, and not without one."""
    sums = _OrbitSums(*train.shape[-2:])
    keys, wanted = sums(train), sums(other)
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
    pairs = [(int(k), int(order[place[k]])) for k in np.flatnonzero(keys[order[place]] == wanted)]
    return [(a, b) for a, b in pairs if _is_turned(other[a], train[b])]


def _is_turned(image: Tensor, other: Tensor) -> bool:
    return not torch.equal(image, other) and any(
        torch.equal(turned(image, turn), other) for turn in _TURNS[1:] if turned(image, turn).shape == other.shape
    )


class _OrbitSums:
    """(n, C, H, W) -> (n,) uint64: equal for turned copies, and nearly never for other images."""

    def __init__(self, height: int, width: int) -> None:
        places = torch.arange(height * width).view(height, width)
        turns = [turned(places, turn) for turn in _TURNS]
        orbits = torch.stack([each.flatten() for each in turns if each.shape == places.shape])  # (turns, pixels)
        first = torch.nonzero(orbits.amin(0) == places.flatten()).flatten()  # one pixel of each orbit
        chosen = first[torch.linspace(0, len(first) - 1, min(_ORBITS, len(first))).long()]
        self.pixels = orbits[:, chosen]

    def __call__(self, images: Tensor) -> np.ndarray:
        flat = images.flatten(2)
        sums = torch.stack([flat[:, :, pixels].int() for pixels in self.pixels]).sum(0).flatten(1).numpy()
        weights = np.random.default_rng(0).integers(2**64, size=sums.shape[1], dtype=np.uint64)
        return sums.astype(np.uint64) @ weights


def turned_files(train: FileSplit, other: FileSplit, source: FileSource) -> Pairs:
    """The same of image files, which may be encoded anew; none where they are too many or too large to decode all of them."""
    paths = [*train.paths, *other.paths]
    if len(paths) > _MOST_FILES or _bytes(paths) > _MOST_BYTES:
        return []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        mine, theirs = (torch.stack(list(threads.map(lambda p: _small(source, p), s.paths))) for s in (train, other))
    pairs: Pairs = []
    for turn in _TURNS[1:]:
        difference = torch.cdist(turned(theirs, turn).flatten(1), mine.flatten(1), p=torch.inf)
        pairs += [(a, b) for a, b in torch.nonzero(difference <= _CLOSE).tolist()]
    confirmed: dict[int, int] = {}
    for a, b in pairs[:_MOST_CONFIRMED]:
        if a not in confirmed and _is_nearly_turned(source, other.paths[a], train.paths[b]):
            confirmed[a] = b
    return sorted(confirmed.items())


def _bytes(paths: list[str]) -> int:
    try:
        return sum(os.stat(path).st_size for path in paths)
    except OSError:  # reading it will say so
        return _MOST_BYTES + 1


def _small(source: FileSource, path: str) -> Tensor:
    """(_SMALL, _SMALL) grey levels of an image; NaN where it cannot be read."""
    try:
        return F.adaptive_avg_pool2d(source.item(path).float().mean(0, keepdim=True), _SMALL)[0]
    except UserError:
        return torch.full((_SMALL, _SMALL), torch.nan)


def _is_nearly_turned(source: FileSource, path: str, other: str) -> bool:
    image, second = source.item(path).float(), source.item(other).float()
    structure = (second - second.mean((-2, -1), keepdim=True)).norm()
    changes = [
        (turned(image, turn) - second).norm() / structure
        for turn in _TURNS
        if turned(image, turn).shape == second.shape
    ]
    return bool(structure > 0) and bool(changes[0] > _LARGEST_CHANGE) and min(changes[1:]) <= _LARGEST_CHANGE
