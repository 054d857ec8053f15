"""The logger `figures`: every picture that a run shows, as files for a page or a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.figure import Figure

from hybrid.errors import UserError
from hybrid.reports.style import save_figure

if TYPE_CHECKING:
    import torch

    from hybrid.runs.loggers import LoggedRun

_PIXELS_PER_INCH = 100


class Figures:
    """Files NAME.svg, NAME.pdf or NAME.png in loggers/figures/ of the run's folder; a later step's takes an earlier one's place.

    The names are those that TensorBoard shows: test/confusion, test/most_confident_mistakes, analysis/boundary …

    Args:
        formats: of the files.
    """

    vector = True  # a drawn figure comes as it is, not as its pixels

    def __init__(self, *, formats: Sequence[Literal["png", "svg", "pdf"]] = ("svg",)) -> None:
        if not formats:
            raise UserError("loggers.figures.formats is empty: nothing would be written. Valid: png, svg, pdf.")
        self._formats = tuple(formats)

    def open(self, run: LoggedRun) -> None:
        self._folder: Path = run.own / "figures"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: numbers are no pictures."""

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        from torchvision.utils import make_grid

        pixels = make_grid(images, nrow=8, padding=2, pad_value=1.0).permute(1, 2, 0).clamp(0, 1).numpy()
        height, width = pixels.shape[:2]
        figure = Figure(figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(pixels, interpolation="nearest")
        axes.set_axis_off()
        self.figure(step, name, figure)

    def figure(self, step: int, name: str, figure: Any) -> None:
        save_figure(figure, self._folder / name, self._formats)
