"""The two training loops that bench_training.py and compare_loops.py compare, and their images. No command of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL.Image import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

import hybrid.models
from hybrid.configuration import build_record, instantiate
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.data import Augmentation, Batch, Data, MemorySource
from hybrid.data.scale import PixelStatistics
from hybrid.data.splits import Division
from hybrid.seeding import seed_everything
from hybrid.training.settings import TrainerSettings
from hybrid.training.step import Meter, compiled, train_step

MEAN, STD, PAD = 0.5, 0.25, 4


@dataclass(frozen=True)
class Case:
    """A network of configs/model, on colour images side × side."""

    model: str
    side: int
    batch: int
    classes: int


class RandomImages(MemorySource):
    """Noise: how long a step takes does not depend on what is on the images."""

    name = "noise"

    def __init__(self, case: Case, *, count: int) -> None:
        self.size = case.side
        generator = torch.Generator().manual_seed(0)
        self._images = torch.randint(0, 256, (count, 3, case.side, case.side), dtype=torch.uint8, generator=generator)
        self._labels = torch.arange(count) % case.classes
        self._classes = case.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self._classes)))

    def read(self, part: str) -> tuple[Tensor, Tensor]:
        return self._images, self._labels


def configuration(case: Case, *settings: str) -> DictConfig:
    return compose([f"model={case.model}", "augmentation=crop_flip", f"augmentation.pad={PAD}", *settings])


def build(case: Case, cfg: DictConfig) -> hybrid.models.HybridModel:
    seed_everything(0)
    return model_from(cfg.model, image_shape=(3, case.side, case.side), num_classes=case.classes).train()


@dataclass
class Side(ABC):
    """One of those that are compared."""

    front_end: nn.Module
    images: Tensor  # a batch, as the front-end takes it

    @abstractmethod
    def take(self) -> object:
        """The next batch, augmented and on the device."""

    @abstractmethod
    def train(self, batch: Any) -> None:
        """Update the weights with it."""


class Ours(Side):
    """What the trainer does at a step."""

    def __init__(
        self, case: Case, images: RandomImages, batch: int, device: torch.device, *, settings: tuple[str, ...] = ()
    ) -> None:
        cfg = configuration(case, *settings)
        self._settings = build_record(TrainerSettings, cfg.trainer, path="trainer")
        layout = torch.channels_last if self._settings.channels_last else torch.preserve_format
        model = build(case, cfg).to(device, memory_format=layout)
        self._forward = compiled(model, self._settings)
        self._optimizer = instantiate(cfg.optimizer, path="optimizer", model=model)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._settings.precision == "fp16")
        self._meter, self._number = Meter(device), 0
        data = Data(
            images,
            scale=PixelStatistics(mean=[MEAN] * 3, std=[STD] * 3),
            augmentation=build_record(Augmentation, dict(cfg.augmentation), path="augmentation"),
            division=Division(),
            seed=0,
        )
        self._batches = forever(data.loader("train", batch_size=batch, device=device, train=True))
        super().__init__(model.frontend, next(self._batches).images)

    def take(self) -> Batch:
        return next(self._batches)

    def train(self, batch: Batch) -> None:
        self._number += 1
        train_step(
            self._forward,
            self._optimizer,
            self._scaler,
            batch,
            self._meter,
            settings=self._settings,
            step=self._number,
        )


def forever(loader: Any) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


class Plain(Side):
    """The loop of kymatio's examples."""

    def __init__(self, case: Case, images: RandomImages, batch: int, device: torch.device, *, workers: int) -> None:
        engine = ["model.frontend.engine=kymatio"] if case.model.startswith("scat") else []
        cfg = configuration(case, *engine)
        self._model, self._device = build(case, cfg).to(device), device
        self._optimizer = instantiate(cfg.optimizer, path="optimizer", model=self._model)
        photographs = Photographs(*images.read("train"), transform=plain_augmentation(images.size))
        self._loader = DataLoader(
            photographs, batch_size=batch, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda"
        )
        self._batches = iter(self._loader)
        super().__init__(self._model.frontend, self.take()[0])

    def take(self) -> tuple[Tensor, Tensor]:
        try:
            images, labels = next(self._batches)
        except StopIteration:
            self._batches = iter(self._loader)
            images, labels = next(self._batches)
        return images.to(self._device), labels.to(self._device)

    def train(self, batch: tuple[Tensor, Tensor]) -> None:
        plain_step(self._model, self._optimizer, *batch)


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    """An update of the weights as PyTorch's tutorials write it."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()


def plain_augmentation(size: int) -> Callable[[Image], Tensor]:
    """A flip and a crop by torchvision, one image at a time."""
    return transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(size, padding=PAD, padding_mode="symmetric"),
            transforms.ToTensor(),
            transforms.Normalize([MEAN] * 3, [STD] * 3),
        ]
    )


class Photographs(Dataset):
    """(N, C, H, W) uint8 images as torchvision's data sets give them: one by one, through PIL."""

    def __init__(self, pixels: Tensor, labels: Tensor, *, transform: Callable[[Image], Tensor]) -> None:
        self._pixels, self._labels, self._transform = pixels.permute(0, 2, 3, 1).numpy(), labels, transform

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        image = to_pil_image(np.ascontiguousarray(self._pixels[position]))
        return self._transform(image), int(self._labels[position])
