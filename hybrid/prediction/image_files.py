"""Image files below folders, and their pixels a batch at a time: a folder of any size takes the memory of one batch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.data.folder_index import is_new
from hybrid.data.images import EXTENSIONS
from hybrid.errors import UserError


class Unreadable(NamedTuple):
    """A file that was asked for and is no readable image; `reason` names the file."""

    path: str
    reason: str


def find_images(paths: Iterable[str]) -> Iterator[str]:
    """The given files, whatever they are called, and the files with an image's ending below the given folders, sorted.

    A path that does not exist and a folder that may not be listed are passed on, for the reader to report. As in training,
    links to folders are followed, each folder once, and hidden files and folders are left out.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        closed: list[OSError] = []
        seen = {os.path.realpath(path)}
        for folder, subfolders, names in os.walk(path, onerror=closed.append, followlinks=True):
            subfolders[:] = sorted(
                name for name in subfolders if not name.startswith(".") and is_new(folder, name, seen)
            )
            yield from (os.path.join(folder, name) for name in sorted(names) if _is_image_name(name))
        yield from (str(error.filename) for error in closed)


def read_batches(
    paths: Iterable[str], open_image: Callable[[str], Tensor], *, batch_size: int
) -> Iterator[tuple[list[str], Tensor | None, list[Unreadable]]]:
    """(paths read, their pixels uint8 (N, C, H, W), unreadable ones) for every `batch_size` files.

    Pixels are None where none of them could be read. Files are decoded in parallel: Pillow leaves Python's lock alone.
    """

    def attempt(path: str) -> Tensor | Unreadable:
        try:
            return open_image(path)
        except UserError as error:
            return Unreadable(path, str(error))

    remaining = iter(paths)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while chunk := list(itertools.islice(remaining, batch_size)):
            opened = list(pool.map(attempt, chunk))
            pairs = [(path, pixels) for path, pixels in zip(chunk, opened, strict=True) if isinstance(pixels, Tensor)]
            images = torch.stack([pixels for _, pixels in pairs]) if pairs else None
            yield [path for path, _ in pairs], images, [each for each in opened if isinstance(each, Unreadable)]


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
