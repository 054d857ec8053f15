"""How fast image files become batches of uint8 on one core, beside torchvision with Pillow and torchvision.io.

    OMP_NUM_THREADS=1 python scripts/bench_images.py
    OMP_NUM_THREADS=1 python scripts/bench_images.py sizes=[500x375] root=/data/imagenette/train images=200 json=images.json

JPEG files of each size, and of evenly many classes, are put together from the images in the folders of `root`, in a temporary
folder: a mosaic of central parts at their own resolution, so that they are as detailed as photographs. "train" is the
random-resized crop to 224 x 224 (8 % to all of the area); "evaluate" scales the shorter side to 256 and cuts out the central
224 x 224. All scale with antialias, bicubic where nothing else is said; torchvision's default is bilinear. A round is what one
worker process does: it reads, decodes and crops every image, and puts them into batches of 64 (uint8, N x C x H x W). The
readers take turns. "images/s" is the median over the repeats by processor time, which suffers less from other programs, with
its range in brackets; "wall" is the same by the clock. × is the reader's rate divided by ours. "shards" are those of `hybrid
pack`, "shards of 256" those of images whose shorter side is 256 pixels at most.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from measured_rows import write_rows
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from hybrid.configuration.arguments import check_at_least, check_not_empty, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.data import Augmentation, build
from hybrid.data.folder import Folder
from hybrid.data.packing import Packing, pack
from hybrid.data.sources import FileSource
from hybrid.data.webdataset import WebDataset
from hybrid.errors import UserError

_BATCH = 64
_PART = 126  # pixels of a side of a mosaic's parts
_CLASSES = 10
_AREA = (0.08, 1.0)
Read = Callable[[int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    root: str = option("a folder with a folder of images for each class", default="data/imagenette/train")
    sizes: tuple[str, ...] = option("width x height of the files", default=("224x224", "500x375"))
    images: int = option("files of each size", default=100)
    quality: int = option("of the JPEG files", default=90)
    repeats: int = option("measurements of each", default=5)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_not_empty(self, "sizes")
        check_at_least(self, 1, "images", "repeats", "quality")
        for size in self.sizes:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
                raise UserError(f"sizes={size} is not valid: a size is width x height, for example 500x375.")
        if not Path(self.root).is_dir():
            raise UserError(f"root={self.root} is no folder.")
        check_file("json", self.json)


@command(Options)
def bench_images(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(1)
    versions = [f"torch {torch.__version__}", f"torchvision {torchvision.__version__}", f"Pillow {PIL.__version__}"]
    print(", ".join(versions), f"one thread, {options.images} files of each size")
    print(f"{'files':>9} {'work':>9} {'reader':>27} {'images/s':>22} {'×':>6} {'wall':>7} {'×':>6} {'load':>5}")
    rows = []
    parts = central_parts(Path(options.root))
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_mosaics(Path(folder), parts, size, options)
            for work in ("train", "evaluate"):
                found = measure(readers(Path(folder), paths, work), options)
                for row in found:
                    rows.append({"files": size, "work": work, **row})
                    print(line(rows[-1]), flush=True)
    write_rows(options, rows, versions=versions)


def central_parts(root: Path) -> list[np.ndarray]:
    """The central parts (126, 126, 3) of some 25 images of every class."""
    parts = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir())[:25]:
            with Image.open(path) as image:
                if min(image.size) >= _PART:
                    left, top = (image.width - _PART) // 2, (image.height - _PART) // 2
                    parts.append(np.array(image.convert("RGB"))[top : top + _PART, left : left + _PART])
    if not parts:
        raise UserError(f"root={root} has no folders with images of {_PART} pixels and more.")
    return parts


def write_mosaics(folder: Path, parts: list[np.ndarray], size: str, options: Options) -> list[str]:
    """JPEG files `folder`/train/CLASS/*.jpg; their paths, sorted as the reader sorts them."""
    width, height = map(int, size.split("x"))
    across, down = -(-width // _PART), -(-height // _PART)
    for number in range(options.images):
        rows = [
            np.concatenate([parts[(number * 7 + row * across + k) % len(parts)] for k in range(across)], 1)
            for row in range(down)
        ]
        place = folder / "train" / f"class{number % _CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        whole = Image.fromarray(np.concatenate(rows)[:height, :width])
        whole.save(place / f"{number:05}.jpg", quality=options.quality)
    return sorted(map(str, folder.glob("train/*/*.jpg")))


def readers(folder: Path, paths: list[str], work: str) -> dict[str, Read]:
    """Reader in words -> position of an image -> its pixels, (3, 224, 224) uint8."""
    return {
        "ours": ours(Folder(root=str(folder), num_workers=0), work),
        "ours, shards": ours(packed(folder, None), work),
        "ours, shards of 256": ours(packed(folder, 256), work),
        **{f"torchvision, Pillow, {name}": with_pillow(paths, work, name) for name in ("bicubic", "bilinear")},
        **{f"torchvision.io, {name}": with_torchvision_io(paths, work, name) for name in ("bicubic", "bilinear")},
    }


def packed(folder: Path, resize: int | None) -> WebDataset:
    """The images of the folder in shards, which are written at the first call."""
    out = folder / f"shards{resize or ''}"
    pack(Folder(root=str(folder)), out, Packing(resize=resize, quality=90))
    return WebDataset(root=str(out), resize=256, num_workers=0)


def ours(source: FileSource, work: str) -> Read:
    """Our reader, as a worker process calls it."""
    data = build(
        source,
        augmentation=Augmentation(random_resized_crop=_AREA),
        validation=0,
    )
    data.allow_no_test()
    decoded = data.loader("train", batch_size=_BATCH, train=work == "train")._decoded
    epoch = [0]

    def read(position: int) -> Tensor:
        epoch[0] += position == 0
        return decoded[epoch[0], position]

    return read


def with_pillow(paths: list[str], work: str, interpolation: str) -> Read:
    """The usual loader of torchvision: Pillow decodes and scales."""
    transform = v2.Compose([crop(work, interpolation), v2.PILToTensor()])

    def read(position: int) -> Tensor:
        with open(paths[position], "rb") as file:
            image = Image.open(file).convert("RGB")
        return transform(image)

    return read


def with_torchvision_io(paths: list[str], work: str, interpolation: str) -> Read:
    """torchvision's own decoder, and its transforms of tensors."""
    transform = crop(work, interpolation)
    return lambda position: transform(decode_jpeg(read_file(paths[position]), mode=ImageReadMode.RGB))


def crop(work: str, interpolation: str) -> v2.Transform:
    """The work as torchvision has it."""
    how = {"interpolation": v2.InterpolationMode(interpolation), "antialias": True}
    if work == "train":
        return v2.RandomResizedCrop(224, scale=_AREA, **how)
    return v2.Compose([v2.Resize(256, **how), v2.CenterCrop(224)])


def measure(read_by: dict[str, Read], options: Options) -> list[dict[str, Any]]:
    """A row for each reader, with all its rates."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in read_by}
    for repeat in range(options.repeats + 1):
        for name, read in read_by.items():
            started = time.process_time(), time.perf_counter()
            for first in range(0, options.images, _BATCH):
                torch.stack([read(k) for k in range(first, min(first + _BATCH, options.images))])
            seconds = time.process_time() - started[0], time.perf_counter() - started[1]
            if repeat:  # the first one warms up
                rates[name].append((options.images / seconds[0], options.images / seconds[1]))
    first = [statistics.median(column) for column in zip(*next(iter(rates.values())), strict=True)]
    return [
        {
            "reader": name,
            "cpu": [cpu for cpu, _ in pairs],
            "wall": [wall for _, wall in pairs],
            "cpu_ratio": statistics.median(cpu for cpu, _ in pairs) / first[0],
            "wall_ratio": statistics.median(wall for _, wall in pairs) / first[1],
            "load": os.getloadavg()[0],
        }
        for name, pairs in rates.items()
    ]


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    cpu = f"{statistics.median(row['cpu']):,.0f} [{min(row['cpu']):,.0f}, {max(row['cpu']):,.0f}]"
    wall = f"{statistics.median(row['wall']):>7,.0f} {row['wall_ratio']:>6.2f}"
    return (
        f"{row['files']:>9} {row['work']:>9} {row['reader']:>27} {cpu:>22} {row['cpu_ratio']:>6.2f} {wall} "
        f"{row['load']:>5.1f}"
    )


if __name__ == "__main__":
    bench_images()
