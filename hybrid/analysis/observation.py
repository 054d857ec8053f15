"""The outputs of a model's layers for given images, by one forward that leaves no trace in the model or in its training.

values = observe(model, images, layers_of(model))
values["S1"], values["head.stem.2"], values["logits"]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.analysis.layers import LOGITS, PIXELS, Layer, output_tensor, plain_model, scattering_of
from hybrid.errors import UserError
from hybrid.scattering import Scattering2D
from hybrid.taps import modules_of, undisturbed, watch

Keep = Callable[[Tensor, Layer], Tensor]
_Take = Callable[[Tensor], Tensor]


def observe(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[Layer],
    *,
    compensate_energy: bool = True,
    differentiable: bool = False,
    keep: Keep = lambda values, _layer: values.clone(),
) -> dict[str, Tensor]:
    """The outputs of the layers for images (N, C, H, W) that the model takes: layer -> (N, ...), by one forward.

    The forward is one in evaluation mode; the model's modes, its buffers and torch's random generators stay as they are.
    Values are copies, so later work in-place does not show in them. Scattering layers are (N, C · paths of the order, h, w).

    Args:
        layers: from `layers_of(model)`.
        compensate_energy: multiply scattering layers by 2^J. A transform subsampled by 2^J keeps one value in 4^J; with
            the factor, its norm estimates the one before subsampling and compares with that of the pixels.
        differentiable: keep the graph, for gradients and torch.func with respect to the images; else there is none.
        keep: takes a layer's output as soon as it exists, with the layer, and returns the tensor to keep. It must return a
            tensor of its own, so that the output can be freed.

    Raises ValueError for a layer that did not run, or that does not give one tensor with a row per image.
    """
    model = plain_model(model)
    targets = _targets(model, layers, compensate_energy)
    values: dict[str, Tensor] = {}

    def store(tap: str, output: Any) -> None:
        for layer, take in targets.get(tap, ()):
            values[layer.name] = keep(take(_rows(layer, output, len(images))), layer)

    watched = modules_of(model, [tap for tap in targets if tap not in (PIXELS, LOGITS)])
    with undisturbed(model), torch.set_grad_enabled(differentiable), watch(watched, store):
        store(PIXELS, images)
        store(LOGITS, output_tensor(model(images)))
    for layer in layers:
        if layer.name not in values:
            raise ValueError(f"layer {layer.name} did not run in this forward")
    return {layer.name: values[layer.name] for layer in layers}


def _rows(layer: Layer, output: Any, images: int) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != images:
        raise ValueError(f"layer {layer.name} does not give one tensor with a row for each of the {images} images")
    return output


def _targets(model: nn.Module, layers: Sequence[Layer], compensate: bool) -> dict[str, list[tuple[Layer, _Take]]]:
    """tap -> the layers that are made of that output, each with the function that takes it from the output."""
    scattering = scattering_of(model)
    targets: dict[str, list[tuple[Layer, _Take]]] = {}
    for layer in layers:
        tap, take = layer.name, _whole
        if layer.kind == "scattering":
            if scattering is None:
                raise UserError(f"layer {layer.name}: the model has no scattering transform, or several")
            tap, take = scattering[0], partial(_orders, scattering[1], layer.order, compensate)
        targets.setdefault(tap, []).append((layer, take))
    return targets


def _whole(output: Tensor) -> Tensor:
    return output


def _orders(module: Scattering2D, order: int | None, compensate: bool, output: Tensor) -> Tensor:
    """(N, ..., paths, h, w) -> (N, channels, h, w): the paths of one order, or all; paths are sorted by order."""
    if order is not None:
        positions = [index for index, path in enumerate(module.paths) if path.order == order]
        output = output[..., positions[0] : positions[-1] + 1, :, :]
    maps = output.flatten(1, -3)
    return maps * 2**module.J if compensate else maps
