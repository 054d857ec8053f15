"""The compiled transform as a torch operator: hybrid::scattering, its gradient, and what tracers need to know.

Its arguments are a tensor and the settings as numbers, so that graphs can hold it. Second and higher derivatives are those of the
torch engine, which recomputes everything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import TorchEngine

# Not torch.library.custom_op: its operators import torch._dynamo at their first call, which takes as long as torch itself.
_library = torch.library.Library("hybrid", "FRAGMENT")
_SETTINGS = "int J, int height, int width, int L, int max_order, bool pre_pad, bool periodic"
for _schema in (
    f"scattering(Tensor images, {_SETTINGS}) -> Tensor",
    f"scattering_backward(Tensor images, Tensor gradients, {_SETTINGS}) -> Tensor",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))


def apply(images: Tensor, settings: Settings) -> Tensor:
    """(B, H, W) float32 on a CPU or a CUDA device -> (B, P, h, w), differentiable."""
    return torch.ops.hybrid.scattering.default(
        images, settings.J, *settings.shape, settings.L, settings.max_order, settings.pre_pad, settings.periodic
    )


def _forward_on_cpu(images: Tensor, *numbers: int) -> Tensor:
    return kernel_for(_settings(numbers), len(images)).forward(images)


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


def _empty_gradient(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.numbers = inputs[len(tensors) :]


def _gradient(ctx: Any, gradients: Tensor) -> tuple[Any, ...]:
    (images,) = ctx.saved_tensors
    result = torch.ops.hybrid.scattering_backward.default(images, gradients, *ctx.numbers)
    return result, *[None] * len(ctx.numbers)


def _gradient_of_gradient(ctx: Any, cotangents: Tensor) -> tuple[Any, ...]:
    engine = TorchEngine(_settings(ctx.numbers)).to(cotangents.device)
    return *second_derivatives(engine, ctx.saved_tensors, cotangents), *[None] * len(ctx.numbers)


def second_derivatives(
    engine: nn.Module, saved: tuple[Tensor, Tensor], cotangents: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """With respect to the images and to the gradients that came in, which are `saved`, through a torch engine."""
    further = torch.is_grad_enabled()  # a third derivative will be asked for
    with torch.enable_grad():
        # New tensors: the gradients that came in usually depend on the images, and that path is autograd's, not ours.
        images, gradients = (t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in saved)
        first = torch.autograd.grad(engine(images), images, gradients, create_graph=True)
        return torch.autograd.grad(first, (images, gradients), cotangents, create_graph=further, allow_unused=True)


_library.impl("scattering", _forward_on_cpu, "CPU")
_library.impl("scattering", _forward_on_cuda, "CUDA")
_library.impl("scattering_backward", _backward_on_cpu, "CPU")
_library.impl("scattering_backward", _backward_on_cuda, "CUDA")
torch.library.register_fake("hybrid::scattering", _empty_coefficients, lib=_library)
torch.library.register_fake("hybrid::scattering_backward", _empty_gradient, lib=_library)
torch.library.register_autograd("hybrid::scattering", _gradient, setup_context=_remember, lib=_library)
torch.library.register_autograd(
    "hybrid::scattering_backward", _gradient_of_gradient, setup_context=_remember, lib=_library
)
