"""A model: a front-end, a normalization and a head, one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.models import parts
from hybrid.models.parts import check_part, shape_words
from hybrid.models.units import Units
from hybrid.plain import plain
from hybrid.taps import is_fitted

PartOrFactory = nn.Module | Callable[..., nn.Module]


class HybridModel(nn.Module):
    """A front-end, a normalization and a head: images (N, C, H, W), float and normalised -> logits (N, num_classes).

    `hybrid.models.parts` says what each part does. `model.to(memory_format=torch.channels_last)` also converts the maps of the
    front-end to that format, once, if the head prefers it. (The Fourier transform leaves contiguous maps, which every
    convolution would convert for itself.)

    Attributes:
        frontend: images -> maps.
        normalization: brings the maps to a common scale.
        head: maps -> logits.
        units: brings the head's outputs to the units of the values that are predicted; None where the outputs are logits.
        image_shape: (C, H, W) of the images.
        num_classes: the number of outputs.
        channels_last: whether the features are brought to channels_last.
    """

    def __init__(
        self,
        frontend: nn.Module,
        normalization: nn.Module,
        head: nn.Module,
        *,
        image_shape: tuple[int, int, int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.normalization = normalization
        self.head = head
        self.units: Units | None = None
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.channels_last = False

    def forward(self, images: Tensor) -> Tensor:
        check_tensor(images)
        if images.dim() != 4 or tuple(images.shape[1:]) != self.image_shape:
            wanted = shape_words(("N", *self.image_shape))
            raise ValueError(f"the model takes images {wanted}, got {shape_words(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"the model takes normalised float images, got {images.dtype}")
        return self.of_features(self._features(images))

    def of_features(self, features: Tensor) -> Tensor:
        """The model's outputs for features (N, C, H, W), which the front-end has made of images."""
        outputs = self.head(self.normalization(features))
        return outputs if self.units is None else self.units(outputs)

    def use_units(self, mean: Tensor, std: Tensor) -> None:
        """Take the head's outputs for numbers of standard deviations `std` (num_classes,) from `mean` (num_classes,)."""
        device = next((tensor.device for tensor in self.state_dict().values()), mean.device)
        self.units = Units(mean, std).to(device)

    def _features(self, images: Tensor) -> Tensor:
        features = self.frontend(images)
        return features.contiguous(memory_format=torch.channels_last) if self.channels_last else features

    def to(self, *args: Any, **kwargs: Any) -> HybridModel:
        """As nn.Module.to; `memory_format` is that of the features, too, if the head prefers channels_last."""
        if kwargs.get("memory_format") is not None:
            wanted = kwargs["memory_format"] == torch.channels_last
            self.channels_last = wanted and parts.prefers_channels_last(self.head)
        return super().to(*args, **kwargs)

    @property
    def needs_statistics(self) -> bool:
        """Whether `fit_statistics` must run before the first forward: the normalization has to be fitted, and is not."""
        return not is_fitted(self.normalization)

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[Tensor]) -> None:
        """Fit the normalization in one pass over training images (N, C, H, W), preprocessed as for evaluation."""
        parts.fit(self.normalization, (self.frontend(images) for images in batches))

    @torch.no_grad()
    def fit_normalization(self, batches: Iterable[Tensor]) -> None:
        """Fit the normalization in one pass over features (N, C, H, W), which the front-end has made of training images."""
        parts.fit(self.normalization, batches)


def build(
    *,
    frontend: PartOrFactory,
    normalization: PartOrFactory,
    head: PartOrFactory,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> HybridModel:
    """Build a model of three parts, each for the shape that the part before it gives.

        build(
            frontend=partial(Scattering, J=2), normalization=BatchNormalization, head=partial(wide_resnet, k=2),
            image_shape=(3, 32, 32), num_classes=10,
        )

    A part is a module, or a class or function that makes one. The front-end's is called with `image_shape` (C, H, W), the
    normalization's with `input_shape` (C, H, W), the head's with `input_shape` and `num_classes`. Raises UserError, naming
    the part, for one that is no module or does not fit: it is tried on two blank samples, unless one of hybrid's own classes
    has just been built for the shape.
    """
    image_shape, num_classes = _checked(plain(image_shape), plain(num_classes))
    first = _made(frontend, "frontend", image_shape=image_shape)
    features = parts.output_shape(first)
    check_part(first, path="model.frontend", takes=image_shape, gives=features, trusted=first is not frontend)
    second = _made(normalization, "normalization", input_shape=features)
    check_part(second, path="model.normalization", takes=features, gives=features, trusted=second is not normalization)
    third = _made(head, "head", input_shape=features, num_classes=num_classes)
    check_part(third, path="model.head", takes=features, gives=(num_classes,), trusted=third is not head)
    return HybridModel(first, second, third, image_shape=image_shape, num_classes=num_classes)


def check_tensor(images: Any) -> None:
    """Raises TypeError for a NumPy array or anything else that is no tensor."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"the model takes a torch tensor (N, C, H, W), got {type(images).__name__}: torch.from_numpy(array) makes one, and "
            "run.predict takes arrays and files as they are"
        )


def _checked(image_shape: Sequence[int], num_classes: int) -> tuple[tuple[int, int, int], int]:
    sizes = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if len(sizes) != 3 or not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise UserError(
            f"image_shape={image_shape!r} is not valid: it is (channels, height, width), such as (3, 32, 32)."
        )
    if not isinstance(num_classes, Integral) or isinstance(num_classes, bool) or num_classes < 1:
        raise UserError(f"num_classes={num_classes!r} is not valid: it is a whole number from 1.")
    channels, height, width = map(int, sizes)
    return (channels, height, width), int(num_classes)


def _made(part: PartOrFactory, name: str, **shapes: Any) -> nn.Module:
    if isinstance(part, nn.Module):
        return part
    try:
        inspect.signature(part).bind(**shapes)
    except (TypeError, ValueError) as error:  # the latter where a partial function's own arguments do not fit
        called = getattr(part, "__qualname__", part)
        raise UserError(f"model.{name}: {called} is called with {' and '.join(shapes)}, and {error}.") from error
    return part(**shapes)
