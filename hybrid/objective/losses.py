"""The losses of the configuration group `loss`: torch's own, with weights that may come from the training images.

A loss is a torch.nn.Module: (outputs, targets) -> one number, the mean over the images; or (N,) or (N, K), one or more numbers
for each image. `summed` and `of_each_image` read both. Outputs (N, K) and targets are as `hybrid.data.tasks` says; where images
were mixed, the targets of classes are (N, K) weights.

It may say which `task` it is for (any, without it), and `standardize = True`: then it gets outputs and targets less the mean
and over the standard deviation of each value, the network computes in these, too (`hybrid.models.units`), and its outputs
are in the values' own units nevertheless.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybrid.data import Task
from hybrid.errors import UserError
from hybrid.ranges import NOT_NEGATIVE, Positive, Rate

Weights = Annotated[list[float], NOT_NEGATIVE] | Literal["balanced"] | None
_FAR = 1e5  # standard deviations between the values and zero, from which on float32 loses their differences


def cross_entropy(
    *, training_labels: Tensor, outputs: int, class_weights: Weights = None, label_smoothing: Rate = 0.0
) -> nn.Module:
    """torch.nn.CrossEntropyLoss, summed over images; each image counts with the weight of its class.

    Args:
        training_labels: (N,) classes of the training images, for balanced weights.
        outputs: the number of classes.
        class_weights: a weight for each class. "balanced": N / (classes x images of the class), whose mean over the training
            images is 1 (King and Zeng 2001, as in scikit-learn). None: 1.
        label_smoothing: from 0 to below 1.

    Raises UserError for another number of weights, one that is not positive, and balanced weights of a class without images.
    """
    weight = _class_weights(class_weights, training_labels, outputs)
    return _for("classification", nn.CrossEntropyLoss(weight=weight, label_smoothing=label_smoothing, reduction="sum"))


class FocalLoss(nn.Module):
    """The focal loss of several classes: -w (1 - p)^γ log p for an image of a class of probability p and weight w.

    Lin et al. 2017 (arXiv:1708.02002), equation 5, with the softmax in place of the sigmoid. Of mixed images, whose targets
    are weights of the classes, it is the sum over the classes times these.

    Args:
        training_labels: as for `cross_entropy`.
        outputs: as for `cross_entropy`.
        class_weights: as for `cross_entropy`.
        gamma: γ, at least 0; with 0 it is the cross-entropy.
    """

    task: Task = "classification"

    def __init__(
        self,
        *,
        training_labels: Tensor,
        outputs: int,
        gamma: Annotated[float, NOT_NEGATIVE] = 2.0,
        class_weights: Weights = None,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < math.inf:
            raise ValueError(f"gamma={gamma} is not valid: it must be a number from 0")
        self.gamma = gamma
        self.register_buffer("weight", _class_weights(class_weights, training_labels, outputs))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (N, K), targets (N,) int64 or (N, K) weights -> (N,), one number for each image."""
        logarithms = functional.log_softmax(logits, 1)
        terms = -((1 - logarithms.exp()) ** self.gamma) * logarithms
        terms = terms if self.weight is None else terms * self.weight
        if targets.is_floating_point():
            return (terms * targets).sum(1)
        return terms.gather(1, targets[:, None])[:, 0]


def bce(*, training_labels: Tensor, outputs: int, label_weights: Weights = None) -> nn.Module:
    """torch.nn.BCEWithLogitsLoss: the mean over the labels of an image of the binary cross-entropy.

    Args:
        training_labels: (N, K) of 0 and 1.
        outputs: K, the number of labels.
        label_weights: a weight of the images that have the label, for each label (`pos_weight` of torch's loss). "balanced":
            images without it / images with it, of the training images. None: 1.

    Raises UserError as `cross_entropy` does.
    """
    weight = None
    if label_weights == "balanced" and training_labels.ndim == 2:
        positive = training_labels.double().sum(0)
        _check_present(positive, "loss.label_weights=balanced: label")
        weight = ((len(training_labels) - positive) / positive).float()
    elif isinstance(label_weights, list):
        weight = _checked_weights(label_weights, outputs, "loss.label_weights")
    return _for("multilabel", nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none"))


def mse(*, training_labels: Tensor, standardize: bool = True) -> nn.Module:
    """torch.nn.MSELoss: the mean over the values of an image; of standardised values, unless `standardize` is false."""
    return _of_values(nn.MSELoss(reduction="none"), training_labels, standardize)


def l1(*, training_labels: Tensor, standardize: bool = True) -> nn.Module:
    """torch.nn.L1Loss: the mean over the values of an image; of standardised values, unless `standardize` is false."""
    return _of_values(nn.L1Loss(reduction="none"), training_labels, standardize)


def huber(*, training_labels: Tensor, delta: Positive = 1.0, standardize: bool = True) -> nn.Module:
    """torch.nn.HuberLoss: the mean over the values of an image; of standardised values, unless `standardize` is false."""
    if not 0 < delta < math.inf:
        raise ValueError(f"delta={delta} is not valid: it must be a positive number")
    return _of_values(nn.HuberLoss(reduction="none", delta=delta), training_labels, standardize)


class Standardized(nn.Module):
    """A loss of values, of outputs and targets less a mean and over a standard deviation.

    Attributes:
        units: mean and standard deviation of each value over the training images, (K,) float32 each. A value that is the same
            in all images has the standard deviation 1.
    """

    task: Task = "regression"

    def __init__(self, loss: nn.Module, training_labels: Tensor) -> None:
        super().__init__()
        self.loss = loss
        values = training_labels.double()
        mean, std = values.mean(0), values.std(0, correction=0)
        std = torch.where(std > 0, std, torch.ones_like(std))
        if bool((mean.abs() > _FAR * std).any()):
            raise UserError(
                f"the values of the training images are more than {_FAR:.0e} standard deviations away from 0, where float32 "
                "cannot tell them apart: take their mean off them."
            )
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())

    @property
    def units(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.std

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs and targets (N, K) -> what the loss gives for them."""
        return self.loss((outputs - self.mean) / self.std, (targets - self.mean) / self.std)


def summed(loss: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum of a loss over N images; several numbers for an image are averaged.

    A single number is taken for the mean over the images, unless the loss says reduction = "sum", as torch's do.
    """
    value = loss(outputs, targets)
    if value.ndim:
        return _one_each(value).sum()
    if getattr(loss, "reduction", "mean") == "sum":
        return value
    return value * len(outputs) if len(outputs) else outputs.sum()  # the mean over no images is not a number


def of_each_image(loss: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
    """(N,): the loss of each image; its mean for every image, where it gives no more than that."""
    value = loss(outputs, targets)
    return _one_each(value) if value.ndim else value.expand(len(outputs))


def least_smoothed_loss(smoothing: float, classes: int) -> float:
    """The smallest cross-entropy (in nats) with label smoothing in 0..1: the entropy of the smoothed target of `classes`."""
    shares = [1 - smoothing + smoothing / classes, *[smoothing / classes] * (classes - 1)]
    return -sum(share * math.log(share) for share in shares if share > 0)


def for_evaluation(loss: nn.Module) -> nn.Module:
    """A copy that gives one number for each image where it can, without label smoothing."""
    twin = copy.deepcopy(loss)
    for name, value in (("reduction", "none"), ("label_smoothing", 0.0)):
        if hasattr(twin, name):
            setattr(twin, name, value)
    return twin.eval()


def check_loss(loss: object, *, task: Task, outputs: int, labels: Tensor, name: str) -> None:
    """Raises UserError, naming the loss, unless it is a module for this task that has nothing to train.

    It is tried on zeros (n, outputs), and the `labels` of n images.
    """
    if not isinstance(loss, nn.Module):
        raise UserError(f"loss={name}: a {type(loss).__name__} is no torch.nn.Module.")
    if (wanted := getattr(loss, "task", task)) != task:
        raise UserError(f"loss={name} is for {wanted}, and the data are for {task}. Valid here: {_VALID[task]}.")
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UserError(f"loss={name} has parameters, and only the model's are trained: make them buffers.")
    try:
        value = loss(torch.zeros(len(labels), outputs, requires_grad=True), labels)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"loss={name} does not take outputs ({len(labels)}, {outputs}) and the targets {tuple(labels.shape)} of {task}: "
            f"{reason}"
        ) from error
    if not isinstance(value, Tensor) or not value.requires_grad or (value.ndim and len(value) != len(labels)):
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(
            f"loss={name} gives {given} for {len(labels)} images: it must be one number, or one for each image, that depends "
            "on the outputs."
        )


_VALID = {
    "classification": "cross_entropy, focal, custom",
    "multilabel": "bce, custom",
    "regression": "mse, l1, huber, custom",
}


def _one_each(value: Tensor) -> Tensor:
    return value.flatten(1).mean(1) if value.ndim > 1 else value


def _for(task: Task, loss: nn.Module) -> nn.Module:
    loss.task = task
    return loss


def _of_values(loss: nn.Module, training_labels: Tensor, standardize: bool) -> nn.Module:
    return Standardized(loss, training_labels) if standardize else _for("regression", loss)


def _class_weights(weights: Weights, labels: Tensor, classes: int) -> Tensor | None:
    if isinstance(weights, list):
        return _checked_weights(weights, classes, "loss.class_weights")
    if weights is None or labels.is_floating_point():  # of another task, which `check_loss` refuses
        return None
    counts = torch.bincount(labels, minlength=classes).double()
    _check_present(counts, "loss.class_weights=balanced: class")
    return (len(labels) / (classes * counts)).float()


def _check_present(counts: Tensor, what: str) -> None:
    if not bool((counts > 0).all()):
        missing = int((counts == 0).nonzero()[0])
        raise UserError(f"{what} {missing} has no training images, so that it can have no weight.")


def _checked_weights(weights: list[float], outputs: int, where: str) -> Tensor:
    if len(weights) != outputs:
        raise UserError(f"{where} has {len(weights)} weights, and the data have {outputs}: it must have one for each.")
    if not all(0 < weight < math.inf for weight in weights):
        raise UserError(f"{where}={weights} is not valid: every weight must be a positive number.")
    return torch.tensor(weights)
