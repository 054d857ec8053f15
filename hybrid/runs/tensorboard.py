"""TensorBoard's files: curves, pictures, and one line of hyper-parameters per run."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid.escaping import for_markdown
from hybrid.files import naming
from hybrid.runs.folder import EVENTS
from hybrid.runs.tracker import SilentSink

# Charts of layers, in the tab "Custom Scalars".
_LAYERS = {
    "boundary points, k = 1 (%)": ["Multiline", ["Φ_boundary.nested_1/.*"]],
    "within / between class distance": ["Multiline", ["Φ_classes.ratio/.*"]],
    "contraction, same class": ["Multiline", ["Φ_contraction.same/.*"]],
    "contraction, different classes": ["Multiline", ["Φ_contraction.different/.*"]],
    "effective rank of a class": ["Multiline", ["Φ_spectra.effective_rank/.*"]],
}


class TensorBoard(SilentSink):
    """Writes event files into a folder. On resume, what was logged after `resume_step` is hidden by TensorBoard's own means.

    TensorBoard sorts by name and opens the first groups. So that these are test and train, `speed/…` is called
    `train_speed/…` here, and `analysis/MEASURE/LAYER`, a group for each measure, `Φ_MEASURE/LAYER`.

    A chart needs two points: the first number of a name waits for the second. Names that have one number at the end of the
    run, such as the results of the test, are in the table of runs (HParams) and in a table of the tab "Text".

    Args:
        folder: the run's own, whose name TensorBoard shows.
        earlier: the records up to `resume_step`, as `hybrid.runs.jsonl.read_metrics` gives them.
    """

    def __init__(self, folder: Path, *, resume_step: int = 0, earlier: Sequence[Mapping[str, Any]] = ()) -> None:
        from torch.utils.tensorboard import SummaryWriter

        again = any(folder.glob(EVENTS))  # also a run that was killed before its first checkpoint
        purge_step = None if not again else resume_step + 1 if resume_step else 0
        threading.excepthook = _silent_for_tensorboard(threading.excepthook)
        self._folder = folder
        self._drawn: set[str] = set()
        self._waiting: dict[str, tuple[int, float]] = {}
        self._layout: dict[str, Any] = {}
        with naming(folder):
            self._writer = SummaryWriter(str(folder), purge_step=purge_step)
        for record in earlier:
            for name, value in record.items():
                if name not in ("step", "epoch"):
                    self._points(name, record["step"], _float(value))

    def _points(self, name: str, step: int, value: float) -> list[tuple[int, float]]:
        """Return the points that this number adds to its chart: none for the first one, which waits, and two for the second."""
        if name in self._drawn:
            return [(step, value)]
        if name not in self._waiting:
            self._waiting[name] = step, value
            return []
        self._drawn.add(name)
        return [self._waiting.pop(name), (step, value)]

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        with naming(self._folder):
            for name, value in values.items():
                for place, number in self._points(name, step, value):
                    self._writer.add_scalar(_shown(name), number, place)
            self._lay_out()

    def _lay_out(self) -> None:
        """Say which charts the tab "Custom Scalars" has, whenever there are more; TensorBoard takes what was said last."""
        layout = _layout(self._drawn)
        if layout != self._layout:
            self._writer.add_custom_scalars(layout)
            self._layout = layout

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        framed = torch.nn.functional.pad(images, (1, 1, 1, 1), value=1.0)
        with naming(self._folder):
            self._writer.add_images(name, framed, step)  # eight beside one another

    def figure(self, step: int, name: str, figure: Any) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)  # the writer's add_figure would import pyplot
        canvas.draw()
        with naming(self._folder):
            self._writer.add_image(name, np.asarray(canvas.buffer_rgba())[..., :3], step, dataformats="HWC")

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        from torch.utils.tensorboard.summary import hparams

        # in brackets they are no settings, and stand before these, where the table shows them
        once = {f"({name})": value for name, value in values.items() if name not in self._drawn}
        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value)
            for key, value in {**once, **settings}.items()
        }
        # not writer.add_hparams: that makes a run of its own, and logs the numbers a second time, as curves of one point
        with naming(self._folder):
            for summary in hparams(plain, {name: value for name, value in values.items() if name in self._drawn}):
                self._writer.file_writer.add_summary(summary)
            if self._waiting:
                step = max(step for step, _ in self._waiting.values())
                self._writer.add_text(
                    "logged once", _table({name: value for name, (_, value) in self._waiting.items()}), step
                )

    def flush(self) -> None:
        with naming(self._folder):
            self._writer.flush()

    def abandon(self) -> None:
        """Nothing: a queue in which the interruption struck would be waited for without end."""

    def close(self) -> None:
        with naming(self._folder):
            self._writer.close()


def _silent_for_tensorboard(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What its writing thread cannot write, the next call of the main thread raises again: no traceback of the thread."""
    return lambda failure: None if type(failure.thread).__name__ == "_AsyncWriterThread" else hook(failure)


def _shown(name: str) -> str:
    if name.startswith("speed/"):
        return f"train_{name}"
    if _is_of_layer(name):
        return f"Φ_{name.removeprefix('analysis/')}"
    return name


def _layout(names: Collection[str]) -> dict[str, Any]:
    """Put training and validation into one chart for each number of validation, and all layers into one for each measure."""
    numbers = sorted({name.split("/", 1)[1] for name in names if name.startswith("validation/")})
    pairs = {
        _title(number): ["Multiline", [f"train/{number}", f"validation/{number}"]] for number in numbers or ["loss"]
    }
    layers = {
        title: chart
        for title, chart in _LAYERS.items()
        if any(_shown(name).startswith(chart[1][0].removesuffix(".*")) for name in names)
    }
    parts = {"training and validation": {**pairs, "learning rate": ["Multiline", ["train/lr"]]}, "layers": layers}
    return {title: charts for title, charts in parts.items() if charts} if names else {}


def _title(number: str) -> str:
    return {"top1": "accuracy (%)", "top5": "top-5 accuracy (%)"}.get(number, number.replace("_", " "))


def _float(value: float | None) -> float:
    return math.nan if value is None else value


def _table(numbers: Mapping[str, float]) -> str:
    """Write a Markdown table; of layers it says where their numbers are."""
    rows = [f"| {for_markdown(name)} | {value:.6g} |" for name, value in numbers.items() if not _is_of_layer(name)]
    layers = (
        ["", "Numbers of the layers: analysis/step-….csv in the run's folder."]
        if any(map(_is_of_layer, numbers))
        else []
    )
    return "\n".join(["| number | value |", "| --- | --- |", *rows, *layers])


def _is_of_layer(name: str) -> bool:
    return name.startswith("analysis/") and name.count("/") > 1
