"""The compiled transforms as torch operators, their gradients, and what tracers need to know.

hybrid::scattering has the fixed filters; hybrid::learned_scattering takes them as one row of numbers (`as_row`). The other
arguments are tensors and the settings as numbers, so that graphs can hold them. Second and higher derivatives are those of the
torch engine, which recomputes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cpu.learned_tables import as_row, from_row
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import Filters, FourierEngine, TorchEngine

# Not torch.library.custom_op: its operators import torch._dynamo at their first call, which takes as long as torch itself.
_library = torch.library.Library("hybrid", "FRAGMENT")
_SETTINGS = "int J, int height, int width, int L, int max_order, bool pre_pad, bool periodic"
for _schema in (
    f"scattering(Tensor images, {_SETTINGS}) -> Tensor",
    f"scattering_backward(Tensor images, Tensor gradients, {_SETTINGS}) -> Tensor",
    f"learned_scattering(Tensor images, Tensor filters, {_SETTINGS}) -> Tensor",
    f"learned_scattering_backward(Tensor images, Tensor filters, Tensor gradients, bool of_images, {_SETTINGS})"
    " -> (Tensor, Tensor)",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))


def apply(images: Tensor, settings: Settings) -> Tensor:
    """(B, H, W) float32 on a CPU or a CUDA device -> (B, P, h, w), differentiable."""
    return torch.ops.hybrid.scattering.default(images, *_numbers(settings))


def apply_learned(images: Tensor, filters: Filters, settings: Settings) -> Tensor:
    """(B, H, W) float32 on a CPU, filters as `FourierEngine` takes them -> (B, P, h, w), differentiable by both."""
    return torch.ops.hybrid.learned_scattering.default(images, as_row(filters, settings), *_numbers(settings))


def _numbers(settings: Settings) -> tuple[int, ...]:
    return settings.J, *settings.shape, settings.L, settings.max_order, settings.pre_pad, settings.periodic


def _forward_on_cpu(images: Tensor, *numbers: int) -> Tensor:
    return kernel_for(_settings(numbers), len(images)).forward(images)


def _learned_on_cpu(images: Tensor, filters: Tensor, *numbers: int) -> Tensor:
    return kernel_for(_settings(numbers), len(images)).forward(images, filters)


def _learned_backward_on_cpu(
    images: Tensor, filters: Tensor, gradients: Tensor, of_images: bool, *numbers: int
) -> tuple[Tensor, Tensor]:
    kernel = kernel_for(_settings(numbers), len(images), "backward")
    return kernel.backward_to_filters(images, filters, gradients, of_images=of_images)


def _backward_on_cpu(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    return kernel_for(_settings(numbers), len(images), "backward").backward(images, gradients)


def _forward_on_cuda(images: Tensor, *numbers: int) -> Tensor:
    with torch.cuda.device(images.device):
        return transform_for(_settings(numbers), "forward", images.device).forward(images)


def _backward_on_cuda(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    with torch.cuda.device(images.device):
        return transform_for(_settings(numbers), "backward", images.device).backward(images, gradients)


def _settings(numbers: tuple[int, ...]) -> Settings:
    J, height, width, L, max_order, pre_pad, periodic = numbers
    return Settings(J, (height, width), L, max_order, bool(pre_pad), bool(periodic))


def _empty_coefficients(images: Tensor, *numbers: int) -> Tensor:
    return images.new_empty(images.shape[0], *_settings(numbers).output_shape)


def _empty_learned_coefficients(images: Tensor, filters: Tensor, *numbers: int) -> Tensor:
    return _empty_coefficients(images, *numbers)


def _empty_gradient(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


def _empty_learned_gradients(
    images: Tensor, filters: Tensor, gradients: Tensor, of_images: bool, *numbers: int
) -> tuple[Tensor, Tensor]:
    of_filters = torch.empty_like(filters, memory_format=torch.contiguous_format)
    return _empty_gradient(images, gradients) if of_images else images.new_empty(0), of_filters


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.numbers = inputs[len(tensors) :]


def _gradient(ctx: Any, gradients: Tensor) -> tuple[Any, ...]:
    (images,) = ctx.saved_tensors
    result = torch.ops.hybrid.scattering_backward.default(images, gradients, *ctx.numbers)
    return result, *[None] * len(ctx.numbers)


def _learned_gradient(ctx: Any, gradients: Tensor) -> tuple[Any, ...]:
    images, filters = ctx.saved_tensors
    wanted = ctx.needs_input_grad[0]
    found = torch.ops.hybrid.learned_scattering_backward.default(images, filters, gradients, wanted, *ctx.numbers)
    return found[0] if wanted else None, found[1], *[None] * len(ctx.numbers)


def _gradient_of_gradient(ctx: Any, cotangents: Tensor) -> tuple[Any, ...]:
    engine = TorchEngine(_settings(ctx.numbers)).to(cotangents.device)
    return *second_derivatives(engine, ctx.saved_tensors, cotangents), *[None] * len(ctx.numbers)


def _gradient_of_learned_gradient(ctx: Any, of_images: Tensor, of_filters: Tensor) -> tuple[Any, ...]:
    wanted, *numbers = ctx.numbers
    settings = _settings(tuple(numbers))
    engine = FourierEngine(settings)

    def coefficients(images: Tensor, row: Tensor) -> Tensor:
        return engine.coefficients(images, from_row(row, settings), settings.L)

    cotangents = of_images if wanted else None, of_filters
    return *second_derivatives(coefficients, ctx.saved_tensors, *cotangents), *[None] * len(ctx.numbers)


def second_derivatives(
    engine: Callable[..., Tensor], saved: Sequence[Tensor], *cotangents: Tensor | None
) -> tuple[Tensor | None, ...]:
    """With respect to the arguments of a torch engine, and to the gradients that came in, which are `saved` in this order.

    cotangents: of the gradient with respect to each argument; None for one that was not computed.
    """
    further = torch.is_grad_enabled()  # a third derivative will be asked for
    with torch.enable_grad():
        # New tensors: the gradients that came in usually depend on the images, and that path is autograd's, not ours.
        *inputs, gradients = (t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in saved)
        pairs = [pair for pair in zip(inputs, cotangents, strict=True) if pair[1] is not None]
        wanted, given = zip(*pairs, strict=True)
        first = torch.autograd.grad(engine(*inputs), wanted, gradients, create_graph=True)
        return torch.autograd.grad(first, (*inputs, gradients), given, create_graph=further, allow_unused=True)


_library.impl("scattering", _forward_on_cpu, "CPU")
_library.impl("scattering", _forward_on_cuda, "CUDA")
_library.impl("scattering_backward", _backward_on_cpu, "CPU")
_library.impl("scattering_backward", _backward_on_cuda, "CUDA")
_library.impl("learned_scattering", _learned_on_cpu, "CPU")
_library.impl("learned_scattering_backward", _learned_backward_on_cpu, "CPU")
for _name, _fake, _derivative in (
    ("scattering", _empty_coefficients, _gradient),
    ("scattering_backward", _empty_gradient, _gradient_of_gradient),
    ("learned_scattering", _empty_learned_coefficients, _learned_gradient),
    ("learned_scattering_backward", _empty_learned_gradients, _gradient_of_learned_gradient),
):
    torch.library.register_fake(f"hybrid::{_name}", _fake, lib=_library)
    torch.library.register_autograd(f"hybrid::{_name}", _derivative, setup_context=_remember, lib=_library)
