"""A short comparison of compiled code with the torch engine, on the device on which it was loaded, once for each direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import TorchEngine

# Errors of a working kernel are 1e-7 for values and 1e-6 to 1e-5 for gradients; those of a broken one are near 1.
LARGEST_ERROR = 1e-3
# Of the difference quotient, for pixels between 0 and 1: no wave may pass through 0 on the way, where its modulus has a corner.
_STEP = 1e-7


class Transform(Protocol):
    """One compiled direction of the transform of one `Settings`."""

    settings: Settings
    direction: Direction
    device: torch.device

    def forward(self, images: Tensor) -> Tensor: ...

    def backward(self, images: Tensor, gradients: Tensor) -> Tensor: ...


@_disable_current_modes()  # a compiler that traces the caller would see these tensors
@torch.no_grad()
def check(transform: Transform) -> None:
    """Compare a transform with the torch engine in float64 on three images. Raises CompilerError if it is wrong."""
    settings, generator = transform.settings, torch.Generator().manual_seed(0)
    engine = TorchEngine(settings).to(transform.device)
    images = torch.rand(3, *settings.input_shape, generator=generator).to(transform.device)
    if transform.direction == "forward":
        expected = engine(images.double())
        error = (transform.forward(images) - expected).norm() / expected.norm()
    else:
        weights = torch.randn(3, *settings.output_shape, generator=generator).to(images)
        error = gradient_error(engine, images, weights, transform.backward(images, weights))
    if not error.item() <= LARGEST_ERROR:  # NaN too
        raise CompilerError(f"the {transform.direction} code computes wrong numbers here, relative error {error:.1e}")


def gradient_error(engine: Callable[[Tensor], Tensor], images: Tensor, weights: Tensor, gradient: Tensor) -> Tensor:
    """Return the error of the slope along a random direction, relative to the gradient's length.

    gradient: of sum(weights · engine(images)) with respect to the images.
    """
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(images.shape, generator=generator).to(images)
    ahead, behind = (engine(images.double() + sign * _STEP * direction) for sign in (1, -1))
    slope = ((ahead - behind) * weights).sum() / (2 * _STEP)
    return ((gradient.double() * direction).sum() - slope).abs() / gradient.double().norm()
