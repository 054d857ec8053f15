"""TensorBoard's files: curves, pictures, and one line of hyper-parameters per run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hybrid.tracking.tracker import SilentSink


class TensorBoard(SilentSink):
    """Writes event files into a folder. On resume, what was logged after `resume_step` is hidden by TensorBoard's own means."""

    def __init__(self, folder: Path, *, resume_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        from torchvision.utils import make_grid

        self._writer.add_image(name, make_grid(images, nrow=8, padding=2, pad_value=1.0), step)

    def figure(self, step: int, name: str, figure: Any) -> None:
        self._writer.add_figure(name, figure, step)

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in settings.items()
        }
        # run_name="." keeps it in this run: the default makes a second run for every call
        self._writer.add_hparams(plain, {f"final/{name}": value for name, value in values.items()}, run_name=".")

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
