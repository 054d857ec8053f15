"""The compiled transform as a torch operator: hybrid::scattering, its gradient, and what tracers need to know.

Its arguments are a tensor and the settings as numbers, so that graphs can hold it. Second and higher derivatives are those of the
torch engine, which recomputes everything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.compiled.tables import Settings
from hybrid.scattering.transform import Scattering2D

_SETTINGS = "int J, int height, int width, int L, int max_order, bool pre_pad"


def apply(images: Tensor, settings: Settings) -> Tensor:
    """(B, H, W) float32 on a CPU or a CUDA device -> (B, P, h, w), differentiable."""
    return scattering(images, settings.J, *settings.shape, settings.L, settings.max_order, settings.pre_pad)


@custom_op("hybrid::scattering", mutates_args=(), device_types="cpu", schema=f"(Tensor images, {_SETTINGS}) -> Tensor")
def scattering(images: Tensor, *numbers: int) -> Tensor:
    """The coefficients."""
    return kernel_for(_settings(numbers), len(images)).forward(images)


@custom_op(
    "hybrid::scattering_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor images, Tensor gradients, {_SETTINGS}) -> Tensor",
)
def scattering_backward(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    """The gradient of sum(gradients · coefficients) with respect to the images."""
    return kernel_for(_settings(numbers), len(images), "backward").backward(images, gradients)


@scattering.register_kernel("cuda")
def _(images: Tensor, *numbers: int) -> Tensor:
    with torch.cuda.device(images.device):
        return transform_for(_settings(numbers), "forward", images.device).forward(images)


@scattering_backward.register_kernel("cuda")
def _(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    with torch.cuda.device(images.device):
        return transform_for(_settings(numbers), "backward", images.device).backward(images, gradients)


def _settings(numbers: tuple[int, ...]) -> Settings:
    J, height, width, L, max_order, pre_pad = numbers
    return Settings(J, (height, width), L, max_order, bool(pre_pad))


@scattering.register_fake
def _(images: Tensor, *numbers: int) -> Tensor:
    return images.new_empty(images.shape[0], *_settings(numbers).output_shape)


@scattering_backward.register_fake
def _(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    return torch.empty_like(images, memory_format=torch.contiguous_format)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.numbers = inputs[len(tensors) :]


def _gradient(ctx: Any, gradients: Tensor) -> tuple[Any, ...]:
    (images,) = ctx.saved_tensors
    return scattering_backward(images, gradients, *ctx.numbers), *[None] * len(ctx.numbers)


def _gradient_of_gradient(ctx: Any, cotangents: Tensor) -> tuple[Any, ...]:
    """With respect to the images and to the gradients that came in, through the torch engine."""
    engine = _torch_engine(_settings(ctx.numbers)).to(cotangents.device)
    further = torch.is_grad_enabled()  # a third derivative will be asked for
    with torch.enable_grad():
        # New tensors: the gradients that came in usually depend on the images, and that path is autograd's, not ours.
        images, gradients = (
            t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in ctx.saved_tensors
        )
        first = torch.autograd.grad(engine(images), images, gradients, create_graph=True)
        second = torch.autograd.grad(first, (images, gradients), cotangents, create_graph=further, allow_unused=True)
    return *second, *[None] * len(ctx.numbers)


def _torch_engine(settings: Settings) -> Scattering2D:
    return Scattering2D(settings.J, settings.shape, settings.L, settings.max_order, pre_pad=settings.pre_pad)


scattering.register_autograd(_gradient, setup_context=_remember)
scattering_backward.register_autograd(_gradient_of_gradient, setup_context=_remember)
