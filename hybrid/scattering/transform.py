"""A transform of images of one size as a module: what it takes, in which types, and in which shape it answers."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.empty import at_least_one, holds_nothing, is_exporting
from hybrid.scattering.filters import MorletBank, morlet_bank
from hybrid.scattering.geometry import Boundary, ScatteringError, Settings

Images = TypeVar("Images", Tensor, np.ndarray)

_TENSOR_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ARRAY_TYPES = (np.float16, np.float32, np.float64)


class ImageTransform(nn.Module):
    """(..., H, W) real images -> (..., *output_shape), each image by itself, computed by `engine`.

    settings: sizes, scales and angles. paths: a tuple whose entry for each channel has an `order` (0, 1 or 2). output_shape: that
    of one image's coefficients.
    """

    settings: Settings
    paths: tuple[Any, ...]
    output_shape: tuple[int, ...]
    engine: nn.Module
    fourier_flops: int  # about, of the Fourier transforms of one image (hybrid/scattering/costs.py)

    @property
    def J(self) -> int:
        """The largest scale is 2^J pixels."""
        return self.settings.J

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the images."""
        return self.settings.shape

    @property
    def L(self) -> int:
        """The number of angles."""
        return self.settings.L

    @property
    def boundary(self) -> Boundary:
        """How the images go on beyond their border."""
        return self.settings.boundary

    @property
    def padded_shape(self) -> tuple[int, int]:
        """(H, W) of the padded images."""
        return self.settings.padded

    def own_filters(self) -> MorletBank | None:
        """The filters, where they are not those of `hybrid.scattering.filters.morlet_bank`: None."""
        return None

    def filter_bank(self) -> MorletBank:
        """The filters in float64, as NumPy arrays in the Fourier domain."""
        return self.own_filters() or morlet_bank(self.J, self.padded_shape, self.L)

    def engine_on(self, device: torch.device | str) -> str:
        """Which engine computes float32 images on this device, in words. Code is compiled now if it is not there."""
        height, width = self.shape
        return f"scattering of {height}x{width} images, J={self.J}: {self.engine.words(torch.device(device))}"

    def of_images(self, images: Images) -> Images:
        """Transform images of any leading dimensions (none, or empty, too), any strides and any floating-point type.

        float64 is computed and returned in float64, everything else in float32. NumPy arrays are computed on the module's
        device and returned as NumPy arrays, without a gradient. Raises ScatteringError for other types and sizes.
        """
        return self._of_array(images) if isinstance(images, np.ndarray) else self._of_tensor(images)

    def _of_array(self, images: np.ndarray) -> np.ndarray:
        if images.dtype.type not in _ARRAY_TYPES:
            raise ScatteringError(_not_floating(images.dtype, ".astype(np.float32)"))
        self._check_size(images.shape, "array" if self.settings.pre_pad else "NumPy array")
        native = np.require(images, images.dtype.newbyteorder("="), ["C", "W"])  # torch takes no other
        device = next(self.buffers()).device
        with torch.no_grad():
            return self._coefficients(torch.from_numpy(native).to(device)).cpu().numpy()

    def _of_tensor(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor):
            raise ScatteringError(f"the input should be a torch tensor or a NumPy array, got a {type(images).__name__}")
        if images.dtype not in _TENSOR_TYPES:
            raise ScatteringError(_not_floating(str(images.dtype).removeprefix("torch."), ".float()"))
        self._check_size(tuple(images.shape), "tensor" if self.settings.pre_pad else "Tensor")
        return self._coefficients(images)

    def _check_size(self, shape: tuple[int, ...], noun: str) -> None:
        height, width = self.settings.input_shape
        if len(shape) < 2:
            raise ScatteringError(f"images must have at least two dimensions, (..., {height}, {width}), got {shape}")
        if shape[-2] != height or shape[-1] != width:
            what = f"Padded {noun}" if self.settings.pre_pad else noun
            why = "; pre_pad=True takes images that are already padded" if self.settings.pre_pad else ""
            raise ScatteringError(f"{what} must be of spatial size (..., {height}, {width}), got {shape}{why}")

    def _coefficients(self, images: Tensor) -> Tensor:
        if images.dtype != torch.float64:
            images = images.float()
        batch = images.shape[:-2]
        if holds_nothing(images):  # some Fourier transforms refuse an empty batch
            return images[..., 0, 0].reshape(*batch, *[1] * len(self.output_shape)).expand(*batch, *self.output_shape)
        flat = images.flatten(0, -3) if batch else images.unsqueeze(0)
        if is_exporting():
            return at_least_one(self._transformed, flat).reshape(*batch, *self.output_shape)
        return self._transformed(flat).reshape(*batch, *self.output_shape)

    def _transformed(self, images: Tensor) -> Tensor:
        """(B, H, W) float32 or float64, B ≥ 1 -> (B, *output_shape)."""
        # Not self.engine(…): an engine is no layer of a model, so hooks and recorders of layers do not see it.
        return self.engine.forward(images)


def _not_floating(kind: object, conversion: str) -> str:
    return f"scattering takes real floating-point images, got {kind}: convert them with {conversion}"
