"""What is refused before data are read and a folder is written: the parts of a run's configuration that no other part checks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from hybrid import distributed
from hybrid.configuration import build_record, instantiate
from hybrid.data import Data
from hybrid.distributed.launch import Launch
from hybrid.durations import in_steps, interval
from hybrid.errors import UserError
from hybrid.models.channel_order import ChannelOrder
from hybrid.training.initial_weights import Match
from hybrid.training.live_analysis import live_settings
from hybrid.training.settings import TrainerSettings

_FORWARD_PASSES = 3  # that a training step takes as long as


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """The `run` section of configs/svm.yaml, which says what each setting means."""

    root: str
    name: str | None
    restart: bool

    def __post_init__(self) -> None:
        if not self.root:
            raise UserError("run.root is empty: it is the folder of all runs, such as outputs.")
        parts = Path(self.name).parts if self.name is not None else ("default",)
        if not parts or ".." in parts or Path(*parts).is_absolute():
            raise UserError(f"run.name={self.name} is not valid: it is a folder's name within run.root={self.root}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings(FolderSettings):
    """The `run` section of configs/train.yaml, which says what each setting means."""

    init_from: str | None
    init_match: Match
    init_channels: ChannelOrder

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("init_match", "all"), ("init_channels", "kymatio")):
            if self.init_from is None and (value := getattr(self, name)) != default:
                raise UserError(f"run.{name}={value} has no effect without run.init_from.")


def check(cfg: DictConfig) -> tuple[TrainerSettings, RunSettings, torch.device]:
    """The settings, and the device that they name. Raises UserError for the first thing that is not valid."""
    settings = build_record(TrainerSettings, cfg.trainer, path="trainer")
    run_settings = build_record(RunSettings, cfg.run, path="run")
    check_seed(cfg)
    check_keys(cfg, "model", "data", "augmentation", "analysis", "optimizer", "schedule", "trainer", "run", "seed")
    in_steps(settings.duration, path="trainer.duration", steps_per_epoch=100)
    for name in ("evaluate_every", "checkpoint_every", "log_every"):
        lengths = {"steps_per_epoch": 100, "total_steps": 1000}  # any: only the form is checked here
        interval(getattr(settings, name), path=f"trainer.{name}", **lengths)
    instantiate(cfg.schedule, path="schedule", steps_per_epoch=100, total_steps=1000)
    if str(cfg.optimizer.get("_target_")).startswith("hybrid."):  # a user's own may want its parts of the real model
        instantiate(cfg.optimizer, path="optimizer", model=nn.Linear(2, 2))
    live_settings(cfg)
    distributed.own_shares(settings.accumulation).check(settings.batch_size, path="trainer.batch_size")
    device = settings.resolve_device(Launch.read())
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if settings.precision == "fp16" and device.type == "cpu":
        raise UserError(
            "trainer.precision=fp16 is for GPUs: CPUs compute it many times slower. Valid here: fp32, bf16."
        )
    return settings, run_settings, device


def check_seed(cfg: DictConfig) -> None:
    """Raises UserError unless it is a whole number that torch takes."""
    if not isinstance(cfg.seed, int) or isinstance(cfg.seed, bool) or not 0 <= cfg.seed < 2**63:
        raise UserError(f"seed={cfg.seed} is not valid: it must be a whole number from 0 to 2^63 - 1.")


def check_keys(cfg: DictConfig, *parts: str) -> None:
    """Raises UserError for a key that is none of these parts of a configuration."""
    if unknown := sorted(set(cfg) - {*parts, "choices"}):
        raise UserError(f"unknown key: {unknown[0]} has no effect. Valid: {', '.join(sorted(parts))}.")


def fix_root(cfg: DictConfig) -> None:
    """Make the folder of the data absolute, so that the run's folder says where they are, from wherever it is read."""
    if cfg.data.get("root") is not None:
        cfg.data.root = str(Path(str(cfg.data.root)).resolve())


def advice_on_evaluation(
    settings: TrainerSettings, data: Data, *, steps_per_epoch: int, total_steps: int
) -> str | None:
    """A line for whoever would wait for evaluations more than for training, as where few images make an epoch."""
    if "validation" not in data.splits:
        return None
    lengths = {"steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
    every = interval(settings.evaluate_every, path="trainer.evaluate_every", **lengths)
    evaluated = -(-total_steps // every) * len(data.splits["validation"])
    trained = total_steps / steps_per_epoch * len(data.splits["train"])
    if evaluated < _FORWARD_PASSES * trained or every >= total_steps / 10:
        return None
    return (
        f"{evaluated:,} validation images will be evaluated beside {trained:,.0f} images of training: "
        "trainer.evaluate_every='10%' evaluates ten times in all."
    )
