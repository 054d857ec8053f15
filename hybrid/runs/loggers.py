"""Where a run's records go beside metrics.jsonl: `loggers=[tensorboard, csv, figures, wandb, mlflow]`, or a class of one's own.

    'loggers=[csv,{wandb: {project: textures, mode: offline}}]'       loggers=[my_loggers.Mine]

A logger is an object with a method `log(step, values)`. The others of `Logger` may be missing. On several processes the first
one alone logs. metrics.jsonl stays the truth: a logger that fails while the run trains is left out from there on, with a
warning. Loggers do not count among the run's settings, so they can be changed when a run goes on.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import ListConfig, OmegaConf

from hybrid.configuration.instantiate import class_path, instantiate_each
from hybrid.errors import UserError, first_line
from hybrid.files import write_text
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.tracker import SilentSink

if TYPE_CHECKING:
    import torch

LOGGERS = {
    "tensorboard": "tensorboard",  # hybrid.runs.tensorboard, which a run opens itself
    "csv": "hybrid.runs.loggers.Csv",
    "figures": "hybrid.reports.figure_files.Figures",
    "wandb": "hybrid.runs.wandb_logger.Wandb",
    "mlflow": "hybrid.runs.mlflow_logger.Mlflow",
}
_DEFAULT = ("tensorboard",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """What a logger is told of its run.

    Attributes:
        folder: the run's folder.
        own: a folder in it for the logger's own files; a run that begins again has an empty one.
        config: the whole configuration, as plain dicts and lists.
        resume_step: the step that the run goes on from; later records come again.
    """

    folder: Path
    own: Path
    config: Mapping[str, Any]
    resume_step: int


class Logger(Protocol):
    """Takes the records of a run. Its constructor takes the settings that the configuration has for it.

    vector: True for a logger that wants every figure as matplotlib has it. Others, for which it may be missing, get those
        that the run has drawn for its own folder as images.
    """

    vector: bool

    def open(self, run: LoggedRun) -> None:
        """The run's folder is there: connect, open files. An error here ends the run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step, name -> value, with "epoch" among them. A value may be infinite or NaN."""

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        """Images (N, C, H, W) in [0, 1]."""

    def figure(self, step: int, name: str, figure: Any) -> None:
        """A matplotlib figure."""

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """The end of a run: its main settings, and which of the logged numbers are its results."""

    def flush(self) -> None:
        """A checkpoint follows: everything that was logged must be safe."""

    def close(self) -> None:
        """No more records."""


class Loggers:
    """The loggers of a run's configuration, not opened yet. Raises UserError for one that is unknown or not installed.

    tensorboard: whether TensorBoard's files are written. pictures: whether somebody shows figures.
    """

    def __init__(self, items: ListConfig | Sequence[Any] | None = None, *, tensorboard: bool = True) -> None:
        items = _DEFAULT if items is None else items
        if isinstance(items, str) or not isinstance(items, Sequence):
            instantiate_each(items, path="loggers", names=LOGGERS)  # says that it is no list
        chosen = [OmegaConf.to_container(each) if OmegaConf.is_config(each) else each for each in items]
        others = [each for each in chosen if class_path(each, LOGGERS) != "tensorboard"]
        self.tensorboard = tensorboard and len(others) < len(chosen)
        self.others = instantiate_each(others, path="loggers", names=LOGGERS)
        for each in self.others:
            if not callable(getattr(each, "log", None)):
                raise UserError(f"loggers: {_name(each)} has no method log(step, values).")

    @property
    def pictures(self) -> bool:
        return self.tensorboard or any(hasattr(each, "figure") or hasattr(each, "images") for each in self.others)

    def open(self, run: LoggedRun) -> Iterable[LoggerSink]:
        """The sinks of all but TensorBoard, opened. Raises UserError for one that cannot be."""
        run.own.mkdir(exist_ok=True) if self.others else None
        return [LoggerSink(each, run) for each in self.others]


class LoggerSink(SilentSink):
    """A logger as a sink of the tracker."""

    def __init__(self, logger: Any, run: LoggedRun) -> None:
        self._logger: Any = logger
        if hasattr(logger, "open"):
            try:
                logger.open(run)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"loggers: {_name(logger)} cannot be opened: {first_line(error)[:300]}") from error

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        self._call("log", step, {"epoch": epoch, **values})

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        self._call("images", step, name, images)

    def figure(self, step: int, name: str, figure: Any) -> None:
        self._call("figure", step, name, figure)

    @property
    def vector(self) -> bool:
        return bool(getattr(self._logger, "vector", False))

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        self._call("results", settings, values)

    def flush(self) -> None:
        self._call("flush")

    def abandon(self) -> None:
        """Nothing: a queue in which the interruption struck would be waited for without end."""

    def close(self) -> None:
        self._call("close")

    def _call(self, method: str, *arguments: Any) -> None:
        if self._logger is None or not hasattr(self._logger, method):
            return
        try:
            getattr(self._logger, method)(*arguments)
        except Exception as error:  # whatever it is: hours of training are worth more than a second record of them
            name, self._logger = _name(self._logger), None
            reason = f"{type(error).__name__}: {first_line(error)[:200]}"
            warnings.warn(
                f"the logger {name} failed in {method} and is left out from here on; metrics.jsonl goes on. {reason}",
                stacklevel=2,
            )


class Csv:
    """loggers/metrics.csv in the run's folder: metrics.jsonl as a table, a column for each name. It follows every checkpoint."""

    def open(self, run: LoggedRun) -> None:
        self._source, self._table = run.folder / "metrics.jsonl", run.own / "metrics.csv"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: the records are read from metrics.jsonl."""

    def flush(self) -> None:
        records = read_metrics(self._source)
        text = io.StringIO()
        writer = csv.DictWriter(text, dict.fromkeys(name for record in records for name in record), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_text(self._table, text.getvalue())

    def close(self) -> None:
        self.flush()


def run_id(run: LoggedRun, file: str, make: Any) -> tuple[str, bool]:
    """The name under which a service knows the run, kept in the run's folder, and whether it is a new one."""
    path = run.own / file
    if path.is_file():
        return path.read_text().strip(), False
    name = make()
    write_text(path, name + "\n")
    return name, True


def require(module: str) -> None:
    """Raises UserError, with the command that helps, where a logger's package is not installed."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise UserError(f"loggers={module} needs a package: pip install 'hybrid-scattering[{module}]'.")


def _name(logger: Any) -> str:
    kind = type(logger)
    return f"{kind.__module__}.{kind.__qualname__}"
