"""TensorBoard's files: curves, pictures, and one line of hyper-parameters per run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from hybrid.files import naming
from hybrid.runs.tracker import SilentSink

# One chart for what belongs together, in the tab "Custom Scalars".
_LAYOUT = {
    "training and validation": {
        "loss": ["Multiline", ["train/loss", "validation/loss"]],
        "accuracy (%)": ["Multiline", ["train/top1", "validation/top1"]],
        "learning rate": ["Multiline", ["train/lr"]],
    },
    "layers": {
        "boundary points, k = 1 (%)": ["Multiline", ["Φ_boundary.nested_1/.*"]],
        "within / between class distance": ["Multiline", ["Φ_classes.ratio/.*"]],
        "contraction, same class": ["Multiline", ["Φ_contraction.same/.*"]],
        "contraction, different classes": ["Multiline", ["Φ_contraction.different/.*"]],
        "effective rank of a class": ["Multiline", ["Φ_spectra.effective_rank/.*"]],
    },
}


class TensorBoard(SilentSink):
    """Writes event files into a folder. On resume, what was logged after `resume_step` is hidden by TensorBoard's own means.

    TensorBoard sorts by name and opens the first groups. So that these are test and train, `speed/…` is called
    `train_speed/…` here, and `analysis/MEASURE/LAYER`, a group for each measure, `Φ_MEASURE/LAYER`.
    """

    def __init__(self, folder: Path, *, resume_step: int = 0, accuracy: bool = True) -> None:
        """accuracy: whether the run has one, for a chart of it."""
        from torch.utils.tensorboard import SummaryWriter

        again = folder.is_dir() and any(folder.iterdir())  # also a run that was killed before its first checkpoint
        purge_step = None if not again else resume_step + 1 if resume_step else 0
        threading.excepthook = _silent_for_tensorboard(threading.excepthook)
        self._folder = folder
        with naming(folder):
            self._writer = SummaryWriter(str(folder), purge_step=purge_step)
            self._writer.add_custom_scalars(_layout(accuracy))

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        with naming(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(_shown(name), value, step)

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        from torchvision.utils import make_grid

        with naming(self._folder):
            self._writer.add_image(name, make_grid(images, nrow=8, padding=2, pad_value=1.0), step)

    def figure(self, step: int, name: str, figure: Any) -> None:
        with naming(self._folder):
            self._writer.add_figure(name, figure, step)

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in settings.items()
        }
        # not writer.add_hparams: that makes a run of its own, and logs the numbers a second time, as curves of one point
        with naming(self._folder):
            for summary in hparams(plain, dict(values)):
                self._writer.file_writer.add_summary(summary)

    def flush(self) -> None:
        with naming(self._folder):
            self._writer.flush()

    def close(self) -> None:
        with naming(self._folder):
            self._writer.close()


def _layout(accuracy: bool) -> dict[str, Any]:
    charts = _LAYOUT["training and validation"]
    shown = {name: chart for name, chart in charts.items() if accuracy or not name.startswith("accuracy")}
    return {"training and validation": shown, **({"layers": _LAYOUT["layers"]} if accuracy else {})}


def _silent_for_tensorboard(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What its writing thread cannot write, the next call of the main thread raises again: no traceback of the thread."""
    return lambda failure: None if type(failure.thread).__name__ == "_AsyncWriterThread" else hook(failure)


def _shown(name: str) -> str:
    if name.startswith("speed/"):
        return f"train_{name}"
    if name.startswith("analysis/") and name.count("/") > 1:
        return f"Φ_{name.removeprefix('analysis/')}"
    return name
