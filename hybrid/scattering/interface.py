"""What every scattering engine does alike: checks, batch dimensions, number types, where the filters live."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.geometry import check_parameters, output_size, padded_shape
from hybrid.scattering.paths import Path, scattering_paths

_INPUT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class ScatteringModule(nn.Module, ABC):
    """(..., H, W) real images -> (..., P, ⌊H/2^J⌋, ⌊W/2^J⌋) scattering coefficients of each image by itself.

    An engine implements `_transform`. Its filters are non-persistent buffers: they follow the module to a device, but are
    in no checkpoint, and `.half()`, `.double()` and the like leave their precision alone.
    """

    engine_name: ClassVar[str] = "torch"

    def __init__(self, J: int, shape: tuple[int, int], L: int, max_order: int, *, pre_pad: bool) -> None:
        super().__init__()
        self.shape = check_parameters(J, shape, L, max_order)
        self.J, self.L, self.max_order, self.pre_pad = J, L, max_order, pre_pad
        self.padded_shape = padded_shape(self.shape, J)
        self.paths: tuple[Path, ...] = scattering_paths(J, L, max_order)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(P, h, w) for one image of one channel."""
        return (len(self.paths), *output_size(self.shape, self.J))

    def forward(self, images: Tensor) -> Tensor:
        """Transform images of any leading dimensions (none, or empty, too), any strides and any floating-point type.

        float64 is computed and returned in float64; float32 in float32, also under autocast; float16 and bfloat16 are
        computed and returned in float32, because second-order coefficients underflow in half precision.
        Raises ValueError for what is no tensor, another type of numbers, or a size that is not the module's.
        """
        self._check_input(images)
        if images.dtype != torch.float64:
            images = images.float()
        batch = images.shape[:-2]
        if not torch.compiler.is_exporting() and images.numel() == 0:
            return images.reshape(*batch, *self.output_shape)  # some Fourier transforms refuse an empty batch
        flat = images.flatten(0, -3) if batch else images.unsqueeze(0)
        return self._transform(flat).reshape(*batch, *self.output_shape)

    @abstractmethod
    def _transform(self, images: Tensor) -> Tensor:
        """(B, H, W) float32 or float64, B ≥ 1 -> (B, P, h, w) of the same type."""

    def engine_on(self, device: torch.device | str) -> str:
        """Which engine computes float32 images on this device, in words. Compiled code is made now where it is not there."""
        height, width = self.shape
        return f"scattering of {height}x{width} images, J={self.J}: {self.engine_name} engine"

    def _check_input(self, images: Tensor) -> None:
        height, width = self.padded_shape if self.pre_pad else self.shape
        if isinstance(images, np.ndarray):
            raise ValueError("scattering takes torch tensors, got a NumPy array: convert it with torch.from_numpy()")
        if not isinstance(images, Tensor):
            raise ValueError(f"scattering takes torch tensors, got a {type(images).__name__}")
        if images.dtype not in _INPUT_TYPES:
            kind = str(images.dtype).removeprefix("torch.")
            raise ValueError(f"scattering takes real floating-point images, got {kind}: convert them with .float()")
        if images.ndim < 2 or images.shape[-2] != height or images.shape[-1] != width:
            padded = " (pre_pad=True: images already padded)" if self.pre_pad else ""
            raise ValueError(f"expected images of shape (..., {height}, {width}){padded}, got {tuple(images.shape)}")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ScatteringModule:
        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)

    def extra_repr(self) -> str:
        settings: dict[str, Any] = {"J": self.J, "shape": self.shape, "L": self.L, "max_order": self.max_order}
        if self.pre_pad:
            settings["pre_pad"] = True
        return ", ".join(f"{name}={value}" for name, value in settings.items())
