"""kymatio's own engine behind the same interface: for cross-checks, several times slower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybrid.scattering.interface import ScatteringModule


class KymatioScattering2D(ScatteringModule):
    """kymatio 0.3's `Scattering2D` with this package's checks, input types, strides and empty state_dict.

    Parameters, shapes and errors are those of `hybrid.scattering.Scattering2D`. Its filters are computed by kymatio in
    single precision, up to 2e-7 of their maximum from the exact ones, and serve float64 images too.
    Raises ImportError when kymatio is not installed.
    """

    engine_name = "kymatio"

    def __init__(
        self, J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, pre_pad: bool = False
    ) -> None:
        super().__init__(J, shape, L, max_order, pre_pad=pre_pad)
        self.engine = _engine_class()(J, self.shape, L=L, max_order=max_order, pre_pad=pre_pad)
        if pre_pad:
            self.engine.pad = _append_axis  # kymatio's is a lambda, which cannot be pickled
        for name, filters in list(self.engine.named_buffers()):
            self.engine.register_buffer(name, filters, persistent=False)

    def _transform(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        if images.dtype == torch.float32:
            return self.engine(images)
        filters = {name: buffer.double() for name, buffer in self.engine.named_buffers()}
        return torch.func.functional_call(self.engine, filters, images)


def _engine_class() -> Any:
    try:
        # Not kymatio.torch: that imports the 3-D transform, which SciPy 1.17 broke, and renames classes so that they
        # cannot be pickled.
        from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D
    except ImportError as error:
        raise ImportError("engine=kymatio needs the package kymatio 0.3: pip install 'kymatio==0.3.*'") from error
    return ScatteringTorch2D


def _append_axis(images: Tensor) -> Tensor:
    return images.unsqueeze(-1)
