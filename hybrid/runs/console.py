"""The progress of a run as the user sees it: a live bar on a terminal and in a notebook, plain lines in a log file."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from hybrid.escaping import for_terminal
from hybrid.runs.numbers import in_words
from hybrid.runs.tracker import SilentSink

Style = Literal["auto", "bar", "lines", "none"]


class Console(SilentSink):
    """Shows progress with the time that is left, and the numbers as they are logged."""

    def __init__(self, *, total_steps: int, total_epochs: float, start_step: int = 0, style: Style = "auto") -> None:
        self.total_steps, self.total_epochs, self.start_step = total_steps, total_epochs, start_step
        self.style = ("bar" if sys.stdout.isatty() or in_notebook() else "lines") if style == "auto" else style
        self._began, self._end = time.monotonic(), total_steps
        self._bar = self._make_bar() if self.style == "bar" else None

    def say(self, text: str) -> None:
        """One line, above the bar if there is one."""
        if self.style == "none":
            return
        text = "\n".join(map(for_terminal, text.split("\n")))
        if self._bar is not None:
            self._bar.say(text)
        else:
            print(text, flush=True)

    def advance(self, step: int) -> None:
        """The run has done `step` steps."""
        if self._bar is not None:
            self._bar.update(step)

    def end(self, step: int) -> None:
        """The run ends after `step` steps, be it the planned end or an earlier one: no time is left then."""
        self._end = step

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        text = "  ".join(filter(None, (_shown(name, value) for name, value in values.items())))
        if not text:
            return
        if self._bar is not None and "train/loss" in values:
            short = "  ".join(_shown(name, values[name]) for name in _BESIDE_THE_BAR if name in values)
            self._bar.update(step, short + self._left(step))
            return
        end = f"{self.total_epochs:.2f}".removesuffix(".00")
        place = f"epoch {epoch:6.2f}/{end}  step {step}/{self.total_steps}"
        self.say(f"{place}  {text}" + (self._left(step) if "train/loss" in values else ""))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _left(self, step: int) -> str:
        done = max(1, step - self.start_step)
        seconds = round((time.monotonic() - self._began) / done * (self._end - step))
        return f"  left {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def _make_bar(self) -> _TerminalBar | _NotebookBar:
        kind = _NotebookBar if in_notebook() else _TerminalBar
        return kind(self.total_steps, self.start_step)


class _TerminalBar:
    """A bar at the bottom of a terminal; lines are printed above it."""

    def __init__(self, total: int, done: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.fields[text]}")
        self._progress = Progress(*columns, refresh_per_second=4)
        self._task = self._progress.add_task("", total=total, completed=done, text="")
        self._progress.start()

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)  # a path stays whole

    def update(self, done: int, text: str | None = None) -> None:
        self._progress.update(self._task, completed=done, **({} if text is None else {"text": text}))

    def stop(self) -> None:
        self._progress.stop()


class _NotebookBar:
    """A bar in the output of a notebook's cell, redrawn at most four times a second; lines are printed below it."""

    def __init__(self, total: int, done: int) -> None:
        from IPython.display import display

        self._total, self._text, self._drawn = total, "", 0.0
        self._handle = display(self._picture(done), display_id=True)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def update(self, done: int, text: str | None = None) -> None:
        self._text = self._text if text is None else text
        if time.monotonic() - self._drawn > 0.25 or done == self._total:
            self._handle.update(self._picture(done))
            self._drawn = time.monotonic()

    def stop(self) -> None:
        """The last picture stays."""

    def _picture(self, done: int) -> Any:
        from IPython.display import HTML

        bar = f'<progress value="{done}" max="{self._total}" style="width: 12em"></progress>'
        return HTML(f"{bar} {done}/{self._total} {html.escape(self._text)}")


def in_notebook() -> bool:
    """Whether the process is the kernel of a notebook, whose output cells show HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


_FORMATS = {
    "train/loss": ("loss", "{:.4f}"),
    "train/top1": ("accuracy", "{:.2f} %"),
    "train/lr": ("lr", "{:.3g}"),
    "speed/images_per_second": ("", "{:.0f} images/s"),
}


# a terminal of 80 columns has room for these
_BESIDE_THE_BAR = ("train/loss", "train/top1", "speed/images_per_second")


def _shown(name: str, value: float) -> str:
    """A number for the console; nothing for those that are in the records alone, such as the accuracy of each class."""
    if name in _FORMATS:
        label, form = _FORMATS[name]
        return f"{label} {form.format(value)}".strip()
    split, _, number = name.partition("/")
    shown = split in ("validation", "test") and "/" not in number and number != "top5"
    return f"{split} {in_words(number, value)}" if shown else ""
