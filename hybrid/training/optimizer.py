"""Optimizers by the names of the configuration, and those of torch.optim: which parameters decay, and which learn slower."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from torch import nn

from hybrid.configuration.instantiate import given, instantiate, signature_of
from hybrid.errors import UserError
from hybrid.graphs import spare_compiler
from hybrid.models import parts
from hybrid.models.selection import trainable
from hybrid.ranges import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Rate

Decayed = Literal["all", "weights"]
Rates = Mapping[str, float]
_PATH = "optimizer"
_ADAMW_RATE = 1e-3
spare_compiler()
_OF_GROUPS = {"decay": Decayed, "rates": dict[str, float]}  # keys of ours that a class of torch.optim has, too


def optimizer_from(
    section: Mapping[str, Any] | DictConfig, model: nn.Module, *, images: float = 128, curvature: float = 1.0
) -> torch.optim.Optimizer:
    """The optimizer that `cfg.optimizer` describes.

    Its `_target_` takes the model, as `sgd` and `adamw` here do; or `params`, as the classes of torch.optim do: those get the
    groups of `parameter_groups`, and the section may have `decay` ("all" without it) and `rates`. Raises UserError for what
    `instantiate` refuses, and for an optimizer that no step of ours can drive.

    images: in a step, on average; lr=auto depends on it, and on the curvature of the loss (`Objective.curvature`).

    After each of its steps come the constraints of the model's parts (`hybrid.models.parts`).
    """
    optimizer = _optimizer(section, model, images=images, curvature=curvature)
    for constraint in parts.constraints(model):
        optimizer.register_step_post_hook(lambda *_, after=constraint: after())
    return optimizer


def _optimizer(
    section: Mapping[str, Any] | DictConfig, model: nn.Module, *, images: float, curvature: float
) -> torch.optim.Optimizer:
    values = given(section, path=_PATH)
    arguments = signature_of(values, path=_PATH)
    if "rates" not in arguments and not values.get("rates"):
        values.pop("rates", None)  # the yaml's default, for a function of the user's own
    if "params" not in arguments:
        runtime = {"images": images} if "images" not in values else {}  # an argument of the user's own may be called so
        runtime |= {"curvature": curvature} if "curvature" in arguments else {}
        return instantiate(values, path=_PATH, model=model, **runtime)
    groups = _groups_for(values, arguments, model)
    own = {name: value for name, value in values.items() if name not in _OF_GROUPS}
    optimizer = instantiate(own, path=_PATH, also_valid=_OF_GROUPS, params=groups)
    _check_step(optimizer)
    return optimizer


def _groups_for(values: Mapping[str, Any], arguments: Mapping[str, inspect.Parameter], model: nn.Module) -> list[dict]:
    numbers = {}
    for name in ("lr", "weight_decay"):
        usual = arguments[name].default if name in arguments else inspect.Parameter.empty
        numbers[name] = values.get(name, None if usual is inspect.Parameter.empty else usual)
    decay, rates = values.get("decay", "all"), values.get("rates") or {}
    if decay not in ("all", "weights"):
        raise UserError(f"{_PATH}.decay: {decay!r} is not all or weights.")
    if "weight_decay" not in arguments and decay == "weights":
        raise UserError(f"{_PATH}.decay=weights has no effect: {values['_target_']} has no weight_decay.")
    for name, number in numbers.items():  # torch's own annotations admit tensors, and so anything
        if isinstance(number, bool) or not isinstance(number, int | float | None):
            raise UserError(f"{_PATH}.{name}: {number!r} is not a number.")
    if numbers["lr"] is None:
        raise UserError(f"{_PATH}.lr is missing.")
    return parameter_groups(
        model, lr=numbers["lr"], weight_decay=numbers["weight_decay"] or 0.0, decay=decay, rates=rates
    )


def _check_step(optimizer: torch.optim.Optimizer) -> None:
    kind = type(optimizer)
    closure = inspect.signature(kind.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UserError(f"{_PATH}: {kind.__name__} needs a closure, which evaluates the loss several times in a step.")
    if kind is torch.optim.SparseAdam:
        raise UserError(f"{_PATH}: SparseAdam takes sparse gradients, which no model here has. Valid: Adam.")


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, decay: Decayed, rates: Rates | None = None
) -> list[dict[str, Any]]:
    """The trainable parameters in groups: with weight decay, without it, those that a part of the model asks for.

    `weights` decays matrices and filters alone: parameters of one dimension are biases and batch norm's scale and shift. A
    part's own groups (`hybrid.models.parts`) have their own learning rate or weight decay.

    rates: part of the model (`hybrid.models.selection`), or tag of a group -> factor above 0 on lr, in place of one that the
        part itself asks for. Where several name a parameter, a tag counts, else the longest: `head.classifier` before `head`.
    """
    _check_rate(lr)
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay={weight_decay} is not valid: it must be a number from 0")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable parameters: nothing to optimize")
    own = [_own_group(group, lr=lr, weight_decay=weight_decay) for group in parts.parameter_groups(model)]
    taken = {id(parameter) for group in own for parameter in group["params"]}
    others = [parameter for parameter in parameters if id(parameter) not in taken]
    decayed = [p for p in others if decay == "all" or p.ndim > 1]
    spared = [p for p in others if decay != "all" and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}, *own]
    factors = _factors(model, rates or {})
    return [part for group in groups for part in _by_rate(group, factors, lr) if part["params"]]


def _factors(model: nn.Module, rates: Rates) -> dict[int, float]:
    """Parameter's id -> factor, for those that `rates` names."""
    factors: dict[int, float] = {}
    tags = parts.tagged(model)
    for pattern in sorted(rates, key=lambda pattern: (pattern in tags, len(pattern), pattern)):
        factor = rates[pattern]
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise UserError(
                f"{_PATH}.rates.{pattern}={factor} is not valid: it is a factor above 0 on the learning rate; "
                f"trainer.freeze=[{pattern}] trains the part not at all."
            )
        named = tags.get(pattern) or trainable(model, pattern, path=f"{_PATH}.rates").values()
        factors |= {id(p): float(factor) for p in named}
    return factors


def _by_rate(group: dict[str, Any], factors: Mapping[int, float], lr: float) -> list[dict[str, Any]]:
    """The group, and parts of it with learning rates of their own."""
    parted: dict[float | None, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        parted.setdefault(factors.get(id(parameter)), []).append(parameter)
    return [
        {**group, "params": some, **({} if factor is None else {"lr": lr * factor})} for factor, some in parted.items()
    ]


def _own_group(group: dict[str, Any], *, lr: float, weight_decay: float) -> dict[str, Any]:
    return {
        "params": [parameter for parameter in group["params"] if parameter.requires_grad],
        "lr": lr * group.get("lr_factor", 1.0),
        "weight_decay": group.get("weight_decay", weight_decay),
    }


def sgd(
    model: nn.Module,
    *,
    lr: Annotated[float, NOT_NEGATIVE] | Literal["auto"],
    momentum: Rate = 0.9,
    nesterov: bool = False,
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0,
    decay: Decayed = "all",
    rates: Annotated[dict[str, float], POSITIVE] | None = None,
    images: float = 128,
    curvature: float = 1.0,
) -> torch.optim.Optimizer:
    """torch.optim.SGD over `parameter_groups`.

    lr=auto is the rate that suits the model's head, so many `images` in a step and the loss (`hybrid.models.parts`).
    """
    lr = parts.learning_rate(model, images=images, curvature=curvature) if lr == "auto" else lr
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, decay=decay, rates=rates)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


def adamw(
    model: nn.Module,
    *,
    lr: Annotated[float, NOT_NEGATIVE] | Literal["auto"],
    betas: Annotated[tuple[float, float], BELOW_ONE] = (0.9, 0.999),
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.01,
    decay: Decayed = "weights",
    rates: Annotated[dict[str, float], POSITIVE] | None = None,
) -> torch.optim.Optimizer:
    """torch.optim.AdamW over `parameter_groups`.

    lr=auto is 0.001, or a tenth of the rate of `sgd` for 128 images in a step where that is less.
    """
    lr = min(_ADAMW_RATE, parts.learning_rate(model) / 10) if lr == "auto" else lr
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, decay=decay, rates=rates)
    return torch.optim.AdamW(groups, lr=lr, betas=betas)


def _check_rate(lr: float) -> None:
    if not 0 <= lr < math.inf:
        raise ValueError(f"lr={lr} is not valid: it must be a number from 0")
