"""One log call, several sinks: metrics.jsonl, TensorBoard, the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # reading a run's records needs no torch
    import torch


class Sink(Protocol):
    """Somewhere that records go. `figures` may be ignored by sinks that cannot show them.

    vector: whether it wants a figure that was drawn already as matplotlib has it, and not its pixels.
    """

    vector: bool

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None: ...

    def images(self, step: int, name: str, images: torch.Tensor) -> None: ...

    def figure(self, step: int, name: str, figure: Any) -> None: ...

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class SilentSink:
    """A sink that ignores everything: the base of those that record only some kinds."""

    vector: bool = False

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Numbers of one step; `epoch` is the fraction of epochs done."""

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        """Images (N, C, H, W) in [0, 1]."""

    def figure(self, step: int, name: str, figure: Any) -> None:
        """A matplotlib figure."""

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """The end of a run: the settings it was made with, and which of the logged numbers are its results."""

    def flush(self) -> None:
        """Everything logged so far is on the disk."""

    def close(self) -> None:
        """No more records."""

    def abandon(self) -> None:
        """No more records, after an interruption that may have struck within a call of this sink. It must not wait."""
        self.close()


class Tracker:
    """Hands every record to every sink; as a context manager it closes them at the end."""

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Log numbers (name, value) of one step."""
        for sink in self.sinks:
            sink.scalars(step, epoch, values)

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        """Log images (N, C, H, W) in [0, 1]."""
        for sink in self.sinks:
            sink.images(step, name, images)

    def figure(self, step: int, name: str, figure: Any, *, drawn: torch.Tensor | None = None) -> None:
        """Log a matplotlib figure; drawn: its pixels (1, C, H, W) in [0, 1], where it was drawn already, which takes longest."""
        for sink in self.sinks:
            if drawn is None or sink.vector:
                sink.figure(step, name, figure)
            else:
                sink.images(step, name, drawn)

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Log a run's settings and results, once, at its end; the results are under the names that they were logged by."""
        for sink in self.sinks:
            sink.results(settings, values)

    def flush(self) -> None:
        """Put everything logged so far on the disk: a checkpoint may follow."""
        for sink in self.sinks:
            sink.flush()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for sink in self.sinks:
            sink.abandon() if kind is not None and issubclass(kind, KeyboardInterrupt) else sink.close()
