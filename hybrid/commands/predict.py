"""Predict the class of image files, their labels or their values, with a trained run.

    hybrid predict run=outputs/digits-scat_resnet-seed0-1a2b3c4d photo.png
    hybrid predict run=outputs/… holidays/ more.jpg top=3 out=predictions.csv
    hybrid predict run=outputs/… photos.npz:images

Folders are searched recursively. A file is decoded and brought to the run's image size and to grey or RGB as the test images
were: short side resized, centre cropped. Nothing else is changed: a network trained on white digits on black wants those.
A run of several labels an image gives the probability of each label, and one of values each value, in its own units.
The images of .npz, .npy and HDF5 files (FILE, or FILE:NAME for one of several arrays) are scaled as those of training were.
An unreadable image is reported on stderr and skipped; the exit code is 2 only if there was none to predict.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file, writing
from hybrid.configuration.trust import TRUST
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.prediction import Prediction, Unreadable

_USUAL = 5  # classes per image


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    images: tuple[str, ...] = option("image files, folders of them, and array files", positional=True)
    run: str = option("the run's folder")
    top: int | None = option("classes per image, the most probable first; null: 5, or all of fewer", default=None)
    out: str | None = option("write to this file, .csv or .json, instead of printing the table", default=None)
    weights: str | None = option(
        "which checkpoint: last, best or best-STEP; null: the one that the run tested", default=None
    )
    device: str = option("auto is the GPU if there is one; or cpu, cuda, cuda:1", default="auto")
    trust: tuple[str, ...] = option(TRUST, default=())
    batch_size: int = option("images at a time, which is also how many are in memory", default=64)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "top", "batch_size")
        if self.out is not None and Path(self.out).suffix not in (".csv", ".json"):
            raise UserError(f"out={self.out} is neither .csv nor .json.")
        check_file("out", self.out)


@command(Options)
def predict(options: Options) -> None:
    """Predict, and print or write the table."""
    from hybrid.training.restore import restore

    run = restore(options.run, weights=options.weights, device=options.device, download=False, trust=options.trust)
    from hybrid.export import Pipeline  # now: a wrong folder is said without torch
    from hybrid.prediction import predict as predict_files

    if options.top is not None and run.task != "classification":
        raise UserError(f"top={options.top} has no effect: the run is for {run.task}, and all its outputs are given.")
    predictions = predict_files(
        Pipeline(run.data.preprocessing, run.model).to(run.device),
        options.images,
        data=run.data,
        class_names=run.class_names,
        task=run.task,
        top=options.top or _USUAL,
        batch_size=options.batch_size,
        device=run.device,
        on_unreadable=_report,
    )
    about = {
        "top": min(options.top or _USUAL, run.model.num_classes),
        "task": run.task,
        "likelihood": run.likelihood,
    }
    _show(options, predictions, about)


def _report(unreadable: Unreadable) -> None:
    say(f"skipped: {unreadable.reason}", file=sys.stderr)


def _show(options: Options, predictions: Iterator[Prediction], about: dict[str, Any]) -> None:
    from hybrid.files import write_atomically
    from hybrid.prediction.tables import WRITERS, print_table

    predictions = _at_least_one(predictions, options.images)
    if options.out is None:
        print_table(predictions, ahead=options.batch_size, **about)
        return
    out, written = Path(options.out), []
    with writing("out", options.out):
        write_atomically(out, lambda file: written.append(WRITERS[out.suffix](file, predictions, **about)))
    say(f"{written[0]} predictions: {out}")


def _at_least_one(predictions: Iterator[Prediction], images: tuple[str, ...]) -> Iterator[Prediction]:
    first = next(predictions, None)
    if first is None:
        from hybrid.prediction.array_files import is_array

        what = "array of images that fits the run" if all(map(is_array, images)) else "readable image"
        raise UserError(f"no {what} in {', '.join(images[:5])}{' …' if len(images) > 5 else ''}.")
    yield first
    yield from predictions
