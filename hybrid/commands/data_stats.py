"""Describe a data set: images per class and split, mean and standard deviation of the pixels, sizes, a contact sheet.

    hybrid data-stats data=cifar10
    hybrid data-stats data=folder data.root=photos out=photos.png

The mean and standard deviation are those of the images that train (data.normalize wants them in 0..1), as evaluation sees
them: resized and cropped, not augmented.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.entry import main
from hybrid.configuration.instantiate import checked
from hybrid.configuration.output_paths import check_file, writing
from hybrid.configuration.resolvers import folder
from hybrid.errors import unknown_name
from hybrid.escaping import for_terminal, say
from hybrid.ranges import Range, Seed

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.data import Data

Columns = Annotated[int, Range(1, 1000)]
_SHEETS = (".png", ".svg", ".pdf", ".jpg", ".jpeg")


@main("data_stats")
def data_stats(cfg: DictConfig) -> None:
    """Count, print, draw."""
    from hybrid.configuration.from_config import data_from

    checked(cfg.columns, Columns, path="columns")
    checked(cfg.seed, Seed, path="seed")
    OmegaConf.update(cfg, "data.normalize", "none", merge=False)
    data = data_from(cfg.data, cfg.augmentation, seed=cfg.seed)
    data.source.look_for_files()
    from hybrid.data.checks import oddities  # now: the files are there, and torch is loaded for them
    from hybrid.data.statistics import contact_sheet

    data.allow_no_test()
    out = Path(cfg.out or Path(folder("HYBRID_OUTPUTS", "outputs")) / "data" / f"{data.name}.png")
    check_file("out", str(out), endings=_SHEETS, makes_folder=True)
    if cfg.split not in data.splits:
        raise unknown_name(cfg.split, data.splits, what=f"split of {data.name}")
    if data.task == "regression":
        _print_values(data)
    else:
        _print_counts(data)
    _print_pixels(data)
    if "test" not in data.splits:
        print(
            "note  no test images of its own: a run needs data.test=0.2, or data.folds=5 data.fold=0, or data.per_class=10"
        )
    for line in oddities(data):
        say(f"note  {line}")
    with writing("out", str(out)):
        contact_sheet(data, out, split=cfg.split, columns=cfg.columns)
    say(f"contact sheet  {out.absolute()}")


def _print_counts(data: Data) -> None:
    from hybrid.data.statistics import class_counts

    counts, names = class_counts(data), [for_terminal(name) for name in data.class_names]
    kind = "class" if data.task == "classification" else "label"
    width = max(len(kind), *map(len, names))
    print(f"{kind:<{width}}" + "".join(f"{name:>12}" for name in counts))
    for label, name in enumerate(names):
        print(f"{name:<{width}}" + "".join(f"{count[label]:>12,}" for count in counts.values()))
    print(f"{'all':<{width}}" + "".join(f"{len(split):>12,}" for split in data.splits.values()))


def _print_values(data: Data) -> None:
    from hybrid.data.statistics import value_ranges

    names = [for_terminal(name) for name in data.class_names]
    width = max(len("value"), *map(len, names))
    print(f"{'value':<{width}}  {'split':<10}" + "".join(f"{word:>12}" for word in ("least", "mean", "std", "largest")))
    for split, ranges in value_ranges(data).items():
        for name, numbers in zip(names, ranges, strict=True):
            print(f"{name:<{width}}  {split:<10}" + "".join(f"{number:>12.5g}" for number in numbers))
    print(
        f"{'all':<{width}}  " + ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items()) + " images"
    )


def _print_pixels(data: Data) -> None:
    from hybrid.data.statistics import file_sizes, pixel_statistics
    from hybrid.data.stored import FileSplit

    pixels = pixel_statistics(data.loader("train", batch_size=256))
    for name, values in (("mean", pixels.mean), ("std", pixels.std)):
        small, large = ", ".join(f"{v:.4f}" for v in values), ", ".join(f"{v * 255:.1f}" for v in values)
        print(f"{name:<5} [{small}] of 1, [{large}] of 255")
    channels, height, width = data.image_shape
    print(f"size  {width} x {height}, {channels} channel{'s' if channels > 1 else ''}")
    if isinstance(data.splits["train"], FileSplit) and Path(data.splits["train"].paths[0]).is_file():
        sizes = ", ".join(f"{w} x {h}" for w, h in file_sizes(data.splits["train"]))
        print(f"files {sizes} (smallest, median, largest width x height)")
