"""From images to the vectors that a classifier learns from: coefficients at several sizes, logarithm, averages, scale.

The stages are those of Sifre & Mallat (CVPR 2013): the coefficients of the image, and of the image shrunk by √2^i; their
logarithm at every position; the mean over positions; the mean over sizes. What does not depend on other images is computed once,
and kept in a file for other commands.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybrid.data import Data
from hybrid.errors import UserError
from hybrid.ranges import Positive, Range, check_ranges
from hybrid.training.feature_cache import digest_images
from hybrid.training.feature_cache.file import FeatureFile
from hybrid.version import __version__

if TYPE_CHECKING:
    from sklearn.base import TransformerMixin

_BATCH, _FEW = 64, 8  # images at a time; as many are computed again to check a file
_REACH = 4  # standard deviations of the Gaussian before an image is shrunk
FrontEndFor = Callable[[tuple[int, int, int]], nn.Module]


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """The settings of configs/features/*.yaml, which say what each means."""

    order_0: bool
    log: Positive | None
    average: bool
    sizes: Annotated[int, Range(1, 8)]
    sizes_apart: bool
    normalize: Literal["none", "paths", "range", "standard"]

    def __post_init__(self) -> None:
        check_ranges(self, path="features")
        if self.sizes > 1 and not self.average:
            raise UserError(
                f"features.sizes={self.sizes} needs features.average=true: maps of images of several sizes have not the same "
                "positions."
            )
        if self.sizes == 1 and self.sizes_apart:
            raise UserError("features.sizes_apart=true has no effect with features.sizes=1.")

    def transforms(self, image_shape: tuple[int, int, int], frontend: FrontEndFor) -> list[nn.Module]:
        """The front-ends for the image and its shrunk copies. Raises UserError where one does not fit.

        frontend: makes one for images of a shape (C, H, W).
        """
        found = [frontend(image_shape)]
        for number in range(1, self.sizes):
            shape = (image_shape[0], *(round(side / math.sqrt(2) ** number) for side in image_shape[1:]))
            words = f"features.sizes={self.sizes} shrinks images to {shape[1]} x {shape[2]} pixels"
            try:
                found.append(frontend(shape))
            except UserError as error:
                raise UserError(f"{words}: {error}") from error
            channels = [each.output_shape[0] for each in found[-2:]]
            if channels[0] != channels[1]:
                raise UserError(
                    f"{words}, where model.frontend.J=auto gives {channels[1]} channels, not {channels[0]}: set "
                    "model.frontend.J, or fewer sizes."
                )
        for each in found:
            _columns(each, image_shape[0], order_0=self.order_0)
        return found

    def vectors(self, images: Data, transforms: Sequence[nn.Module], *, kept: Any, device: torch.device) -> Tensor:
        """(n, v, D) of the images of the split "train" of `images`, in their order; v is 1, or `sizes` where they stay apart.

        Args:
            images: each image of the data set once, at most.
            transforms: as `transforms` makes them.
            kept: what a file of features depends on beside the images and these settings; None: no file is read or written.
            device: where the front-end computes.
        """
        found = [self._at_size(number, images, each, kept, device) for number, each in enumerate(transforms)]
        vectors = torch.stack(found, 1) if len(found) > 1 else found[0][:, None]
        return vectors if self.sizes_apart else vectors.mean(1, keepdim=True)

    def scaler(self, positions: int) -> TransformerMixin | None:
        """What brings features to one scale, to be fitted to training vectors (n, D); None: nothing does."""
        if self.normalize == "paths":
            from hybrid.classification.path_scaler import PathScaler

            return PathScaler(1 if self.average else positions)
        if self.normalize == "none":
            return None
        from sklearn.preprocessing import MinMaxScaler, StandardScaler

        return StandardScaler() if self.normalize == "standard" else MinMaxScaler((-1, 1))

    def _at_size(self, number: int, images: Data, transform: nn.Module, kept: Any, device: torch.device) -> Tensor:
        """(n, D) of all images, shrunk by √2^number to the size that the front-end is for."""
        transform = transform.to(device).eval()
        sides = tuple(round(side / math.sqrt(2) ** number) for side in images.image_shape[1:])
        columns = _columns(transform, images.image_shape[0], order_0=self.order_0)

        def batches(size: int = _BATCH) -> Iterator[Tensor]:
            for batch in images.loader("train", batch_size=size, device=device).epoch(0):
                yield self._of_maps(transform(shrunk(batch.images, number, sides))[:, columns]).float().cpu()

        with torch.no_grad():
            if kept is None:
                return torch.cat([*batches()])
            length = self._length(transform, int(columns.sum()))
            about = {**kept, "features": [number, self.order_0, self.log, self.average], "version": __version__}
            file = FeatureFile(_key(images, about), (len(images.splits["train"]), length), asked="cache=true")
            return file.rows(batches(_FEW), batches)[0]

    def _of_maps(self, maps: Tensor) -> Tensor:
        """(n, C, h, w) -> (n, D)."""
        if self.log is not None:
            maps = torch.log(maps.clamp_min(0) + self.log)
        return maps.mean((-2, -1)) if self.average else maps.flatten(1)

    def _length(self, transform: nn.Module, channels: int) -> int:
        _, height, width = transform.output_shape
        return channels if self.average else channels * height * width


def shrunk(images: Tensor, number: int, sides: tuple[int, int]) -> Tensor:
    """(n, C, H, W) -> (n, C, *sides): smoothed by a Gaussian of ½ √(2^number - 1) pixels, and sampled bilinearly."""
    if number == 0:
        return images
    std = 0.5 * math.sqrt(2**number - 1)
    reach = min(math.ceil(_REACH * std), *(side - 1 for side in images.shape[-2:]))
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-places.square() / (2 * std**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    smooth = functional.pad(images, (reach,) * 4, mode="reflect")
    smooth = functional.conv2d(smooth, weights, groups=images.shape[1])
    smooth = functional.conv2d(smooth, weights.transpose(2, 3), groups=images.shape[1])
    return functional.interpolate(smooth, size=sides, mode="bilinear", align_corners=False)


def _columns(frontend: nn.Module, colours: int, *, order_0: bool) -> Tensor:
    """(C,) bool: the channels of the front-end's maps that are taken."""
    channels = frontend.output_shape[0]
    if order_0:
        return torch.ones(channels, dtype=torch.bool)
    paths = getattr(getattr(frontend, "transform", None), "paths", None)
    if paths is None:
        raise UserError(
            f"features.order_0=false has no effect on the front-end {type(frontend).__name__}, whose maps have no order."
        )
    return torch.tensor([path.order > 0 for path in paths]).repeat(colours)


def _key(images: Data, about: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=12)
    digest_images(digest, images, images.splits["train"])
    return digest.hexdigest()
