"""Weights of networks that were trained on another package's order of the scattering coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from hybrid.models.frontends import Scattering
from hybrid.models.hybrid import HybridModel
from hybrid.scattering import pyscatwave_order

ChannelOrder = Literal["kymatio", "pyscatwave"]


def from_pyscatwave(model: HybridModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of this model's network, trained on pyscatwave's coefficients, for the order of kymatio, which is ours.

    weights: by their names in model.state_dict(). What is reordered: the normalization, tensor by tensor, and the inputs of
    the head's first layer of weights, with the batch norm before it if there is one. Tensors of other shapes than the
    model's stay as they are. Raises ValueError for a front-end without scattering, and for a head that does not begin with
    a layer on its channels.
    """
    if not isinstance(model.frontend, Scattering):
        raise ValueError(f"only scattering coefficients have pyscatwave's order, not a {type(model.frontend).__name__}")
    channels, height, width = model.frontend.output_shape
    theirs = torch.tensor(pyscatwave_order(*_settings(model.frontend)))
    colours = channels // len(theirs)
    channel = (torch.arange(colours)[:, None] * len(theirs) + theirs.argsort()).flatten()
    own = model.state_dict()
    result = dict(weights)
    for name, axis in _first_tensors(model, channels, height * width):
        if name not in weights or weights[name].shape != own[name].shape:
            continue
        tensor = weights[name]
        if tensor.shape[axis] not in (channels, channels * height * width):
            raise ValueError(f"{name} takes {tensor.shape[axis]} inputs, not the {channels} channels of the front-end")
        by_channel = tensor.unflatten(axis, (channels, -1))  # and by pixel, of a layer on flattened maps
        result[name] = by_channel.index_select(axis, channel.to(tensor.device)).flatten(axis, axis + 1)
    return result


def _settings(frontend: Scattering) -> tuple[int, int, int]:
    transform = frontend.transform
    return transform.J, transform.L, transform.max_order


def _first_tensors(model: HybridModel, channels: int, pixels: int) -> Iterator[tuple[str, int]]:
    """(name, axis) of the tensors that have an entry for each channel that comes out of the front-end."""
    for name, tensor in model.normalization.state_dict().items():
        if tensor.dim() and len(tensor) == channels:
            yield f"normalization.{name}", 0
    for name, module in model.head.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_features in (channels, channels * pixels):
            yield from ((f"head.{name}.{key}", 0) for key, tensor in module.state_dict().items() if tensor.dim())
        elif isinstance(module, nn.Conv2d | nn.Linear):
            yield f"head.{name}.weight", 1
            return
