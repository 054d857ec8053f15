"""Optimizers by the names of the configuration, with a choice of the parameters that weight decay applies to."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from hybrid.models import parts

Decayed = Literal["all", "weights"]


def parameter_groups(model: nn.Module, *, lr: float, weight_decay: float, decay: Decayed) -> list[dict[str, Any]]:
    """The trainable parameters in groups: with weight decay, without it, and those that a part of the model asks for.

    `weights` decays matrices and filters alone: parameters of one dimension are biases and batch norm's scale and shift. A
    part's own groups (`hybrid.models.parts`) have their own learning rate or weight decay.
    """
    _check_rate(lr)
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay={weight_decay} is not valid: it must be a number from 0")
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("the model has no trainable parameters: nothing to optimize")
    own = [_own_group(group, lr=lr, weight_decay=weight_decay) for group in parts.parameter_groups(model)]
    taken = {id(parameter) for group in own for parameter in group["params"]}
    others = [parameter for parameter in trainable if id(parameter) not in taken]
    decayed = [p for p in others if decay == "all" or p.ndim > 1]
    spared = [p for p in others if decay != "all" and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}, *own]
    return [group for group in groups if group["params"]]


def _own_group(group: dict[str, Any], *, lr: float, weight_decay: float) -> dict[str, Any]:
    return {
        "params": [parameter for parameter in group["params"] if parameter.requires_grad],
        "lr": lr * group.get("lr_factor", 1.0),
        "weight_decay": group.get("weight_decay", weight_decay),
    }


def sgd(
    model: nn.Module,
    *,
    lr: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay: Decayed = "all",
) -> torch.optim.Optimizer:
    """torch.optim.SGD over `parameter_groups`."""
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, decay=decay)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


def adamw(
    model: nn.Module,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.01,
    decay: Decayed = "weights",
) -> torch.optim.Optimizer:
    """torch.optim.AdamW over `parameter_groups`."""
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, decay=decay)
    return torch.optim.AdamW(groups, lr=lr, betas=betas)


def _check_rate(lr: float) -> None:
    if not 0 <= lr < math.inf:
        raise ValueError(f"lr={lr} is not valid: it must be a number from 0")
