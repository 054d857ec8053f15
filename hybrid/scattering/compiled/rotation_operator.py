"""The compiled transform on rotations and translations as a torch operator: hybrid::roto_translation, and its gradient.

Second and higher derivatives are those of the torch engine, which recomputes everything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybrid.scattering.compiled.cpu.rotation_kernels import rotation_kernel_for
from hybrid.scattering.compiled.operator import second_derivatives
from hybrid.scattering.geometry import Settings
from hybrid.scattering.rotation.engine import RotationEngine
from hybrid.scattering.rotation.parameters import RotationSettings

_library = torch.library.Library("hybrid", "FRAGMENT")
_SETTINGS = "int J, int height, int width, int L, int K, bool joint, bool pre_pad, bool periodic"
for _schema in (
    f"roto_translation(Tensor images, {_SETTINGS}) -> Tensor",
    f"roto_translation_backward(Tensor images, Tensor gradients, {_SETTINGS}) -> Tensor",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))


def apply(images: Tensor, settings: RotationSettings) -> Tensor:
    """(B, H, W) float32 on a CPU -> (B, P, h, w) with averaged angles, differentiable."""
    plane = settings.plane
    numbers = plane.J, *plane.shape, plane.L, settings.K, settings.joint, plane.pre_pad, plane.periodic
    return torch.ops.hybrid.roto_translation.default(images, *numbers)


def _settings(numbers: tuple[int, ...]) -> RotationSettings:
    J, height, width, L, K, joint, pre_pad, periodic = numbers
    plane = Settings(J, (height, width), L, pre_pad=bool(pre_pad), periodic=bool(periodic))
    return RotationSettings(plane, K, bool(joint))


def _forward(images: Tensor, *numbers: int) -> Tensor:
    return rotation_kernel_for(_settings(numbers), len(images)).forward(images)


def _backward(images: Tensor, gradients: Tensor, *numbers: int) -> Tensor:
    return rotation_kernel_for(_settings(numbers), len(images), "backward").backward(images, gradients)


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
    result = torch.ops.hybrid.roto_translation_backward.default(images, gradients, *ctx.numbers)
    return result, *[None] * len(ctx.numbers)


def _gradient_of_gradient(ctx: Any, cotangents: Tensor) -> tuple[Any, ...]:
    engine = RotationEngine(_settings(ctx.numbers))
    return *second_derivatives(engine, ctx.saved_tensors, cotangents), *[None] * len(ctx.numbers)


_library.impl("roto_translation", _forward, "CPU")
_library.impl("roto_translation_backward", _backward, "CPU")
torch.library.register_fake("hybrid::roto_translation", _empty_coefficients, lib=_library)
torch.library.register_fake("hybrid::roto_translation_backward", _empty_gradient, lib=_library)
torch.library.register_autograd("hybrid::roto_translation", _gradient, setup_context=_remember, lib=_library)
torch.library.register_autograd(
    "hybrid::roto_translation_backward", _gradient_of_gradient, setup_context=_remember, lib=_library
)
