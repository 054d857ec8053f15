"""Settings of a recipe, read off its objects: model, optimizer, schedule, augmentation, division of the data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from hybrid.configuration import instantiate
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Data
from hybrid.data.augmentation import BatchAugmenter
from hybrid.durations import RunLength
from hybrid.models import HybridModel, describe
from hybrid.runs.folder import identity
from hybrid.training.optimizer import optimizer_from
from hybrid.training.settings import Settings
from published.protocols import Protocol


class Composed:
    """The objects of a protocol's recipe, each built when it is asked for. `read` gives a setting as text.

    Names are `steps`, `batch`, `epoch steps`, `lr STEP`, `momentum STEP`, `nesterov`, `decay PARAMETER`, `parameters`, `GMAC`,
    `std LAYER` (of initial weights), `norm LAYER` (eps, momentum, affine), `layer LAYER` (as torch prints it), `pixels`,
    `geometries` (of crop and flip), `augmentation SETTING`, `images` (train and validation), `setting NAME` (any setting of the
    identity), `precision`.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.cfg = compose(list(protocol.command))

    def read(self, name: str) -> str:
        """The setting with this name."""
        words = name.split(" ", 1)
        reader: Callable[..., str] = getattr(self, f"_{words[0].lower()}")
        return reader(*words[1:])

    @functools.cached_property
    def model(self) -> HybridModel:
        """The model, with initial weights."""
        torch.manual_seed(0)
        return model_from(self.cfg.model, image_shape=self.protocol.shape, num_classes=self.protocol.classes)

    @functools.cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the model."""
        return optimizer_from(self.cfg.optimizer, self.model)

    @functools.cached_property
    def length(self) -> RunLength:
        """The length of the run on the protocol's training images."""
        batches = -(-self.protocol.train_images // self.cfg.trainer.batch_size)
        return RunLength.of(self.cfg.trainer.duration, steps_per_epoch=batches)

    @functools.cached_property
    def schedule(self) -> Any:
        """The schedule, a function of the step."""
        return instantiate(self.cfg.schedule, path="schedule", length=self.length)

    @functools.cached_property
    def data(self) -> Data:
        """The data, of which no file is read."""
        return data_from(self.cfg.data, self.cfg.augmentation, seed=0)

    def _steps(self) -> str:
        return f"{self.length.total_steps:,}"

    def _batch(self) -> str:
        return str(Settings.of(self.cfg).trainer.batch_size)

    def _precision(self) -> str:
        return Settings.of(self.cfg).trainer.precision

    def _lr(self, step: str) -> str:
        rate = self.optimizer.param_groups[0]["lr"] * self.schedule(int(step.replace(",", ""))).lr_factor
        return f"{rate:.4g}"

    def _momentum(self, step: str) -> str:
        cycled = self.schedule(int(step.replace(",", ""))).momentum
        return f"{self.optimizer.param_groups[0]['momentum'] if cycled is None else cycled:.4g}"

    def _nesterov(self) -> str:
        return "Nesterov" if self.optimizer.param_groups[0]["nesterov"] else "no Nesterov"

    def _decay(self, parameter: str) -> str:
        wanted = dict(self.model.named_parameters())[parameter]
        [group] = [group for group in self.optimizer.param_groups if any(p is wanted for p in group["params"])]
        return f"{group['weight_decay']:g}"

    def _parameters(self) -> str:
        return f"{sum(p.numel() for p in self.model.parameters() if p.requires_grad):,}"

    def _gmac(self) -> str:
        billions = describe(self.model).macs / 1e9
        return f"{billions:.2f}" if billions >= 0.1 else f"{billions:.3g}"

    def _std(self, layer: str) -> str:
        return f"{self._module(layer).weight.std().item():.2g}"

    def _norm(self, layer: str) -> str:
        norm = self._module(layer)
        return f"eps {norm.eps:g}, momentum {norm.momentum:g}, {'affine' if norm.affine else 'not affine'}"

    def _layer(self, layer: str) -> str:
        return str(self._module(layer)).replace("\n", " ")

    def _module(self, layer: str) -> nn.Module:
        return self.model.get_submodule(layer)

    def _pixels(self) -> str:
        return (
            str(self.data._scale)
            if isinstance(self.data._scale, str)
            else " ".join(
                f"{part} ({', '.join(f'{value:g}' for value in values)})"
                for part, values in (("mean", self.data._scale.mean), ("std", self.data._scale.std))
            )
        )

    def _geometries(self) -> str:
        return str(geometries(BatchAugmenter(self.data.augmentation, fill=torch.zeros(3, dtype=torch.uint8))))

    def _augmentation(self, name: str) -> str:
        return str(getattr(self.data.augmentation, name))

    def _images(self) -> str:
        count = _LABELS.get(str(self.cfg.choices.data), self.protocol.train_images)
        classes = self.protocol.classes
        labels = torch.arange(classes).repeat_interleave(-(-count // classes))[:count]
        train, held_out = self.data._division.divide(labels, None, num_classes=classes, seed=0)
        return f"{len(train):,} train, {len(held_out):,} validate"

    def _setting(self, name: str) -> str:
        value = identity(self.cfg).get(name, OmegaConf.select(self.cfg, name))
        return str(value)


_LABELS = {"cifar10": 50_000, "mnist": 60_000, "stl10": 5_000, "digits": 1_437}


def geometries(augmenter: BatchAugmenter) -> int:
    """The number of different images that crop and flip make of one whose pixels all differ."""
    pixels = torch.arange(1, 32 * 32 + 1, dtype=torch.int32).view(1, 1, 32, 32)
    pad = augmenter.augmentation.pad
    offsets = (torch.arange(2 * pad + 1) + 0.5) / (2 * pad + 1)
    flips = torch.tensor([0.25, 0.75])
    draws = torch.cartesian_prod(offsets, offsets, flips)
    draws = torch.cat([draws, torch.zeros(len(draws), augmenter.DRAWS - 3)], dim=1)
    made = augmenter.crop_and_flip(pixels.expand(len(draws), -1, -1, -1), draws)
    return len(made.flatten(1).unique(dim=0))
