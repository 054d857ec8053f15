"""The layers of a model at which representations are measured, by name and in depth order.

    layers_of(model)                                        # pixels, scattering, every non-linearity, logits
    layers_of(model, taps=["pixels", "layer1", "logits"])   # those alone

A module that runs several times in a forward has one name for each time, `name`, `name#2`, …, as in `hybrid.taps`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from hybrid.errors import UserError, unknown_name
from hybrid.scattering import ImageTransform
from hybrid.taps import is_nonlinearity, run_blank, watch

Kind = Literal["pixels", "scattering", "nonlinearity", "module", "logits"]
PIXELS, SCATTERING, LOGITS = "pixels", "scattering", "logits"
_BLANK = 2  # images of the forward that finds the layers: with one, a tensor of length 1 might be anything


@dataclass(frozen=True)
class Layer:
    """One layer of a model.

    depth: its place among the layers chosen, counted from 0. order: 0, 1 or 2 for the scattering orders S0, S1 and S2, else
    None. channels: the dimension of its output that holds the channels; average pooling takes the mean over all others but
    the first, which is the batch. It is 1 for maps (N, C, H, W), and 2 for the tokens (N, T, C) of a transformer.
    """

    name: str
    kind: Kind
    depth: int
    order: int | None = None
    channels: int = 1


def layers_of(
    model: nn.Module, *, taps: Sequence[str] | None = None, image_shape: Sequence[int] | None = None
) -> tuple[Layer, ...]:
    """The layers of a model, in the order in which a forward in evaluation mode completes them.

    Names are "pixels", the model's input; "S0", "S1", "S2", the orders of its scattering transform before any
    normalization, and "scattering", all of them; names of submodules; "logits", the model's output (of a dictionary its
    entry "logits" or "out", of a tuple the first element). These words win over a submodule of the same name. The
    scattering names exist where the model has exactly one scattering transform.

    Args:
        taps: the names wanted, in any order. None takes pixels, scattering, every non-linearity and the logits. In a model
            without scattering whose non-linearities are all functions, which have no name, the modules with weights stand
            in for them.
        image_shape: (C, H, W) of the images; None takes the model's own attribute of that name.

    The model is left as it was. Raises UserError for an unknown name, listing the valid ones. A submodule is not valid if it
    does not run in evaluation mode, or if its output is not one tensor with the batch as its first dimension.
    """
    model = plain_model(model)
    shape = image_shape or getattr(model, "image_shape", None)
    if shape is None:
        raise UserError(f"{type(model).__name__} does not say the size of its images: give image_shape=(C, H, W)")
    known = _known(model, tuple(shape))
    if taps is None:
        chosen = _usual(known)
    else:
        for name in taps:
            if name not in known:
                raise unknown_name(name, known, what="layer of the model")
        chosen = [name for name in known if name in taps]
    if not chosen:
        raise UserError("taps is empty: name a layer at least, or leave it None (null) for all of them")
    return tuple(
        Layer(name, known[name].kind, depth, known[name].order, known[name].channels)
        for depth, name in enumerate(chosen)
    )


def scattering_of(model: nn.Module) -> tuple[str, ImageTransform] | None:
    """The name and the module of the model's only scattering transform; None where it has none or several."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, ImageTransform)]
    return found[0] if len(found) == 1 else None


def fixed_layers(model: nn.Module, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers that training cannot change: the pixels, and a scattering transform that has nothing to learn."""
    scattering = scattering_of(plain_model(model))
    learned = scattering is None or any(parameter.requires_grad for parameter in scattering[1].parameters())
    return tuple(layer for layer in layers if layer.kind == "pixels" or (layer.kind == "scattering" and not learned))


def plain_model(model: nn.Module) -> nn.Module:
    """The model behind torch.compile, because hooks need the model itself; any other as it is."""
    return getattr(model, "_orig_mod", model)


def output_tensor(output: Any) -> Any:
    """The part of a model's output that counts as its logits.

    That is a tensor itself; the entry "logits" or "out" of a dictionary, else its first one; the first element of a tuple or
    list.
    """
    if isinstance(output, Mapping) and output:
        names = [name for name in (LOGITS, "out") if name in output]
        return output[names[0]] if names else next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) and output else output


@dataclass(frozen=True)
class _Known:
    """What a valid name stands for. weighted: whether it is a module with weights of its own, and not the model's output."""

    kind: Kind
    order: int | None = None
    channels: int = 1
    weighted: bool = False


@dataclass(frozen=True)
class _Call:
    """One call of a module that gave a tensor with a row for each image."""

    tap: str
    module: nn.Module
    shape: tuple[int, ...]
    is_output: bool


def _usual(known: Mapping[str, _Known]) -> list[str]:
    """The names that are taken where nobody says which."""
    kinds = {each.kind for each in known.values()}
    if kinds & {"nonlinearity", "scattering"}:
        return [name for name, each in known.items() if each.kind != "module"]
    return [name for name, each in known.items() if each.kind != "module" or each.weighted]


def _known(model: nn.Module, shape: tuple[int, ...]) -> dict[str, _Known]:
    """Every valid name, in depth order."""
    calls, output = _calls(model, shape)
    scattering = scattering_of(model)
    orders = sorted({path.order for path in scattering[1].paths}) if scattering else ()  # J=1 has no second order
    words = {PIXELS, LOGITS, *([*(f"S{order}" for order in orders), SCATTERING] if scattering else [])}
    known = {PIXELS: _Known("pixels")}
    channels: dict[tuple[int, ...], int] = {}  # of the latest output of each shape
    for call in calls:
        channels[call.shape] = axis = _channel_axis(call, channels)
        if scattering and call.tap == scattering[0]:
            known.update({f"S{order}": _Known("scattering", order) for order in orders})
            known[SCATTERING] = _Known("scattering")
        elif call.tap not in words:
            kind: Kind = "nonlinearity" if is_nonlinearity(call.module) else "module"
            weighted = any(each.ndim > 1 for each in call.module.parameters(recurse=False)) and not call.is_output
            known[call.tap] = _Known(kind, None, axis, weighted)
    logits = output_tensor(output)
    if _has_rows(logits):
        known[LOGITS] = _Known("logits", None, channels.get(tuple(logits.shape), 1))
    return known


def _calls(model: nn.Module, shape: tuple[int, ...]) -> tuple[list[_Call], Any]:
    """All calls of submodules in the order in which a forward completes them, and the model's output."""
    modules = {name: module for name, module in model.named_modules() if name}
    seen: list[tuple[str, tuple[int, ...], weakref.ref]] = []

    def note(tap: str, output: Any) -> None:
        if _has_rows(output):
            seen.append((tap, tuple(output.shape), weakref.ref(output)))

    try:
        with watch(modules, note):
            output = run_blank(model, shape, count=_BLANK)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{type(model).__name__} does not take images of shape {shape}: {reason}") from error
    last = output_tensor(output)
    return [_Call(tap, modules[tap.partition("#")[0]], size, ref() is last) for tap, size, ref in seen], output


def _has_rows(output: Any) -> bool:
    return isinstance(output, Tensor) and output.ndim > 1 and len(output) == _BLANK


def _channel_axis(call: _Call, earlier: Mapping[tuple[int, ...], int]) -> int:
    """Which dimension of a call's output holds the channels.

    A module with weights says how many channels it makes, and the dimension of that size is meant. Any other module
    (an activation, a block) keeps the place that they had in the latest output of the same shape. Failing that, the
    three dimensions of tokens end with the channels, and maps begin with them.
    """
    last = len(call.shape) - 1
    own = _own_channels(call.module)
    places = [axis for axis in {1, last} if call.shape[axis] == own]
    if places:
        return max(places) if isinstance(call.module, nn.Linear | nn.LayerNorm) else min(places)
    return earlier.get(call.shape, last if last == 2 else 1)


def _own_channels(module: nn.Module) -> int | None:
    """How many channels the output of a convolution, linear layer or normalization has; None for any other module."""
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[0] if len(module.normalized_shape) == 1 else None
    for name in ("out_channels", "out_features", "num_features", "num_channels"):
        if isinstance(number := getattr(module, name, None), int):
            return number
    return None
