"""The trainer's settings, as configs/trainer/default.yaml lists and explains them: checked here, used in the trainer."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch

from hybrid.distributed.launch import Launch
from hybrid.durations import Duration
from hybrid.errors import UserError
from hybrid.training.arithmetic import Arithmetic, Precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """One field per line of configs/trainer/default.yaml, which says what each means and has the only defaults."""

    duration: Duration
    batch_size: int
    accumulation: int
    drop_last: bool
    device: str
    precision: Precision
    matmul_precision: Literal["highest", "high", "medium"]
    sync_batch_norm: bool
    rank_timeout: str
    channels_last: bool
    winograd: bool
    feature_cache: Literal["auto", "off", "memory", "disk"]
    compile: bool | Literal["reduce-overhead", "max-autotune"]
    deterministic: bool
    clip_norm: float | None
    label_smoothing: float
    ema: float | None
    evaluate_every: Duration
    checkpoint_every: Duration
    keep_best: int
    log_every: Duration
    test_weights: Literal["last", "best"]
    max_train_steps_per_epoch: int | None
    max_evaluation_batches: int | None
    overfit_batches: int | None
    profile: bool
    progress: Literal["auto", "bar", "lines", "none"]
    tensorboard: bool

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulation", "keep_best"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("max_train_steps_per_epoch", "max_evaluation_batches", "overfit_batches", "clip_norm"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, value, "positive, or null")
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "from 0 to below 1")
        _require(self.ema is None or 0 < self.ema < 1, "ema", self.ema, "between 0 and 1, or null")
        if self.accumulation > self.batch_size:
            raise UserError(
                f"trainer.accumulation={self.accumulation} cuts a batch of {self.batch_size} images into empty parts: "
                f"valid: 1 to {self.batch_size}."
            )

    @property
    def arithmetic(self) -> Arithmetic:
        """How the model computes; what is compiled convolves as the library does."""
        return Arithmetic(self.precision, winograd=self.winograd and not self.compile)

    def resolve_device(self, launch: Launch | None = None) -> torch.device:
        """The device to run on, each process its own GPU; UserError where it does not exist."""
        launch = launch or Launch()
        if launch.size > 1 and self.device in ("auto", "cuda") and torch.cuda.is_available():
            return _own_gpu(launch)
        if launch.size > 1 and self.device.startswith("cuda:"):
            raise UserError(
                f"trainer.device={self.device} would put all {launch.size} processes on one GPU. Valid: auto, cuda, cpu."
            )
        return resolve_device(self.device)


def resolve_device(name: str, *, path: str = "trainer.device") -> torch.device:
    """The torch device of a name (auto, cpu, cuda, cuda:N), or a UserError that lists the devices of this machine.

    Apple's MPS is not among them: the scattering transform needs float64.
    """
    present = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device(present[1] if len(present) > 1 else "cpu")
    if name == "cuda" and "cuda:0" in present:
        return torch.device("cuda:0")
    if name not in present:
        raise UserError(f"{path}={name} is not on this machine. Valid: auto, {', '.join(present)}.")
    return torch.device(name)


def _own_gpu(launch: Launch) -> torch.device:
    """One GPU for each process of this machine; srun may show each process its own alone."""
    count = torch.cuda.device_count()
    if launch.manner == "srun" and count == 1:
        return torch.device("cuda:0")
    if launch.local_rank >= count:
        raise UserError(
            f"process {launch.local_rank} of this machine has no GPU: there are {count}; start as many processes."
        )
    return torch.device("cuda", launch.local_rank)


def _require(good: bool, name: str, value: object, valid: str) -> None:
    if not good:
        raise UserError(f"trainer.{name}={value} is not valid: it must be {valid}.")
