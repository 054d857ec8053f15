"""How fast this package trains, beside the same network in a plain PyTorch loop with kymatio's scattering transform.

    python scripts/bench_training.py
    python scripts/bench_training.py cases=[scat_linear,scat_wrn] rounds=7 threads=1 json=training.json
    python scripts/bench_training.py device=cuda batch=128 workers=8 settings=[trainer.precision=bf16]

Both train on the same random images with the same crops and flips, weights and SGD. The plain loop is what kymatio's examples
do: a DataLoader over torchvision's transforms, kymatio's `Scattering2D`, the head, float32, torch's own memory format. Ours is
what `train.py` does at each step, with the settings of configs/, and once more with those of settings=. They take turns in one
process, `steps` steps each; times are medians over the rounds. Columns: images/s and ms per step; × is how many times faster
than the plain loop; front-end is its part of the step, its forward pass timed alone. Files are not read, nor decoded.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import hybrid.models
from hybrid.configuration import build_record, instantiate
from hybrid.configuration.arguments import command, option
from hybrid.configuration.entry import compose
from hybrid.data import Augmentation, Batch, Data, MemorySource
from hybrid.data.preprocessing import Normalize
from hybrid.data.splits import Subset
from hybrid.errors import UserError, unknown_name
from hybrid.tracking.environment import describe_environment
from hybrid.tracking.files import write_json
from hybrid.training.randomness import seed_everything
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


CASES = {
    **{name: Case(name, 32, 128, 10) for name in ("scat_linear", "scat_wrn", "scat_resnet", "wrn_16_8")},
    "scat_resnet-224": Case("scat_resnet", 224, 8, 1000),
    "resnet18-224": Case("resnet18", 224, 8, 1000),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=tuple(CASES))
    settings: tuple[str, ...] = option("a third side: ours with these, [trainer.precision=bf16]", default=())
    batch: int | None = option("images per step; null: 128 of 32×32, 8 of 224×224", default=None)
    steps: int = option("of each side in a round", default=2)
    rounds: int = option("in which each side has its turn, after one that is not timed", default=5)
    workers: int = option("processes of the plain loop's DataLoader; 0 is fair where no core is idle", default=0)
    threads: int = option("of the CPU", default=torch.get_num_threads())
    device: str = option("cpu or cuda", default="cpu")
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        for name in self.cases:
            if name not in CASES:
                raise unknown_name(name, CASES, what="case")
        for name in ("steps", "rounds", "threads", "batch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} is not valid: it must be at least 1.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch sees no GPU here. Valid: cpu.")


@command(Options)
def bench_training(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    print(f"{'case':>16} {'side':>6} {'images/s':>9} {'ms/step':>9} {'×':>6} {'front-end':>9}")
    rows = []
    for name in options.cases:
        for row in measure(name, options):
            rows.append(row)
            print(
                f"{row['case']:>16} {row['side']:>6} {row['images_per_second']:>9.1f} {row['ms']:>9.1f} "
                f"{row['ratio']:>6.2f} {row['share']:>9.1%}",
                flush=True,
            )
    if options.json:
        content = {"options": vars(options), "environment": describe_environment(), "rows": rows}
        write_json(Path(options.json), content)
        print(f"{len(rows)} rows written: {options.json}")


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """The rows of the plain loop, of ours, and of ours with other settings."""
    case, device = CASES[name], torch.device(options.device)
    batch = options.batch or case.batch
    images = RandomImages(case, count=4 * batch)
    sides: dict[str, Side] = {
        "plain": Plain(case, images, batch, device, workers=options.workers),
        "ours": Ours(case, images, batch, device),
    }
    if options.settings:
        sides["set"] = Ours(case, images, batch, device, settings=options.settings)
    steps = {side: statistics.median(times) for side, times in alternate(sides, options, device).items()}
    rows = []
    for side, seconds in steps.items():
        front = statistics.median(front_end(sides[side], device) for _ in range(options.rounds + 1))
        rows.append(
            {"case": name, "side": side, "images_per_second": batch / seconds, "ms": 1000 * seconds}
            | {"ratio": steps["plain"] / seconds, "share": front / seconds, "batch": batch}
        )
    return rows


def alternate(sides: dict[str, Side], options: Options, device: torch.device) -> dict[str, list[float]]:
    """Seconds per step of each side, a value per round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, side in sides.items():
            seconds = timed(lambda side=side: [side.step() for _ in range(options.steps)], device)
            if number:
                times[name].append(seconds / options.steps)
    return times


@torch.no_grad()
def front_end(side: Side, device: torch.device) -> float:
    """Seconds of one forward pass of the front-end alone."""
    return timed(lambda: side.front_end(side.images), device)


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    began = now(device)
    action()
    return now(device) - began


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


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
    return hybrid.models.build(cfg.model, image_shape=(3, case.side, case.side), num_classes=case.classes).train()


@dataclass
class Side:
    """One of the two that are compared."""

    front_end: nn.Module
    images: Tensor  # a batch, as the front-end takes it

    def step(self) -> None:
        """Train on the next batch."""
        raise NotImplementedError


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
            preprocessing=Normalize([MEAN] * 3, [STD] * 3),
            augmentation=build_record(Augmentation, dict(cfg.augmentation), path="augmentation"),
            subset=Subset(),
            validation=0,
            split_seed=0,
            seed=0,
        )
        self._batches = forever(data.loader("train", batch_size=batch, device=device, train=True))
        super().__init__(model.frontend, next(self._batches).images)

    def step(self) -> None:
        self._number += 1
        train_step(
            self._forward,
            self._optimizer,
            self._scaler,
            next(self._batches),
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
        self._loader = DataLoader(
            Photographs(images), batch_size=batch, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda"
        )
        self._batches = iter(self._loader)
        super().__init__(self._model.frontend, self._next()[0].to(device))

    def _next(self) -> tuple[Tensor, Tensor]:
        try:
            return next(self._batches)
        except StopIteration:
            self._batches = iter(self._loader)
            return next(self._batches)

    def step(self) -> None:
        images, labels = (tensor.to(self._device) for tensor in self._next())
        self._optimizer.zero_grad()
        loss = F.cross_entropy(self._model(images), labels)
        loss.backward()
        self._optimizer.step()


class Photographs(Dataset):
    """The images as torchvision's data sets give them: one by one, through PIL."""

    def __init__(self, images: RandomImages) -> None:
        pixels, self._labels = images.read("train")
        self._pixels = pixels.permute(0, 2, 3, 1).numpy()
        self._transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(images.size, padding=PAD),
                transforms.ToTensor(),
                transforms.Normalize([MEAN] * 3, [STD] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self._transform(np.ascontiguousarray(self._pixels[position])), int(self._labels[position])


if __name__ == "__main__":
    bench_training()
