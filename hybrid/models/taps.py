"""Taps: the outputs of a model's non-linearities, by name and in depth order, for whoever analyses representations.

    names = nonlinearity_taps(model)
    with capture(model, names) as outputs:
        model(images)
        outputs[names[0]]   # (N, C, H, W)

A module that runs several times in a forward (torchvision's ResNets use one ReLU twice per block) has one tap for each
time: `name`, `name#2`, … Non-linearities called as functions rather than modules cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from hybrid.errors import unknown_name
from hybrid.models.probe import probe

NONLINEARITIES = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softshrink,
    nn.Hardshrink,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,  # and ReLU6
    nn.Hardswish,
    nn.Hardsigmoid,
)


def nonlinearity_taps(model: nn.Module, image_shape: tuple[int, int, int] | None = None) -> list[str]:
    """The taps of all non-linearities, in the order in which a forward runs them; `image_shape` as the model has it.

    A module counts as a non-linearity if it is one of torch's activations or has an attribute `is_nonlinearity = True`.
    """
    shape = image_shape or model.image_shape
    modules = [(name, module) for name, module in model.named_modules() if _is_nonlinearity(module)]
    order: list[str] = []
    with ExitStack() as hooks:
        for name, module in modules:
            _hook(hooks, module, partial(_append, order, name))
        probe(model, shape)
    return [_tap(name, order[:index].count(name)) for index, name in enumerate(order)]


@contextmanager
def capture(model: nn.Module, names: Sequence[str], *, detach: bool = True) -> Iterator[dict[str, Tensor]]:
    """While active, every forward puts the outputs of the named taps into the dictionary, in that order of depth.

    detach: without their graph; False keeps it, for derivatives with respect to the images. Any module's name is a tap,
    "frontend" and "normalization" too. Outputs are not copied, so work in-place on them shows. Hooks need the model itself,
    not its torch.compile'd form. Raises UserError for a name that is no module.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name.partition("#")[0] not in modules:
            raise unknown_name(name, [key for key in modules if key], what="module in the model")
    outputs: dict[str, Tensor] = {}
    calls: dict[str, int] = {}
    with ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(partial(_clear, outputs, calls)).remove)
        for name in {name.partition("#")[0] for name in names}:
            _hook(hooks, modules[name], partial(_store, outputs, calls, name, set(names), detach))
        yield outputs


def _is_nonlinearity(module: nn.Module) -> bool:
    return isinstance(module, NONLINEARITIES) or getattr(module, "is_nonlinearity", False) is True


def _tap(name: str, earlier_calls: int) -> str:
    return f"{name}#{earlier_calls + 1}" if earlier_calls else name


def _hook(hooks: ExitStack, module: nn.Module, function: Any) -> None:
    hooks.callback(module.register_forward_hook(function).remove)


def _append(order: list[str], name: str, *_: Any) -> None:
    order.append(name)


def _clear(outputs: dict[str, Tensor], calls: dict[str, int], *_: Any) -> None:
    outputs.clear()
    calls.clear()


def _store(
    outputs: dict[str, Tensor],
    calls: dict[str, int],
    name: str,
    wanted: set[str],
    detach: bool,
    _module: Any,
    _in: Any,
    output: Tensor,
) -> None:
    tap = _tap(name, calls.get(name, 0))
    calls[name] = calls.get(name, 0) + 1
    if tap in wanted:
        outputs[tap] = output.detach() if detach else output
