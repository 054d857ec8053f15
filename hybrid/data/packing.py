"""Image files of a data set, packed into shards in the format of WebDataset, which `data=webdataset` and other programs read.

A shard PART-00000.tar holds so many images, KEY.jpg and the number of its class, KEY.cls. The key is the position of the image in
its part. Training images are shuffled once, so that each shard has images of many classes. `pack.json` says what was packed, and
`index.npz` where each image lies, so that readers need not walk through the shards.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hybrid.data.images import scaled
from hybrid.data.shards import INDEX, Shards, write_index
from hybrid.data.sources import FileSource
from hybrid.data.stored import FileSplit
from hybrid.errors import UserError
from hybrid.files import read_json, write_atomically, write_json

PARTS = ("train", "validation", "test")
_NOTE, _FORMAT = "pack.json", 1


@dataclass(frozen=True)
class Packing:
    """How images are packed.

    Attributes:
        resize: pixels of the shorter side, to which larger images are reduced; None: files are copied as they are.
        quality: of the JPEG files that reduced images become, 1 to 100.
        images: of a shard.
    """

    resize: int | None = None
    quality: int = 95
    images: int = 1000


def pack(source: FileSource, out: Path, packing: Packing, *, tell: Callable[[str], None] = lambda line: None) -> None:
    """Write the shards of every part of a data set, those that are not there yet, and the index.

    Every image is decoded, so that damage shows. A shard is there whole or not at all, so that an interrupted packing goes on
    where it was. `tell` is given a line for each part.

    Raises:
        UserError: an image cannot be read, the labels are no classes, or `out` holds something else.
    """
    if source.task != "classification":
        raise UserError(f"{source.name}: shards have one class an image, and these labels are {source.task}.")
    parts = {part: split for part in PARTS if (split := source.stored(part)) is not None}  # type: ignore[arg-type]
    _claim(out, _described(source, parts, packing))
    names = []
    for part, split in parts.items():
        shards = dict(_shards(part, split, packing))
        for name, positions in shards.items():
            if not (out / name).is_file():
                write_atomically(out / name, partial(_write, source, split, positions, packing))
        names += shards
        size = sum((out / name).stat().st_size for name in shards)
        tell(f"{part}: {len(split):,} images in {len(shards):,} shards, {size / 1e6:,.0f} MB")
    write_index(out / INDEX, Shards.walked([out / name for name in names]), source.class_names)


def _described(source: FileSource, parts: dict[str, FileSplit], packing: Packing) -> dict[str, Any]:
    """What is packed, for `pack.json`: the same for the same files, wherever they lie."""
    digest = hashlib.sha256()
    for part, split in parts.items():
        digest.update(part.encode())
        for path, label in zip(split.paths, split.labels.tolist(), strict=True):
            digest.update(f"{os.path.basename(path)}\0{label}\n".encode(errors="surrogateescape"))
    counts = {part: len(split) for part, split in parts.items()}
    settings = {"resize": packing.resize, "quality": packing.quality, "images": packing.images}
    return {
        "format": _FORMAT,
        "data": source.name,
        "parts": counts,
        **settings,
        "class_names": list(source.class_names),
        "files": digest.hexdigest(),
    }


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Note in a new or empty folder what is packed there. Raises UserError where the folder is used for something else."""
    note = out / _NOTE
    if note.is_file():
        there = read_json(note)
        differ = [key for key in wanted if there.get(key) != wanted[key]]
        if differ:
            key = differ[0]
            raise UserError(
                f"out={out} holds another packing ({key} differs): remove the folder, give another, or pack the same."
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"out={out} is not empty, and no packing: give a new folder.")
    else:
        write_json(note, wanted)


def _shards(part: str, split: FileSplit, packing: Packing) -> Iterator[tuple[str, np.ndarray]]:
    """(name, positions of its images) of each shard."""
    order = np.arange(len(split))
    if part == "train":
        order = np.random.default_rng(0).permutation(order)
    for number, first in enumerate(range(0, len(order), packing.images)):
        yield f"{part}-{number:05}.tar", order[first : first + packing.images]


def _write(source: FileSource, split: FileSplit, positions: np.ndarray, packing: Packing, file: BinaryIO) -> None:
    paths = [split.paths[position] for position in positions]
    labels = split.labels[positions].tolist()
    with ThreadPoolExecutor(os.cpu_count()) as threads, tarfile.open(fileobj=file, mode="w") as archive:
        contents = threads.map(lambda path: _content(path, source, packing), paths)
        for position, (ending, content), label in zip(positions, contents, labels, strict=True):
            for kind, each in ((ending, content), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{position:08}.{kind}")
                member.size = len(each)
                archive.addfile(member, io.BytesIO(each))


def _content(path: str, source: FileSource, packing: Packing) -> tuple[str, bytes]:
    """(ending, bytes) of an image: its file, or a smaller image as JPEG."""
    from PIL import Image

    image = source.reader.decode(path)
    short = min(image.size)
    if packing.resize is None or short <= packing.resize:
        return os.path.splitext(path)[1][1:].lower(), Path(path).read_bytes()
    height, width = scaled(image.height, image.width, box=(packing.resize, packing.resize), fit="crop")
    stream = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=packing.quality)
    return "jpg", stream.getvalue()
