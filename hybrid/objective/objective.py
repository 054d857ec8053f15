"""What a run learns and how it is judged: its task, loss and metrics, and the number that says which weights are best."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from hybrid.configuration.instantiate import instantiate, signature_of
from hybrid.data import Data, Task
from hybrid.errors import UserError, unknown_name
from hybrid.objective.losses import Standardized, check_loss, for_evaluation
from hybrid.objective.metrics import Metric, check_metric, known, names_for, read_metrics

Likelihood = Literal["probability", "score"]
_ALWAYS: dict[Task, tuple[str, ...]] = {
    "classification": (),  # the accuracies of `hybrid.training.evaluation`
    "multilabel": ("average_precision",),
    "regression": ("mean_absolute_error", "r2"),
}
_OF_VALUES = 20.0  # 2 / 0.1
_FEW = 2  # images that a loss is tried on
_OF_PROBABILITIES = ("CrossEntropyLoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss")  # of torch.nn
_MOST = 10_000  # numbers of a loss that are recorded


@dataclass(frozen=True, kw_only=True)
class Best:
    """The number of an evaluation that says which weights are best."""

    name: str = "top1"
    higher_is_better: bool = True

    def rank(self, numbers: Mapping[str, float]) -> float:
        """Smaller is better; a number that is not there, or is not finite, comes last."""
        value = numbers.get(self.name, float("nan"))
        return float("inf") if value != value else -value if self.higher_is_better else value


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is learnt and how it is judged.

    Attributes:
        task: what the labels are (`hybrid.data.tasks`).
        loss: of a training step (`hybrid.objective.losses`), on the model's device.
        metrics: of an evaluation, beside the loss and, of classes, the accuracies that it always has.
        best: which weights are best.
        numbers: the numbers of an evaluation, and whether more is better of each.
        names: one for each output.
        name: what the loss is called, for people.
        likelihood: what the softmax or sigmoid of the outputs is, `likelihood_of` the loss.
    """

    task: Task = "classification"
    loss: nn.Module = field(default_factory=functools.partial(nn.CrossEntropyLoss, reduction="sum"))
    metrics: tuple[Metric, ...] = ()
    best: Best = Best()
    numbers: Mapping[str, bool] = field(default_factory=lambda: {"loss": False, "top1": True})
    names: tuple[str, ...] = ()
    name: str = "cross_entropy"
    likelihood: Likelihood = "probability"

    @property
    def evaluation_loss(self) -> nn.Module:
        """A copy of the loss, as it is now, that gives one number for each image if it can, without label smoothing."""
        return for_evaluation(self.loss)

    @property
    def units(self) -> tuple[Tensor, Tensor] | None:
        """The mean and standard deviation of each value, where the loss standardises them."""
        return getattr(self.loss, "units", None)

    @property
    def curvature(self) -> float:
        """The second derivative of the loss by an output, over that of the cross-entropy, in round numbers.

        It is 2 for the squared error of standardised values, and p (1 - p) for the cross-entropy, about 0.1 for the ten
        classes on which the heads' learning rates were measured. Other losses of values are taken as the squared error.
        """
        return _OF_VALUES if self.task == "regression" else 1.0

    def record(self) -> dict[str, Any]:
        """What summary.json says of it: the loss, with the weights that came from the training images."""
        weights = {
            name: values.tolist()
            for name, values in self.loss.named_buffers()
            if values.ndim <= 1 and values.numel() <= _MOST
        }
        return {"name": self.name, **weights}

    def describe(self) -> str | None:
        """One line for the console; None for the cross-entropy of classes alone, which needs no words."""
        if self.task == "classification" and self.record() == {"name": "cross_entropy"} and not self.metrics:
            return None
        weights = [f"{name} {_few(values, self.names)}" for name, values in self.record().items() if name != "name"]
        metrics = [f"metrics {', '.join(metric.name for metric in self.metrics)}"] if self.metrics else []
        return "; ".join([f"{self.task}: loss {self.name}", *weights, *metrics])


def objective_of(
    cfg: DictConfig,
    data: Data,
    *,
    label_smoothing: float = 0.0,
    best_metric: str | None = None,
    device: torch.device | str = "cpu",
) -> Objective:
    """The objective of a run's configuration and data.

    Raises UserError for a loss or metric that does not fit the data, and for a setting that would have no effect.
    """
    labels = data.splits["train"].labels
    names = tuple(data.class_names)
    chosen = {"task": data.task, "outputs": len(names), "labels": labels}
    name, loss = _loss(cfg, labels, outputs=len(names), label_smoothing=label_smoothing)
    check_loss(loss, **{**chosen, "labels": labels[:_FEW]}, name=name)
    asked = read_metrics(_plain(cfg.get("metrics") or []))
    metrics = _with_usual(asked, data.task, best_metric)
    numbers = {"loss": False, **({"top1": True} if data.task == "classification" else {})}
    numbers |= {"top5": True} if data.task == "classification" and len(names) > 5 else {}
    for metric in metrics:
        numbers |= dict.fromkeys(check_metric(metric, **chosen, names=names), metric.higher_is_better)
    best = best_metric or ("top1" if data.task == "classification" else "loss")
    if best not in numbers:
        valid = [*numbers, *(name for name in names_for(data.task, len(names)) if name != "per_class")]
        raise unknown_name(best, dict.fromkeys(valid), what="number of an evaluation in trainer.best_metric")
    if best_metric is not None and "validation" not in data.splits:
        raise UserError(f"trainer.best_metric={best_metric} has no effect without validation images (data.validation).")
    return Objective(
        task=data.task,
        loss=loss.to(device),
        metrics=metrics,
        best=Best(name=best, higher_is_better=numbers[best]),
        numbers=numbers,
        names=names,
        name=name,
        likelihood=likelihood_of(cfg.get("loss")),
    )


def likelihood_of(loss: Mapping[str, Any] | None) -> Likelihood:
    """What the softmax or sigmoid of the outputs is: a score where the loss is not known to train probabilities."""
    target = str((loss or {}).get("_target_", ""))
    own = target and target.partition(".")[0] != "hybrid" and target.rpartition(".")[2] not in _OF_PROBABILITIES
    return "score" if own else "probability"


def _loss(cfg: DictConfig, labels: Tensor, *, outputs: int, label_smoothing: float) -> tuple[str, Any]:
    """The name of the loss, and the loss."""
    section = _plain(cfg["loss"]) if cfg.get("loss") is not None else dict(_BEFORE)
    target = str(section.get("_target_"))
    if not target.startswith("hybrid."):  # in the place of another: what it leaves open is not this class's
        section = {key: value for key, value in section.items() if value is not None}
    runtime: dict[str, Any] = {"training_labels": labels, "outputs": outputs}
    if label_smoothing or target.startswith("hybrid."):
        runtime["label_smoothing"] = label_smoothing
    takes = signature_of(section, path="loss")  # by name: a Module without a constructor takes anything, and refuses it
    loss = instantiate(section, path="loss", **{key: value for key, value in runtime.items() if key in takes})
    if getattr(loss, "standardize", False) is True:
        loss = Standardized(loss, labels)
    name = target.rpartition(".")[2]
    chosen = (cfg.get("choices") or {}).get("loss")
    name = str(chosen) if target.startswith("hybrid.") and chosen else name
    if label_smoothing and getattr(loss, "label_smoothing", 0.0) != label_smoothing:
        raise UserError(
            f"trainer.label_smoothing={label_smoothing:g} has no effect on loss={name}. Valid: loss=cross_entropy, or 0."
        )
    return name, loss


# of a run that was made when there was no other loss
_BEFORE = {"_target_": "hybrid.objective.losses.cross_entropy"}


def _with_usual(asked: Sequence[Metric], task: Task, best: str | None) -> tuple[Metric, ...]:
    """The metrics that the task always has, those that were asked for, and the one that says what is best."""
    names = [metric.name for metric in asked]
    usual = [known(name) for name in _ALWAYS[task] if name not in names]
    needed = [known(best)] if best and best not in names and best not in _ALWAYS[task] and known(best) else []
    return (*usual, *asked, *needed)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _few(values: float | list[float], names: Sequence[str]) -> str:
    """Ten numbers at most, with the names of the outputs where there is one for each."""
    if not isinstance(values, list):
        return f"{values:.4g}"
    named = names if len(names) == len(values) else [""] * len(values)
    words = [f"{name} {value:.4g}".strip() for name, value in zip(named, values, strict=True)]
    return ", ".join(words[:10]) + (" …" if len(words) > 10 else "")
