"""Watching the layers of a model during one forward, without leaving a trace in the model or in its training.

values = observe(model, images, layers_of(model))
values["S1"], values["head.stem.2"], values["logits"]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.analysis.layers import Layer, plain_model, scattering_of, tap_name, undisturbed
from hybrid.errors import UserError, unknown_name
from hybrid.scattering import ScatteringModule

Keep = Callable[[Tensor], Tensor]
_Take = Callable[[Any], Any]


def observe(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[Layer],
    *,
    compensate_energy: bool = True,
    differentiable: bool = False,
    keep: Keep = torch.clone,
) -> dict[str, Tensor]:
    """The outputs of the layers for images (N, C, H, W) that the model takes: layer -> (N, ...), by one forward.

    In evaluation mode; the model's modes, its running statistics and torch's random generators stay as they are. Values
    are copies, so later work in-place does not show in them. Scattering layers are (N, C · paths of the order, h, w).

    Args:
        layers: those of `layers_of(model)`.
        compensate_energy: multiply scattering layers by 2^J. A transform subsampled by 2^J keeps one value in 4^J; with
            the factor, its norm estimates the one before subsampling and compares with that of the pixels.
        differentiable: keep the graph, for gradients and torch.func with respect to the images; else there is none.
        keep: what is made of each output as soon as it exists; a tensor of its own, so that the output can be freed.

    Raises ValueError for a layer that did not run, or that does not give one tensor with a row per image.
    """
    model = plain_model(model)
    modules = dict(model.named_modules())
    recorder = _Recorder(_targets(model, layers, compensate_energy), keep, len(images))
    with undisturbed(model), torch.set_grad_enabled(differentiable), ExitStack() as hooks:
        for name in recorder.modules():
            if name not in modules:
                raise unknown_name(name, [key for key in modules if key], what="module in the model")
            hooks.callback(modules[name].register_forward_hook(partial(recorder.on_call, name)).remove)
        recorder.store("pixels", images)
        recorder.store("logits", model(images))
    for layer in layers:
        if layer.name not in recorder.values:
            raise ValueError(f"layer {layer.name} did not run in this forward")
    return {layer.name: recorder.values[layer.name] for layer in layers}


class _Recorder:
    """targets: tap -> the layers made of that output, each with the function that takes it from the output."""

    def __init__(self, targets: dict[str, list[tuple[str, _Take]]], keep: Keep, images: int) -> None:
        self.targets, self.keep, self.images = targets, keep, images
        self.values: dict[str, Tensor] = {}
        self._calls: Counter[str] = Counter()

    def modules(self) -> set[str]:
        return {tap.partition("#")[0] for tap in self.targets} - {"pixels", "logits"}

    def on_call(self, module: str, _module: Any, _inputs: Any, output: Any) -> None:
        tap = tap_name(module, self._calls[module])
        self._calls[module] += 1
        self.store(tap, output)

    def store(self, tap: str, output: Any) -> None:
        for name, take in self.targets.get(tap, ()):
            if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != self.images:
                raise ValueError(
                    f"layer {name} does not give one tensor with a row for each of the {self.images} images"
                )
            self.values[name] = self.keep(take(output))


def _targets(model: nn.Module, layers: Sequence[Layer], compensate: bool) -> dict[str, list[tuple[str, _Take]]]:
    scattering = scattering_of(model)
    targets: dict[str, list[tuple[str, _Take]]] = {}
    for layer in layers:
        tap, take = layer.name, _whole
        if layer.kind == "scattering":
            if scattering is None:
                raise UserError(f"layer {layer.name}: the model has no scattering transform, or several")
            tap, take = scattering[0], partial(_orders, scattering[1], layer.order, compensate)
        targets.setdefault(tap, []).append((layer.name, take))
    return targets


def _whole(output: Tensor) -> Tensor:
    return output


def _orders(module: ScatteringModule, order: int | None, compensate: bool, output: Tensor) -> Tensor:
    """(N, ..., paths, h, w) -> (N, channels, h, w): the paths of one order, or all; paths are sorted by order."""
    if order is not None:
        positions = [index for index, path in enumerate(module.paths) if path.order == order]
        output = output[..., positions[0] : positions[-1] + 1, :, :]
    maps = output.flatten(1, -3)
    return maps * 2**module.J if compensate else maps
