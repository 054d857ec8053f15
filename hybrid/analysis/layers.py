"""The layers of a model at which representations are measured, by name and in depth order.

    layers_of(model)                                        # pixels, scattering, every non-linearity, logits
    layers_of(model, taps=["pixels", "layer1", "logits"])   # those alone

A module that runs several times in a forward has one name for each time, `name`, `name#2`, …, as in `hybrid.models.taps`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hybrid.errors import UserError, unknown_name
from hybrid.models.probe import probe
from hybrid.models.taps import nonlinearity_taps
from hybrid.scattering import ScatteringModule

Kind = Literal["pixels", "scattering", "nonlinearity", "module", "logits"]
PIXELS, SCATTERING, LOGITS = "pixels", "scattering", "logits"


@dataclass(frozen=True)
class Layer:
    """One layer: `depth` counts from 0 among the layers chosen; `order` is that of S0, S1 and S2, else None."""

    name: str
    kind: Kind
    depth: int
    order: int | None = None


def layers_of(
    model: nn.Module, *, taps: Sequence[str] | None = None, image_shape: tuple[int, int, int] | None = None
) -> tuple[Layer, ...]:
    """The layers of a model, in the order in which a forward in evaluation mode completes them.

    Names are "pixels", the model's input; "S0", "S1", "S2", the orders of its scattering transform before any
    normalization, and "scattering", all of them; names of submodules; "logits", the model's output. These words win over
    a submodule of the same name. The scattering names exist where the model has exactly one scattering transform.

    Args:
        taps: the names wanted, in any order; None: everything but the submodules that are no non-linearity.
        image_shape: (C, H, W) of the images; None: the model's own attribute of that name.

    The model is left as it was. Raises UserError for an unknown name, listing the valid ones: a submodule that does not
    run in evaluation mode, or whose output is not one tensor with the batch as its first dimension, is none.
    """
    model = plain_model(model)
    shape = image_shape or getattr(model, "image_shape", None)
    if shape is None:
        raise UserError(f"{type(model).__name__} does not say the size of its images: give image_shape=(C, H, W)")
    with undisturbed(model):
        known = _known(model, tuple(shape))
    if taps is None:
        chosen = [name for name, (kind, _) in known.items() if kind != "module"]
    else:
        for name in taps:
            if name not in known:
                raise unknown_name(name, known, what="layer of the model")
        chosen = [name for name in known if name in taps]
    if not chosen:
        raise UserError("taps is empty: name a layer at least, or leave it None (null) for all of them")
    return tuple(Layer(name, known[name][0], depth, known[name][1]) for depth, name in enumerate(chosen))


def scattering_of(model: nn.Module) -> tuple[str, ScatteringModule] | None:
    """The name and the module of the model's only scattering transform; None where it has none or several."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, ScatteringModule)]
    return found[0] if len(found) == 1 else None


def fixed_layers(model: nn.Module, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Those of the layers that training cannot change: the pixels, and a scattering transform that has nothing to learn."""
    scattering = scattering_of(plain_model(model))
    learned = scattering is None or any(parameter.requires_grad for parameter in scattering[1].parameters())
    return tuple(layer for layer in layers if layer.kind == "pixels" or (layer.kind == "scattering" and not learned))


def plain_model(model: nn.Module) -> nn.Module:
    """The model behind torch.compile, because hooks need the model itself; any other as it is."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then every module's mode and torch's random generators are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    anchor = next(model.parameters(), None)
    devices = [anchor.device] if anchor is not None and anchor.device.type == "cuda" else []
    try:
        model.eval()
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def tap_name(name: str, earlier_calls: int) -> str:
    """The name of a module's output at one of its calls in a forward: `name`, then `name#2`, …"""
    return f"{name}#{earlier_calls + 1}" if earlier_calls else name


def _known(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, tuple[Kind, int | None]]:
    """Every valid name, with its kind and order, in depth order."""
    nonlinear = set(nonlinearity_taps(model, shape))
    scattering = scattering_of(model)
    orders = range(scattering[1].max_order + 1) if scattering else ()
    words = {PIXELS, LOGITS, *([*(f"S{order}" for order in orders), SCATTERING] if scattering else [])}
    known: dict[str, tuple[Kind, int | None]] = {PIXELS: ("pixels", None)}
    for tap in _running(model, shape):
        if scattering and tap == scattering[0]:
            known.update({f"S{order}": ("scattering", order) for order in orders})
            known[SCATTERING] = ("scattering", None)
        elif tap not in words:
            known[tap] = ("nonlinearity" if tap in nonlinear else "module", None)
    known[LOGITS] = ("logits", None)
    return known


def _running(model: nn.Module, shape: tuple[int, int, int]) -> list[str]:
    """The taps of all submodules that give one tensor per image, in the order in which a forward completes them."""
    order: list[str] = []
    calls: Counter[str] = Counter()
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if name:
                hooks.callback(module.register_forward_hook(partial(_note, order, calls, name)).remove)
        probe(model, shape)
    return order


def _note(order: list[str], calls: Counter[str], name: str, _module: Any, _inputs: Any, output: Any) -> None:
    if isinstance(output, Tensor) and output.ndim > 1 and len(output) == 1:
        order.append(tap_name(name, calls[name]))
    calls[name] += 1
