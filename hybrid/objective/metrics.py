"""Metrics of an evaluation: each is a function of the outputs and the labels of all images at once.

    metrics=[balanced_accuracy,calibration_error]          names of the table below
    metrics=[my_package.metrics.kappa]                     a function of one's own, or a class without arguments
    metrics=[{_target_: my_package.metrics.Cost, miss: 5}] a class of one's own with its arguments

A metric of one's own is called with outputs (N, K), as the network gives them, and labels, as `hybrid.data.tasks` has them,
both on the CPU, and returns a number, or a dictionary of names and numbers. An attribute `higher_is_better = False` says that
less is better. The metrics of torchmetrics are such classes.

All images are evaluated before a metric is computed, on rank 0, in the order of the data set: of several ranks the result is
that of one. Accuracies are in %, all other numbers as their library gives them.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.configuration import instantiate
from hybrid.configuration.instantiate import located
from hybrid.data import Task
from hybrid.errors import UserError, unknown_name
from hybrid.lazy import LazyModule
from hybrid.runs.numbers import smaller_is_better

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_BINS = 15  # of the calibration error, as in its paper
_TOP = 5  # classes
_FEW = 32  # images that a metric of one's own is tried on
Function = Callable[["Tensor", "Tensor"], Any]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of an evaluation.

    Attributes:
        name: its name in the records.
        compute: outputs (N, K) and labels of all images -> a number, or numbers in the order of the classes.
        tasks: what it is for.
        higher_is_better: whether more is better.
        own: whether it is a class path of the user's, which may give a dictionary.
    """

    name: str
    compute: Function
    tasks: tuple[Task, ...] = ("classification", "multilabel", "regression")
    higher_is_better: bool = True
    own: bool = False

    def numbers(self, outputs: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, float]:
        """Name -> number. Several numbers have a name each, such as per_class/cat."""
        if hasattr(self.compute, "reset"):  # a metric of torchmetrics keeps what it has seen
            self.compute.reset()
        found = self.compute(outputs, labels)
        if isinstance(found, Mapping):
            return {f"{self.name}/{key}": float(value) for key, value in found.items()}
        values = np.asarray(found, dtype=np.float64)
        if values.ndim == 0:
            return {self.name: float(values)}
        if values.shape != (len(names),):
            raise ValueError(f"it gives numbers of shape {values.shape}")
        return {f"{self.name}/{name}": float(value) for name, value in zip(names, values, strict=True)}


def read_metrics(entries: Sequence[Any]) -> tuple[Metric, ...]:
    """The metrics that a list of names, class paths and sections with a `_target_` asks for.

    Raises UserError for an unknown name, a class path that cannot be imported, and a name that comes twice.
    """
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise UserError(f"metrics={entries} is not valid: it is a list, such as metrics=[balanced_accuracy].")
    metrics = tuple(_read(entry, position) for position, entry in enumerate(entries))
    names = [metric.name for metric in metrics]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"metrics: {twice} is given twice.")
    return metrics


def known(name: str) -> Metric | None:
    """The metric of hybrid's own with this name."""
    return _OURS.get(name)


def names_for(task: Task, outputs: int) -> list[str]:
    """The names of hybrid's own metrics that say something about a task with this number of outputs."""
    return [name for name, metric in _OURS.items() if task in metric.tasks and (name != "top5" or outputs > _TOP)]


def check_metric(metric: Metric, *, task: Task, outputs: int, labels: Tensor, names: Sequence[str]) -> list[str]:
    """The names of its numbers. Raises UserError unless it fits the task; one of the user's own is tried on some labels."""
    if task not in metric.tasks:
        valid = ", ".join(names_for(task, outputs))
        raise UserError(f"metrics: {metric.name} does not fit the data, which are for {task}. Valid here: {valid}.")
    if metric.name == "top5" and outputs <= _TOP:
        raise UserError(f"metrics: top5 says nothing with {outputs} classes: every image is among the best five.")
    if not metric.own:
        return [f"per_class/{name}" for name in names] if metric.name == "per_class" else [metric.name]
    few = labels[:_FEW]
    random = torch.Generator().manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(metric.numbers(torch.randn(len(few), outputs, generator=random), few, names))
    except Exception as error:  # whatever the user's own function raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"metrics: {metric.name} fails on outputs ({len(few)}, {outputs}) and labels {tuple(few.shape)}: {reason}"
        ) from error


def _read(entry: Any, position: int) -> Metric:
    where = f"metrics[{position}]"
    if isinstance(entry, Mapping):
        return _own(instantiate(entry, path=where), str(entry.get("_target_")))
    if not isinstance(entry, str):
        raise UserError(f"{where}={entry} is not valid: it is a name, a class path, or a section with a _target_.")
    if "." not in entry:
        if entry not in _OURS:
            raise unknown_name(entry, _OURS, what="metric")
        return _OURS[entry]
    if inspect.isclass(found := located(entry, path=where)):
        return _own(instantiate({"_target_": entry}, path=where), entry)
    return _own(found, entry)


def _own(function: Any, target: str) -> Metric:
    if not callable(function):
        raise UserError(f"metrics: a {type(function).__name__} cannot be called with (outputs, labels).")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rpartition(".")[2]).lower()
    if name in _OURS or name in ("loss", "top1"):
        raise UserError(f"metrics: {target} would have the name of hybrid's own {name}: give it another name.")
    higher = getattr(function, "higher_is_better", True)
    return Metric(name=name, compute=function, higher_is_better=higher is not False, own=True)


# --- hybrid's own. `sklearn.metrics` is imported when the first of them is computed: it takes a second.


def _classes(outputs: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(true, predicted) classes."""
    return labels.numpy(), outputs.argmax(1).numpy()


def _probabilities(outputs: Tensor, labels: Tensor) -> np.ndarray:
    """(N, K) in 0..1: of the classes of an image, or of each of its labels."""
    logits = outputs.double()
    return (logits.sigmoid() if labels.is_floating_point() else logits.softmax(1)).numpy()


def _one_by_one(outputs: Tensor, labels: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """(whether an image is of it, its probability) for each class or label that some images have, and others have not."""
    whole = labels.numpy() if labels.is_floating_point() else np.eye(outputs.shape[1])[labels.numpy()]
    pairs = zip(whole.T, _probabilities(outputs, labels).T, strict=True)
    return [(true, score) for true, score in pairs if 0 < true.sum() < len(true)]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _recalls(outputs: Tensor, labels: Tensor) -> np.ndarray:
    """(K,) the share of each class's images that are found, in %; NaN for a class without images."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(*_classes(outputs, labels), labels=range(outputs.shape[1]))
    images = counts.sum(1)
    return 100 * counts.diagonal() / np.where(images > 0, images, math.nan)


def _balanced_accuracy(outputs: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import recall_score

    true, predicted = _classes(outputs, labels)
    return 100 * recall_score(true, predicted, labels=np.unique(true), average="macro")


def _f1(outputs: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import f1_score

    if labels.is_floating_point():
        true, predicted = labels.numpy(), (outputs > 0).numpy()
        return f1_score(true, predicted, average="macro", zero_division=0)
    true, predicted = _classes(outputs, labels)
    return f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)


def _auc(outputs: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    return _mean([roc_auc_score(true, score) for true, score in _one_by_one(outputs, labels)])


def _average_precision(outputs: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import average_precision_score

    return _mean([average_precision_score(true, score) for true, score in _one_by_one(outputs, labels)])


def _calibration_error(outputs: Tensor, labels: Tensor) -> float:
    """In %: the mean over 15 bins of |accuracy - confidence|, weighted by their images (Guo et al. 2017, equation 3)."""
    true, predicted = _classes(outputs, labels)
    confidence = _probabilities(outputs, labels).max(1)
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, weights=(true == predicted) - confidence, minlength=_BINS)
    return 100 * float(np.abs(gaps).sum()) / len(true)


def _exact_match(outputs: Tensor, labels: Tensor) -> float:
    from sklearn.metrics import accuracy_score

    return 100 * accuracy_score(labels.numpy(), (outputs > 0).numpy())


def _top5(outputs: Tensor, labels: Tensor) -> float:
    best = outputs.topk(min(5, outputs.shape[1]), dim=1).indices
    return 100 * (best == labels[:, None]).any(1).double().mean().item()


def _of_values(name: str, outputs: Tensor, labels: Tensor) -> float:
    import sklearn.metrics

    if name == "r2_score" and len(labels) < 2:
        return math.nan
    return getattr(sklearn.metrics, name)(labels.double().numpy(), outputs.double().numpy())


def _ours(name: str, compute: Function, *tasks: Task) -> tuple[str, Metric]:
    return name, Metric(name=name, compute=compute, tasks=tasks, higher_is_better=not smaller_is_better(name))


_OURS = dict(
    [
        _ours("top5", _top5, "classification"),
        _ours("balanced_accuracy", _balanced_accuracy, "classification"),
        _ours("per_class", _recalls, "classification"),
        _ours("calibration_error", _calibration_error, "classification"),
        _ours("f1", _f1, "classification", "multilabel"),
        _ours("auc", _auc, "classification", "multilabel"),
        _ours("average_precision", _average_precision, "classification", "multilabel"),
        _ours("exact_match", _exact_match, "multilabel"),
        _ours("mean_absolute_error", functools.partial(_of_values, "mean_absolute_error"), "regression"),
        _ours("root_mean_squared_error", functools.partial(_of_values, "root_mean_squared_error"), "regression"),
        _ours("r2", functools.partial(_of_values, "r2_score"), "regression"),
    ]
)
