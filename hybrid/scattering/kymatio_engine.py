"""kymatio's own code as an engine: for comparisons. It is several times slower than the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import keep_precision


class KymatioEngine(nn.Module):
    """(B, H, W) float32 or float64 images, B ≥ 1 -> (B, P, h, w) coefficients of the same type, by kymatio 0.3.

    kymatio computes its filters in single precision, up to 2e-7 of their maximum from the exact ones, and they serve
    float64 images, too. Raises ImportError when kymatio is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        scattering = _kymatio_class()
        self.kymatio = scattering(
            settings.J, settings.shape, L=settings.L, max_order=settings.max_order, pre_pad=settings.pre_pad
        )
        if settings.pre_pad:
            self.kymatio.pad = _append_axis  # kymatio's is a lambda, which cannot be pickled
        for name, filters in list(self.kymatio.named_buffers()):
            self.kymatio.register_buffer(name, filters, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        images = images.contiguous()
        if images.dtype == torch.float32:
            return self.kymatio(images)
        filters = {name: buffer.double() for name, buffer in self.kymatio.named_buffers()}
        return torch.func.functional_call(self.kymatio, filters, images)

    def words(self, device: torch.device) -> str:
        """The engine's name, as `Scattering2D.engine_on` gives it."""
        return "kymatio engine"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> KymatioEngine:
        return super()._apply(keep_precision(fn), recurse)


def _kymatio_class() -> Any:
    try:
        # Not kymatio.torch: that imports the 3-D transform, which SciPy 1.17 broke, and renames classes so that they
        # cannot be pickled.
        from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D
    except ImportError as error:
        raise ImportError("engine=kymatio needs the package kymatio 0.3: pip install 'kymatio==0.3.*'") from error
    return ScatteringTorch2D


def _append_axis(images: Tensor) -> Tensor:
    return images.unsqueeze(-1)
