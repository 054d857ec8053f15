"""The random changes of training images: their settings, and those that are made for a whole batch at once.

They come in this order: random-resized crop (of image files) or padding and crop, horizontal flip, AutoAugment or one of its
relatives, cutout, then mixup or cutmix of the whole batch, then the preprocessing. All of them work on uint8, except mixup,
which makes fractions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from hybrid.data.randomness import epoch_generator
from hybrid.errors import UserError
from hybrid.lazy import LazyModule
from hybrid.ranges import Range, Share, check_ranges

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

PadMode = Literal["symmetric", "reflect", "zero", "after_normalize"]
Policy = Literal[
    "autoaugment_cifar10", "autoaugment_imagenet", "autoaugment_svhn", "randaugment", "trivialaugment", "psn"
]  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Augmentation:
    """The settings of an augmentation, as configs/augmentation/*.yaml list them. By default everything is off.

    Attributes:
        pad: pixels that are added on each side before a random crop back to the image's size; 0: no crop.
        pad_mode: "symmetric" repeats the edge pixel (d c b a | a b c d: OpenCV's BORDER_REFLECT, the published scattering
            protocol), "reflect" does not (d c b | a b c d: torch's and torchvision's "reflect"), "zero" is black,
            "after_normalize" adds zeros after data.normalize, which are the mean colour where that subtracts the mean (the
            released code of "Building a Regular Decision Boundary").
        flip: the probability of a horizontal flip.
        policy: one of torchvision's policies, or "psn", that of the released parametric scattering networks with their
            Cutout (`hybrid.data.psn_policy`). They work on the CPU.
        magnitude: the strength of randaugment, 0 to 30; None: 9.
        operations: randaugment's operations for an image; None: 2.
        cutout: the side in pixels of a square that is filled with the mean pixel, its centre anywhere in the image (DeVries
            and Taylor 2017); 0: none.
        random_resized_crop: (smallest, largest) part of the area of an image file: the training crop of ImageNet.
        mixup: the α of the Beta(α, α) that draws the weight of an image (Zhang et al. 2018); 0: off.
        cutmix: the same for cutmix (Yun et al. 2019); with both, each step tosses a coin.

    Raises:
        UserError: a value is out of range, has no effect, or excludes another.
    """

    pad: Annotated[int, Range(0, 65_536)] = 0
    pad_mode: PadMode = "symmetric"
    flip: Share = 0.0
    policy: Policy | None = None
    magnitude: Annotated[int, Range(0, 30)] | None = None
    operations: Annotated[int, Range(1, 1000)] | None = None
    cutout: Annotated[int, Range(0, 65_536)] = 0
    random_resized_crop: Annotated[tuple[float, float], Range(0, 1, above=True)] | None = None
    mixup: Annotated[float, Range(0, 1e6)] = 0.0
    cutmix: Annotated[float, Range(0, 1e6)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, path="augmentation")
        self._check_policy()
        self._check_after_normalize()
        area = self.random_resized_crop
        if area is not None and area[0] > area[1]:
            raise UserError(f"augmentation.random_resized_crop={list(area)} must be [smallest, largest] within 0..1")
        if area is not None and self.pad:
            raise UserError("augmentation.pad and augmentation.random_resized_crop both crop: set one of them")
        if self.pad == 0 and self.pad_mode != "symmetric":
            _log.warning("augmentation.pad_mode=%s has no effect while augmentation.pad is 0.", self.pad_mode)

    def _check_policy(self) -> None:
        set_here = [name for name in ("magnitude", "operations") if getattr(self, name) is not None]
        if set_here and self.policy != "randaugment":
            raise UserError(f"augmentation.{set_here[0]} has an effect with augmentation.policy=randaugment alone")

    def _check_after_normalize(self) -> None:
        if self.pad_mode != "after_normalize":
            return
        others = [name for name in ("policy", "cutout", "mixup", "cutmix") if getattr(self, name)]
        if others:
            raise UserError(
                f"augmentation.{others[0]} changes pixels before data.normalize, and augmentation.pad_mode=after_normalize crops "
                "after it: choose another pad_mode, such as zero."
            )

    @property
    def crops_last(self) -> bool:
        """Whether images are cropped and mirrored after they are normalised."""
        return self.pad > 0 and self.pad_mode == "after_normalize"

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with each other."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def beyond_mirroring(self) -> tuple[str, ...]:
        """The settings, as a user writes them, that change an image otherwise than by mirroring it."""
        names = ("pad", "policy", "cutout", "random_resized_crop", "mixup", "cutmix")
        return tuple(f"augmentation.{name}={getattr(self, name)}" for name in names if getattr(self, name))

    def check_size(self, height: int, width: int) -> None:
        """Raises UserError where the padding or the cutout is too large for the images."""
        limit = min(height, width) - (self.pad_mode == "reflect")
        if self.pad > limit:
            raise UserError(
                f"augmentation.pad={self.pad} is too large for {height}x{width} images with pad_mode={self.pad_mode}: at most "
                f"{limit}"
            )
        if self.policy == "psn" and min(height, width) <= 8:
            raise UserError(
                f"augmentation.policy=psn cuts squares of 16 pixels: {height}x{width} images are too small."
            )
        if self.cutout > 2 * max(height, width):
            raise UserError(f"augmentation.cutout={self.cutout} would cover {height}x{width} images wherever it falls")


class BatchAugmenter:
    """Padding and crop, flip and cutout of a whole batch at once, on any device.

    All that is random comes from a table of uniform numbers with one row for each sample.
    """

    DRAWS = 5  # crop y, crop x, flip, cutout y, cutout x: always all, so that one that is off changes no other

    def __init__(self, augmentation: Augmentation, *, fill: Tensor) -> None:
        """`fill`: (C,) uint8, the colour of cutout's square."""
        self.augmentation, self.fill = augmentation, fill

    @property
    def draws_any(self) -> bool:
        """Whether there is a change that needs the table."""
        return bool(self.augmentation.pad or self.augmentation.flip or self.augmentation.cutout)

    def table(self, samples: int, *, seed: int, epoch: int) -> Tensor:
        """(samples, DRAWS) float32 in [0, 1): all that is random about the images of one epoch."""
        generator = epoch_generator(seed, "augmentation", epoch)
        return torch.rand(samples, self.DRAWS, generator=generator)

    def crop_and_flip(self, images: Tensor, draws: Tensor) -> Tensor:
        """Crop and flip images (N, C, H, W) of any type, by their rows `draws` (N, DRAWS) of the table, on the same device."""
        if not self.augmentation.pad and not self.augmentation.flip:
            return images
        pad, mode = self.augmentation.pad, self.augmentation.pad_mode
        height, width = images.shape[-2:]
        if height == width:
            both = _window(draws[:, :2], height, pad, mode)
            (rows, columns), (rows_inside, columns_inside) = (each.unbind(1) for each in both)
        else:
            rows, rows_inside = _window(draws[:, 0], height, pad, mode)
            columns, columns_inside = _window(draws[:, 1], width, pad, mode)
        flipped = self.flipped(draws)[:, None]
        columns = torch.where(flipped, columns.flip(1), columns)
        # whole rows first, and then the pixels in them: twice as fast as every pixel by a number of its own
        count, channels = images.shape[:2]
        first = torch.arange(0, count * channels * height, height, device=images.device)
        rows_of_all = (first.view(count, channels, 1) + rows[:, None]).flatten()
        result = images.reshape(-1, width).index_select(0, rows_of_all).view(images.shape)
        result = result.gather(3, columns[:, None, None].expand(-1, channels, height, -1))
        if mode in ("zero", "after_normalize") and pad:
            columns_inside = torch.where(flipped, columns_inside.flip(1), columns_inside)
            result = result * (rows_inside[:, None, :, None] & columns_inside[:, None, None, :])
        return result

    def flipped(self, draws: Tensor) -> Tensor:
        """(N,) bool: which images `crop_and_flip` mirrors."""
        return draws[:, 2] < self.augmentation.flip

    def cutout(self, images: Tensor, draws: Tensor) -> Tensor:
        """Fill a square around a drawn pixel of each image (N, C, H, W); the square is cut off at the border."""
        size = self.augmentation.cutout
        if not size:
            return images
        rows = _interval(draws[:, 3], images.shape[-2], size)
        columns = _interval(draws[:, 4], images.shape[-1], size)
        square = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(square, self.fill.to(images.device).view(1, -1, 1, 1), images)


def _integers(uniforms: Tensor, count: int) -> Tensor:
    """Uniforms in [0, 1) to whole numbers in 0..count-1."""
    return (uniforms * count).long().clamp_max(count - 1)


def _window(uniforms: Tensor, size: int, pad: int, mode: PadMode) -> tuple[Tensor, Tensor]:
    """(…, size) source indices of a random window of a padded axis, for uniforms (…), and whether they lie inside the image.

    No padding is made: an index in it is reflected to the pixel that it repeats.
    """
    offsets = _integers(uniforms, 2 * pad + 1) - pad
    index = offsets[..., None] + torch.arange(size, device=uniforms.device)
    inside = (index >= 0) & (index < size)
    if mode in ("zero", "after_normalize"):
        return index.clamp(0, size - 1), inside
    edge = 0 if mode == "reflect" else 1
    index = torch.where(index < 0, -index - edge, index)
    return torch.where(index >= size, 2 * size - 2 + edge - index, index), inside


def _interval(uniforms: Tensor, size: int, length: int) -> Tensor:
    """(N, size) bool: the `length` pixels around a drawn centre."""
    start = _integers(uniforms, size) - length // 2
    index = torch.arange(size, device=uniforms.device)
    return (index >= start[:, None]) & (index < start[:, None] + length)
