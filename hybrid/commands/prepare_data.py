"""Fetch and check data sets before a run needs them, for example on a machine with a network.

    python scripts/prepare_data.py data=cifar10
    python scripts/prepare_data.py data=mnist,cifar10,stl10 data.root=/datasets

Reads every file (so a damaged one shows here), and prints where it is and whether its checksum is the official one.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded, main
from hybrid.configuration.from_config import data_from
from hybrid.data.files import is_official

_CONFIG = "prepare_data"


@main(_CONFIG)
def prepare(cfg: DictConfig) -> None:
    data = data_from(cfg.data, cfg.augmentation, seed=0)
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    print(f"{data.name}: {counts}; {data.num_classes} classes")
    for file in data.source.official_files():
        state = (
            "no checksum published" if file.md5 is None else "official" if is_official(file) else "not the official one"
        )
        print(f"  {file.path.absolute()}  {file.path.stat().st_size:,} bytes  checksum: {state}")


def prepare_each(arguments: list[str]) -> int:
    """`data=a,b` means one after the other; Hydra by itself would take it for a sweep."""
    names = [name for text in arguments if text.startswith("data=") for name in text.removeprefix("data=").split(",")]
    others = [text for text in arguments if not text.startswith("data=")]

    def each() -> None:
        for name in names:
            prepare.__wrapped__(compose([f"data={name}", *others], config_name=_CONFIG))

    return guarded(each, overrides=arguments, config_name=_CONFIG)


if __name__ == "__main__":
    if any(text.startswith("data=") and "," in text for text in sys.argv[1:]):
        sys.exit(prepare_each(sys.argv[1:]))
    prepare()
