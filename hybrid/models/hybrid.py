"""A model: front-end, normalization, head, built from a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from hybrid.configuration import instantiate
from hybrid.errors import UserError, unknown_name
from hybrid.models.probe import check_part, shape_words

_PARTS = ("frontend", "normalization", "head")


class HybridModel(nn.Module):
    """Images (N, C, H, W), float and already normalised -> logits (N, num_classes).

    The front-end's output is brought to the head's memory format in one explicit step (`model.to(memory_format=...)`
    sets it): the Fourier transform leaves contiguous maps, and convolutions that each convert them would pay for it
    every time.
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
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.channels_last = False

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or tuple(images.shape[1:]) != self.image_shape:
            wanted = shape_words(("N", *self.image_shape))
            raise ValueError(f"the model takes images {wanted}, got {shape_words(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"the model takes normalised float images, got {images.dtype}")
        return self.head(self.normalization(self._features(images)))

    def _features(self, images: Tensor) -> Tensor:
        features = self.frontend(images)
        return features.contiguous(memory_format=torch.channels_last) if self.channels_last else features

    def to(self, *args: Any, **kwargs: Any) -> HybridModel:
        """As nn.Module.to; `memory_format` also decides the format of the features that a head of convolutions gets.

        Other heads flatten the features, which costs nothing in the contiguous format alone.
        """
        if kwargs.get("memory_format") is not None:
            convolves = any(isinstance(module, nn.Conv2d) for module in self.head.modules())
            self.channels_last = kwargs["memory_format"] == torch.channels_last and convolves
        return super().to(*args, **kwargs)

    @property
    def needs_statistics(self) -> bool:
        """Whether `fit_statistics` must run before the first forward (a statistics normalization, not yet fitted)."""
        return not getattr(self.normalization, "fitted", True)

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[Tensor]) -> None:
        """Fit the normalization in one pass over training images (N, C, H, W), preprocessed as for evaluation."""
        self.fit_normalization(self.frontend(images) for images in batches)

    @torch.no_grad()
    def fit_normalization(self, batches: Iterable[Tensor]) -> None:
        """The same from what the front-end makes of the images."""
        if not hasattr(self.normalization, "fit"):
            raise UserError(f"{type(self.normalization).__name__} has no statistics to fit")
        self.normalization.fit(batches)


def build(
    config: Mapping[str, Any] | DictConfig, *, image_shape: tuple[int, int, int], num_classes: int
) -> HybridModel:
    """Build the model of `config`: sections frontend, normalization and head, each with a `_target_`.

    The front-end's class gets `image_shape` and must have an `output_shape`; the normalization's gets that as
    `input_shape`, the head's gets `input_shape` and `num_classes`. Raises UserError for whatever does not fit, naming
    its place: classes that are not hybrid's own are tried on a blank batch.
    """
    for name in config:
        if name not in _PARTS:
            raise unknown_name(str(name), _PARTS, what="key in model")
    for name in _PARTS:
        if config.get(name) is None:
            raise UserError(f"model.{name} is missing: choose one with model/{name}=…")
    image_shape = tuple(int(size) for size in image_shape)
    frontend = instantiate(config["frontend"], path="model.frontend", image_shape=image_shape)
    features = _output_shape(frontend)
    check_part(frontend, path="model.frontend", takes=image_shape, gives=features)
    normalization = instantiate(config["normalization"], path="model.normalization", input_shape=features)
    check_part(normalization, path="model.normalization", takes=features, gives=features)
    head = instantiate(config["head"], path="model.head", input_shape=features, num_classes=num_classes)
    check_part(head, path="model.head", takes=features, gives=(num_classes,))
    return HybridModel(frontend, normalization, head, image_shape=image_shape, num_classes=num_classes)


def _output_shape(frontend: nn.Module) -> tuple[int, int, int]:
    shape = getattr(frontend, "output_shape", None)
    if shape is None or len(tuple(shape)) != 3:
        raise UserError(f"model.frontend: {type(frontend).__name__} needs an attribute output_shape = (C, H, W)")
    return tuple(int(size) for size in shape)
