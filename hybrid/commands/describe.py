"""Print a model layer by layer: output shapes, parameters, multiply-accumulates (MACs), depth.

    hybrid describe model=scat_resnet data=cifar10
    hybrid describe model=scat_wrn model.head.k=16 data=cifar10
    hybrid describe model=scat_resnet data=imagenet num_classes=1000
    hybrid describe model=scat_linear image_shape=[1,28,28] num_classes=10

No images are read: the size of the images and the number of classes are those that the data set declares.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.entry import main
from hybrid.configuration.instantiate import checked
from hybrid.errors import UserError
from hybrid.ranges import Side, Width

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.data import Data
    from hybrid.models.describe import Description


@main("describe")
def describe(cfg: DictConfig) -> None:
    """Build the model and print its table."""
    from hybrid.configuration.from_config import model_from

    shape, classes = image_shape_and_classes(cfg)
    from hybrid.models import describe as describe_model  # now: a wrong data set is said without torch
    from hybrid.models.describe import sizing

    model = model_from(cfg.model, image_shape=shape, num_classes=classes)
    size = "x".join(map(str, shape))
    chosen = f" ({words})" if (words := sizing(model)) else ""
    show(describe_model(model), title=f"{cfg.choices.model} on {size}{chosen}, {classes} {_output_words(cfg)}")


def _output_words(cfg: DictConfig) -> str:
    """What the outputs are, as the data set declares it; a number from the command line is one of classes."""
    from hybrid.configuration.from_config import data_from
    from hybrid.data.tasks import OUTPUT_WORDS

    return OUTPUT_WORDS["classification" if cfg.num_classes else data_from(cfg.data, seed=0).source.task]


def image_shape_and_classes(cfg: DictConfig) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) and the number of classes: from the command line where given, else as the data set declares."""
    from hybrid.configuration.from_config import data_from

    given = OmegaConf.to_container(OmegaConf.masked_copy(cfg, ["image_shape"]), resolve=True)["image_shape"]
    if given is not None and (not isinstance(given, list) or len(given) != 3):
        raise UserError(f"image_shape={given} is not valid: it must be [channels, height, width].")
    shape = checked(given, tuple[Side, Side, Side] | None, path="image_shape")
    classes = checked(cfg.num_classes, Width | None, path="num_classes")
    if shape is None or classes is None:
        data = data_from(cfg.data, cfg.augmentation, seed=0)
        shape = data.image_shape if shape is None else shape
        classes = _known_classes(data) if classes is None else classes
    return tuple(shape), classes


def _known_classes(data: Data) -> int:
    try:
        return data.num_classes
    except UserError as error:
        raise UserError(f"{error} To describe the model without the files, give num_classes=…") from error


def show(description: Description, *, title: str) -> None:
    """Print the table and its totals, in colours on a terminal."""
    from hybrid.models.describe import table, totals

    rows = table(description)
    if not (sys.stdout.isatty() and _show_with_rich(rows, title)):
        print(title)
        _show_plain(rows)
    print(totals(description))


def _show_plain(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words, numbers = row[:3], row[3:]
        cells = [text.ljust(width) for text, width in zip(words, widths[:3], strict=True)]
        cells += [text.rjust(width) for text, width in zip(numbers, widths[3:], strict=True)]
        print("  ".join(cells).rstrip())


def _show_with_rich(rows: list[tuple[str, ...]], title: str) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    grid = Table(title=title, title_justify="left")
    for column, name in enumerate(rows[0]):
        grid.add_column(name, justify="right" if column > 2 else "left")
    for row in rows[1:]:
        grid.add_row(*row)
    Console().print(grid)
    return True
