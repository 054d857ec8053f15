"""Fetch and check data sets before a run needs them, for example on a machine with a network.

    hybrid prepare-data data=cifar10
    hybrid prepare-data data=mnist,cifar10,stl10 data.root=/datasets

Reads every file (so a damaged one shows here), and prints where it is and whether its checksum is the official one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from omegaconf import DictConfig

from hybrid.configuration.entry import main


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
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    print(f"{data.name}: {counts}; {data.num_classes} classes")
    for file in data.source.official_files():
        state = (
            "no checksum published" if file.md5 is None else "official" if is_official(file) else "not the official one"
        )
        print(f"  {file.path.absolute()}  {file.path.stat().st_size:,} bytes  checksum: {state}")
