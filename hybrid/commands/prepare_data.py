"""Fetch and check data sets before a run needs them, for example on a machine with a network.

    hybrid prepare-data data=cifar10
    hybrid prepare-data data=mnist,cifar10,stl10 data.root=/datasets

Reads every file, and decodes every image of every split, so that damaged ones show here; images=false leaves that out. It
prints where published files are and whether their checksums are the official ones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig

from hybrid.configuration.entry import main
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.data import Data


def prepare_data(arguments: Sequence[str] | None = None) -> NoReturn:
    """Prepare the data sets that the arguments name; `data=a,b` is one after the other, also without -m."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    several = any(text.startswith("data=") and "," in text for text in given)
    _prepare(["-m", *given] if several and "-m" not in given else given)


@main("prepare_data")
def _prepare(cfg: DictConfig) -> None:
    # after the command line is read: a typo is answered without loading torch
    from hybrid.configuration.from_config import data_from
    from hybrid.data.files import is_official

    data = data_from(cfg.data, cfg.augmentation, seed=0)
    data.source.look_for_files()
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    say(f"{data.name}: {counts}; {data.num_classes} classes")
    _check_images(data, decode=cfg.images)
    for file in data.source.official_files():
        state = (
            "no checksum published" if file.md5 is None else "official" if is_official(file) else "not the official one"
        )
        say(f"  {file.path.absolute()}  {file.path.stat().st_size:,} bytes  checksum: {state}")


def _check_images(data: Data, *, decode: bool) -> None:
    """Print every image that cannot be read. Raises UserError at the end if there is one."""
    from hybrid.data.sources import FileSource
    from hybrid.data.stored import FileSplit

    splits = [split for split in data.splits.values() if isinstance(split, FileSplit)]
    if not decode or not isinstance(data.source, FileSource) or not splits:
        return
    paths = [path for split in splits for path in split.paths]
    damaged = data.source.unreadable(paths)
    for fault in damaged.values():
        say(f"  {fault}")
    if damaged:
        raise UserError(
            f"{data.name}: {len(damaged)} of {len(paths)} images cannot be read. Replace them, or leave them out with "
            "data.skip_unreadable=true."
        )
    print(f"  all {len(paths):,} images can be read")
