"""Weights of networks that were trained on scattering coefficients in the order of another package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from hybrid.models.frontends import Scattering
from hybrid.models.hybrid import HybridModel
from hybrid.scattering import pyscatwave_order
from hybrid.taps import run_blank

ChannelOrder = Literal["kymatio", "pyscatwave"]


def from_pyscatwave(model: HybridModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reorder weights that were trained on pyscatwave's coefficients for kymatio's order, which is also ours.

    The normalization's tensors are reordered, and the inputs of the first layer of weights in the head, with the batch norm
    before it if there is one. A forward pass shows which layer that is. Tensors of other shapes than the model's stay as they
    are.

    Args:
        model: the model that the weights are for.
        weights: tensors by their names in model.state_dict().

    Raises:
        ValueError: the front-end has no scattering, or the head does not begin with a layer on the channels.
    """
    if not isinstance(model.frontend, Scattering):
        raise ValueError(f"only scattering coefficients have pyscatwave's order, not a {type(model.frontend).__name__}")
    channels, height, width = model.frontend.output_shape
    theirs = torch.tensor(pyscatwave_order(*_settings(model.frontend)))
    colours = channels // len(theirs)
    channel = (torch.arange(colours)[:, None] * len(theirs) + theirs.argsort()).flatten()
    own = model.state_dict()
    result = dict(weights)
    for name, axis in _first_tensors(model, channels):
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


def _first_tensors(model: HybridModel, channels: int) -> Iterator[tuple[str, int]]:
    """(name, axis) of the tensors that have an entry for each channel of the front-end's maps."""
    for name, tensor in model.normalization.state_dict().items():
        if tensor.dim() and len(tensor) == channels:
            yield f"normalization.{name}", 0
    names = {module: ".".join(filter(None, ("head", name))) for name, module in model.head.named_modules()}
    for module in _with_weights_in_order(model):
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield f"{names[module]}.weight", 1
            return
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            break
        yield from ((f"{names[module]}.{key}", 0) for key, tensor in module.state_dict().items() if tensor.dim())
    raise ValueError(
        "the head begins with weights whose channels cannot be told: a convolution or linear layer, with or without batch "
        "norm before it, could be reordered"
    )


def _with_weights_in_order(model: HybridModel) -> list[nn.Module]:
    """The head's modules with weights of their own, in the order of a forward pass."""
    met: list[nn.Module] = []
    own = [module for module in model.head.modules() if next(module.parameters(recurse=False), None) is not None]
    own += [module for module in model.head.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    hooks = [module.register_forward_pre_hook(lambda module, _: met.append(module)) for module in dict.fromkeys(own)]
    try:
        run_blank(model, model.image_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return met
