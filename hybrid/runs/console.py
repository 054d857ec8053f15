"""What the user sees while it runs: a live bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Literal

from hybrid.runs.tracker import SilentSink

Style = Literal["auto", "bar", "lines", "none"]


class Console(SilentSink):
    """Shows progress with the time that is left, and the numbers as they are logged."""

    def __init__(self, *, total_steps: int, total_epochs: float, start_step: int = 0, style: Style = "auto") -> None:
        self.total_steps, self.total_epochs, self.start_step = total_steps, total_epochs, start_step
        self.style = ("bar" if sys.stdout.isatty() else "lines") if style == "auto" else style
        self._began = time.monotonic()
        self._bar = self._make_bar() if self.style == "bar" else None

    def say(self, text: str) -> None:
        """One line, above the bar if there is one."""
        if self.style == "none":
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)  # a path stays whole
        else:
            print(text, flush=True)

    def advance(self, step: int) -> None:
        """The run has done `step` steps."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        text = "  ".join(_shown(name, value) for name, value in values.items() if name in _FORMATS)
        if not text:
            return
        if self._bar is not None and "train/loss" in values:
            short = "  ".join(_shown(name, values[name]) for name in _BESIDE_THE_BAR if name in values)
            self._bar.update(self._task, completed=step, text=short)
            return
        end = f"{self.total_epochs:.2f}".removesuffix(".00")
        place = f"epoch {epoch:6.2f}/{end}  step {step}/{self.total_steps}"
        self.say(f"{place}  {text}" + (f"  left {self._left(step)}" if "train/loss" in values else ""))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _left(self, step: int) -> str:
        done = max(1, step - self.start_step)
        seconds = round((time.monotonic() - self._began) / done * (self.total_steps - step))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def _make_bar(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"), refresh_per_second=4,
        )  # fmt: skip
        self._task = bar.add_task("", total=self.total_steps, completed=self.start_step, text="")
        bar.start()
        return bar


_FORMATS = {
    "train/loss": ("loss", "{:.4f}"),
    "train/top1": ("accuracy", "{:.2f} %"),
    "train/lr": ("lr", "{:.3g}"),
    "speed/images_per_second": ("", "{:.0f} images/s"),
    "validation/loss": ("validation loss", "{:.4f}"),
    "validation/top1": ("validation accuracy", "{:.2f} %"),
    "test/loss": ("test loss", "{:.4f}"),
    "test/top1": ("test accuracy", "{:.2f} %"),
}


# a terminal of 80 columns has room for these
_BESIDE_THE_BAR = ("train/loss", "train/top1", "speed/images_per_second")


def _shown(name: str, value: float) -> str:
    label, form = _FORMATS[name]
    return f"{label} {form.format(value)}".strip()
