"""Pack image files into a few large ones, smaller if you like: shards of WebDataset, which data=webdataset reads.

    hybrid pack data=imagenet out=/data/shards resize=256 quality=90
    hybrid pack data=folder data.root=photos out=shards

Small files are slow to open on a network disk, and large photographs are slow to decode. Every image is decoded once, so that
damaged ones show here. An interrupted command goes on where it was. At the end it prints how to train on the shards.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig

from hybrid.configuration.entry import main
from hybrid.configuration.instantiate import checked
from hybrid.configuration.output_paths import check_folder
from hybrid.errors import UserError
from hybrid.escaping import say
from hybrid.ranges import Range

Resize = Annotated[int, Range(1, 16384)] | None
Quality = Annotated[int, Range(1, 100)]
Images = Annotated[int, Range(1, 1_000_000)]


@main("pack")
def pack(cfg: DictConfig) -> None:
    """Pack every part of the data set."""
    settings = {
        "resize": checked(cfg.resize, Resize, path="resize"),
        "quality": checked(cfg.quality, Quality, path="quality"),
        "images": checked(cfg.images, Images, path="images"),
    }
    if cfg.out is None:
        raise UserError("out is missing: give out=FOLDER, a new folder for the shards.")
    check_folder("out", str(cfg.out))
    # after the command line is read: a typo is answered without loading torch
    from hybrid.configuration.from_config import data_from
    from hybrid.data.indexed import IndexedSource
    from hybrid.data.sources import FileSource

    data = data_from(cfg.data, cfg.augmentation, seed=0)
    source, out = data.source, Path(str(cfg.out)).expanduser()
    if not isinstance(source, FileSource) or isinstance(source, IndexedSource):
        raise UserError(f"{data.name} has no image files of its own: hybrid pack is for data=folder and data=imagenet.")
    source.look_for_files()
    from hybrid.data.packing import Packing
    from hybrid.data.packing import pack as write

    data.prepare()
    write(source, out, Packing(**settings), tell=say)
    parts = [part for part in ("validation", "test") if any(out.glob(f"{part}-*.tar"))]
    words = [f"data.root={out}", *(f"data.{part}_shards={part}-*.tar" for part in parts)]
    words += [f"data.size={cfg.data.size}", f"data.resize={cfg.data.resize}", "data.shuffle=shards"]
    say(f"hybrid train data=webdataset {shlex.join(words)}")
