"""What is odd about the images and labels of a data set, and would make its figures mislead: a line for each.

It looks at images in memory all at once, and takes a fraction of a second: 0.2 s for CIFAR-10. Of more than 1 GiB of
images in a split, and of more than 20,000 files, evenly spaced ones are looked at, and a line says "at least". Arrays that are
too large for the memory are not compared.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hybrid.data.dataset import Data
from hybrid.data.sources import FileSource
from hybrid.data.statistics import class_counts
from hybrid.data.stored import FileSplit, MemorySplit, Split
from hybrid.data.turned_copies import turned_files, turned_images
from hybrid.errors import UserError

_log = logging.getLogger(__name__)
_MOST_BYTES = 2**30  # of the images in memory of a split
_MOST_FILES = 20_000  # of a split, whose sizes are compared
_MOST_DECODED = 16  # files of the training images, which are decoded to see whether there is anything on them
_MOST_CONFIRMED = 256  # files that look damaged, which are decoded
_ENDS = {".png": (b"\x89PNG", b"IEND")} | dict.fromkeys((".jpg", ".jpeg"), (b"\xff\xd8", b"\xff\xd9"))
_TAIL = 4096  # bytes in which the end of an image is looked for: programs append notes
_NAMED = 5  # classes that a line names
_MOST_TURNED = 2_000  # files that are compared with turned ones
_ALIKE, _GREY_LEVELS, _LEAST_STRUCTURE = 0.98, 3, 16 * 4  # correlation, difference of two pixels, norm without the mean


def warn_of_oddities(data: Data) -> None:
    """Log a warning for each oddity of the data."""
    for line in oddities(data):
        _log.warning("%s: %s", data.name, line)


def oddities(data: Data) -> list[str]:
    """A line for each oddity of the data, in an order of importance.

    They are: one class alone, classes without images that train or test, images that train and also validate or test (exactly
    the same pixels, or the same bytes of a file), turned or mirrored copies of training images (of images that are not
    published, in memory or up to 1000 files of 64 MiB), and images of one colour. (Labels that are no class are errors.)
    """
    return [*_classes(data), *_repeated(data), *_turned(data), *_constant(data)]


def refuse_damaged(data: Data) -> None:
    """Raise UserError for image files that are cut off or no images, before a run has trained for hours and then tests on them.

    It is cheap: of .jpg and .png files the first and the last bytes are read, of at most 20,000 in a split, and those that look
    wrong are decoded, at most 256. Damage in the middle of a file is not seen; `hybrid prepare-data` decodes every image.
    """
    found: list[str] = []
    for split in data.splits.values():
        if isinstance(split, FileSplit) and isinstance(data.source, FileSource):
            chosen = [split.paths[k] for k in range(0, len(split), max(1, -(-len(split) // _MOST_FILES)))]
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                wrong = [path for path, bad in zip(chosen, threads.map(_looks_wrong, chosen), strict=True) if bad]
            found += data.source.unreadable(wrong[:_MOST_CONFIRMED]).values() if wrong else ()
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        advice = " data.skip_unreadable=true leaves such images out." if hasattr(data.source, "skip_unreadable") else ""
        raise UserError(
            f"{found[0]}{more}: replace what cannot be read; `hybrid prepare-data` finds all of it.{advice}"
        )


def _looks_wrong(path: str) -> bool:
    """Whether a JPEG or PNG file does not begin and end as one. Other files are not looked at."""
    kind = _ENDS.get(os.path.splitext(path)[1].lower())
    if kind is None:
        return False
    try:
        with open(path, "rb") as file:
            begin = file.read(len(kind[0]))
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return begin != kind[0] or kind[1] not in file.read()
    except OSError:
        return True


def _classes(data: Data) -> Iterator[str]:
    if data.task != "classification":
        return
    counts = class_counts(data)
    if sum(count > 0 for count in counts["train"]) == 1:
        yield "all training images are of one class: accuracy and loss say nothing about what the network has learned"
        return
    for split, words in (
        ("train", "trains: the network cannot learn"),
        ("test", "tests: the results say nothing about"),
    ):
        if split not in counts:
            continue
        empty = [name for name, count in zip(data.class_names, counts[split], strict=True) if not count]
        if empty:
            more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
            names = f"{', '.join(empty[:_NAMED])}{more}"
            yield f"no image of {len(empty)} of {len(counts[split])} classes {words} {names}"


def _repeated(data: Data) -> Iterator[str]:
    train = data.splits["train"]
    same = _same_files if isinstance(train, FileSplit) else _same_pixels
    for name in ("validation", "test"):
        other = data.splits.get(name)
        pairs, all_of_them = ([], True) if other is None else same(train, other)
        if pairs:
            least = "" if all_of_them else "at least "
            words = f"{least}{len(pairs)} of {len(other)} {name} images {'is' if len(pairs) == 1 else 'are'}"
            first, second = pairs[0]
            example = f"{_name(data, other, first)} is {_name(data, train, second)}"
            yield f"{words} among the training images, too ({example}): the {name} accuracy is too high for that"


def _turned(data: Data) -> Iterator[str]:
    train = data.splits["train"]
    for name in ("validation", "test") if not data.source.published else ():
        other = data.splits.get(name)
        if other is None:
            continue
        if isinstance(train, FileSplit):
            pairs = turned_files(train, other, data.source) if isinstance(data.source, FileSource) else []
        elif max(_step(train.images), _step(other.images)) == 1:
            pairs = turned_images(train.images, other.images)
        else:
            pairs = []
        if pairs:
            are = "is a turned or mirrored copy" if len(pairs) == 1 else "are turned or mirrored copies"
            first, second = pairs[0]
            example = f"{_name(data, other, first)} of {_name(data, train, second)}"
            words = f"{len(pairs)} of {len(other)} {name} images {are} of training images ({example})"
            yield f"{words}: the {name} accuracy may be too high"


def _name(data: Data, split: Split, position: int) -> str:
    if isinstance(split, FileSplit):
        return str(split.paths[position])
    return f"image {int(split.indices[position])}"


def _same_pixels(train: MemorySplit, other: MemorySplit) -> tuple[list[tuple[int, int]], bool]:
    """(position in other, position in train) of equal images, and whether all images were looked at."""
    (mine, whole), (theirs, also_whole) = _rows(train.images), _rows(other.images)
    keys, wanted = _keys(mine), _keys(theirs)
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
    found = np.flatnonzero(keys[order[place]] == wanted)
    steps = (_step(train.images), _step(other.images))
    pairs = [(int(k) * steps[1], int(order[place[k]]) * steps[0]) for k in found]
    return [(a, b) for a, b in pairs if torch.equal(other.images[a], train.images[b])], whole and also_whole


def _step(images: Tensor) -> int:
    """Every how many of the images are looked at."""
    return max(1, -(-images.numel() * images.element_size() // _MOST_BYTES))


def _rows(images: Tensor) -> tuple[np.ndarray, bool]:
    """The images that are looked at, (n, bytes of an image) uint8, and whether these are all."""
    step = _step(images)
    return images[::step].flatten(1).contiguous().view(torch.uint8).numpy(), step == 1


def _keys(rows: np.ndarray) -> np.ndarray:
    """(n,) uint64: equal for equal rows, and nearly never for others; a product of matrices is the fastest such number."""
    words = rows.shape[1] // 8
    values = rows[:, : words * 8].view(np.uint64) if words else rows.astype(np.uint64)
    weights = np.random.default_rng(0).integers(2**64, size=values.shape[1], dtype=np.uint64)
    return values @ weights


def _same_files(train: FileSplit, other: FileSplit) -> tuple[list[tuple[int, int]], bool]:
    """As `_same_pixels`, for files with the same bytes. Only files of one size are read."""
    mine, theirs = _sizes(train.paths), _sizes(other.paths)
    by_size: dict[int, list[int]] = {}
    for position, size in mine.items():
        by_size.setdefault(size, []).append(position)
    digests: dict[str, bytes] = {}
    pairs = []
    for position, size in theirs.items():
        alike = by_size.get(size, [])
        if alike and (digest := _digest(other.paths[position], digests)) is not None:
            pairs += [(position, k) for k in alike if _digest(train.paths[k], digests) == digest][:1]
    return pairs, len(mine) == len(train) and len(theirs) == len(other)


def _sizes(paths: Sequence[str]) -> dict[int, int]:
    """Position -> bytes, of evenly spaced files."""
    positions = range(0, len(paths), max(1, -(-len(paths) // _MOST_FILES)))
    found = {}
    for position in positions:
        try:
            found[position] = os.stat(paths[position]).st_size
        except OSError:  # reading it will say so
            continue
    return found


def _digest(path: str, known: dict[str, bytes]) -> bytes | None:
    if path not in known:
        try:
            known[path] = hashlib.blake2b(Path(path).read_bytes()).digest()
        except OSError:
            return None
    return known[path]


def _constant(data: Data) -> Iterator[str]:
    train = data.splits["train"]
    if isinstance(train, MemorySplit):
        step = _step(train.images)
        flat = train.images[::step].flatten(2)
        few = flat[:, :, :: max(1, flat.shape[2] // 32)]  # 32 pixels settle it for nearly all images
        candidates = torch.nonzero(_is_constant(few)).flatten()
        positions = (candidates[_is_constant(flat[candidates])] * step).tolist()
        looked, example = len(flat), f"image {int(train.indices[positions[0]])}" if positions else ""
    else:
        chosen = range(0, len(train), max(1, -(-len(train) // _MOST_DECODED)))
        positions = list(_blank_files(data, train, chosen))
        looked, example = len(chosen), str(train.paths[positions[0]]) if positions else ""
    if positions:
        are = "is" if len(positions) == 1 else "are"
        yield f"{len(positions)} of {looked} training images {are} of one colour, without any structure ({example})"


def _is_constant(images: Tensor) -> Tensor:
    """(n,) bool of images (n, C, pixels)."""
    return (images == images[:, :, :1]).flatten(1).all(1)


def _blank_files(data: Data, split: FileSplit, positions: Iterable[int]) -> Iterator[int]:
    for position in positions:
        try:
            if bool(_is_constant(data.source.item(split.paths[position]).flatten(1)[None])):
                yield position
        except UserError:  # reading it in training will say so
            continue


def turned_copies(data: Data, images: Split) -> list[tuple[int, int]]:
    """Pairs of positions in some images of the data that are turned by 90, 180 or 270 degrees from one another.

    Of image files alone, and not of published ones. At most 2,000, evenly spaced, are decoded, and compared at 16 x 16 pixels.
    """
    if not isinstance(images, FileSplit) or data.source.published:
        return []
    chosen = range(0, len(images), max(1, -(-len(images) // _MOST_TURNED)))
    small = torch.stack([_small(data, images.paths[position]) for position in chosen])
    pairs: set[tuple[int, int]] = set()
    for quarters in (1, 2):  # three quarters back are one quarter forth
        turned = small.rot90(quarters, (1, 2))
        for one, other in (_shapes(turned) @ _shapes(small).T > _ALIKE).nonzero().tolist():
            same = _differ(small[one], small[other]) <= _GREY_LEVELS  # without a turn, too: another line tells that
            if one != other and not same and _differ(turned[one], small[other]) <= _GREY_LEVELS:
                pairs.add((chosen[min(one, other)], chosen[max(one, other)]))
    return sorted(pairs)


def _shapes(images: Tensor) -> Tensor:
    """(n, 16, 16) -> (n, 256) without the mean, of norm 1 where there is some structure."""
    flat = (images - images.mean((1, 2), keepdim=True)).flatten(1)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(_LEAST_STRUCTURE)


def _differ(one: Tensor, other: Tensor) -> float:
    """The largest difference of two pixels."""
    return float((one - other).abs().max())


def _small(data: Data, path: str) -> Tensor:
    """(16, 16) grey levels, from 0 to 255, of an image file as evaluation sees it."""
    image = data.source.open_checked(path).float().mean(0)
    return torch.nn.functional.adaptive_avg_pool2d(image[None], 16)[0]
