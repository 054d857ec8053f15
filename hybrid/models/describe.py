"""A description of a model: layers, parameters, multiply-accumulates and depth, all counted in a forward pass."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from hybrid.models import parts
from hybrid.models.hybrid import HybridModel
from hybrid.scattering import ImageTransform
from hybrid.taps import run_blank

# How convolutions and linear layers appear in the graph of autograd.
_WEIGHTED = {"ConvolutionBackward0", "AddmmBackward0", "MmBackward0", "LinearBackward0"}


@dataclass(frozen=True)
class Layer:
    """One call of one layer.

    Attributes:
        name: its place in the model, such as "head.stem.0".
        type: the name of its class.
        output_shape: the shape of its output for one image.
        parameters: its trainable parameters; 0 in a second call.
        macs: its multiply-accumulates for one image.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Description:
    """The layers of a model in the order in which they run, and its totals.

    Attributes:
        layers: one entry for each call of a layer.
        parameters: trainable parameters.
        macs: multiply-accumulates of convolutions and linear layers for one image, without the scattering transform.
        depth: convolutions and linear layers on the longest path.
        scattering_flops: an estimate of the floating-point operations of the scattering's Fourier transforms for one image;
            None without scattering.
    """

    layers: tuple[Layer, ...]
    parameters: int
    macs: int
    depth: int
    scattering_flops: int | None


def describe(model: HybridModel, image_shape: tuple[int, int, int] | None = None) -> Description:
    """Describe a model by one forward pass of a blank image (C, H, W) in evaluation mode. The model stays as it is."""
    layers: list[Layer] = []
    counted: set[nn.Module] = set()
    with ExitStack() as hooks:
        hooks.callback(model.frontend.register_forward_hook(_begin_graph).remove)
        for name, module in _rows(model):
            record = partial(_record, layers, counted, name)
            hooks.callback(module.register_forward_hook(record).remove)
        logits = run_blank(model, image_shape or model.image_shape, differentiable=True)
    return Description(
        layers=tuple(layers),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
        depth=_depth(logits),
        scattering_flops=_scattering_flops(model.frontend),
    )


def _rows(model: HybridModel) -> list[tuple[str, nn.Module]]:
    """The front-end as a whole, then every module that has no parts or has parameters of its own."""
    rows: list[tuple[str, nn.Module]] = [("frontend", model.frontend)]
    for name, module in model.named_modules():
        if name.startswith("frontend") or isinstance(module, nn.Identity):
            continue
        if not list(module.children()) or list(module.parameters(recurse=False)):
            rows.append((name, module))
    return rows


def _record(
    layers: list[Layer], counted: set[nn.Module], name: str, module: nn.Module, _inputs: Any, output: Tensor
) -> None:
    own = module.parameters() if name == "frontend" else module.parameters(recurse=False)
    parameters = 0 if module in counted else sum(p.numel() for p in own if p.requires_grad)
    counted.add(module)
    layers.append(Layer(name, type(module).__name__, tuple(output.shape[1:]), parameters, _macs(module, output)))


def _begin_graph(_module: nn.Module, _inputs: Any, features: Tensor) -> Tensor | None:
    """Let the graph begin at the features: frozen layers after them then count, and the products of a scattering do not."""
    return None if features.requires_grad else features.detach().requires_grad_()


def _macs(module: nn.Module, output: Tensor) -> int:
    if hasattr(module, "macs"):  # a layer of another kind says it itself
        return module.macs(output)
    if isinstance(module, nn.Conv2d):
        kernel = math.prod(module.kernel_size) * module.in_channels // module.groups
        return output[0].numel() * kernel
    return output[0].numel() * module.in_features if isinstance(module, nn.Linear) else 0


def _depth(logits: Tensor) -> int:
    """Convolutions and linear layers on the longest path of the graph that ends in `logits`.

    A path does not count the 1x1 convolution of a shortcut beside the block that it bypasses; a count of modules would.
    """
    depth: dict[Any, int] = {}
    stack = [logits.grad_fn]
    while stack:
        node = stack[-1]
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        waiting = [parent for parent in parents if parent not in depth]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        depth[node] = max((depth[parent] for parent in parents), default=0) + (node.name() in _WEIGHTED)
    return depth[logits.grad_fn]


def _scattering_flops(frontend: nn.Module) -> int | None:
    """The operations of the Fourier transforms of all colours (`hybrid.scattering.costs`)."""
    transform = parts.scattering_of(frontend)
    if not isinstance(transform, ImageTransform):
        return None
    channels = parts.output_shape(frontend)[0] // transform.output_shape[0]
    return transform.fourier_flops * channels


def sizing(model: HybridModel) -> str:
    """What was chosen for the size of the images, in words: the scale of the scattering and its maps, the stem of the head."""
    words = []
    transform = parts.scattering_of(model.frontend)
    if isinstance(transform, ImageTransform):
        channels, height, width = parts.output_shape(model.frontend)
        words.append(f"J={transform.J}, {channels} maps of {height}x{width}")
    if stem := getattr(model.head, "stem", None):
        words += [f"stem={stem}"] if isinstance(stem, str) else []
    return ", ".join(words)


def table(description: Description) -> list[tuple[str, ...]]:
    """Rows of text for printing: a header, then a row for each layer."""
    rows = [("layer", "type", "output", "parameters", "MACs")]
    for layer in description.layers:
        shape = "x".join(map(str, layer.output_shape))
        parameters = f"{layer.parameters:,}" if layer.parameters else ""
        rows.append((layer.name, layer.type, shape, parameters, f"{layer.macs:,}" if layer.macs else ""))
    return rows


def totals(description: Description) -> str:
    """One or two lines of totals."""
    line = (
        f"{description.parameters:,} trainable parameters, {description.macs / 1e9:.3f} GMAC per image "
        f"(convolutions and linear layers), depth {description.depth}"
    )
    if description.scattering_flops is None:
        return line
    flops = description.scattering_flops / 1e9
    return f"{line}\nscattering, not in the MACs: Fourier transforms of about {flops:.3f} GFLOP per image"
