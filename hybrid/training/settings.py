"""The settings of a run, read from its configuration once: everything that can be checked before the data are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf

from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration import build_record
from hybrid.configuration.instantiate import checked
from hybrid.distributed.launch import Launch
from hybrid.distributed.rank_slices import Shares
from hybrid.durations import Duration, Written
from hybrid.errors import UserError, unknown_name
from hybrid.lazy import LazyModule
from hybrid.ranges import WITHIN_ONE, Count, Positive, Rate, Seed
from hybrid.runs.loggers import Loggers

if TYPE_CHECKING:  # the settings are checked before torch is loaded, which takes seconds
    import torch

    from hybrid.training.arithmetic import Arithmetic
    from hybrid.training.averages import Decay
else:
    torch = LazyModule("torch")

_SECTIONS = (
    "model",
    "data",
    "loss",
    "metrics",
    "augmentation",
    "analysis",
    "optimizer",
    "schedule",
    "trainer",
    "callbacks",
    "loggers",
    "run",
    "seed",
)
_DURATIONS = ("duration", "evaluate_every", "checkpoint_every", "log_every")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """One field for each line of configs/trainer/default.yaml, which says what each means and has the only defaults."""

    duration: Duration | Written
    batch_size: Count
    accumulation: Count
    drop_last: bool
    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    matmul_precision: Literal["highest", "high", "medium"]
    sync_batch_norm: bool
    rank_timeout: str
    channels_last: bool
    winograd: bool
    feature_cache: Literal["auto", "off", "memory", "disk"]
    gradient_checkpointing: bool = False
    freeze: tuple[str, ...] = ()
    compile: bool | Literal["reduce-overhead", "max-autotune"]
    deterministic: bool
    clip_norm: Positive | None
    label_smoothing: Rate
    ema: Annotated[float, WITHIN_ONE] | None
    averages_begin: Literal["mean", "initial"]
    evaluate_every: Duration | Written
    checkpoint_every: Duration | Written
    keep_best: Count
    best_metric: str | None = None
    log_every: Duration | Written
    test_weights: Literal["last", "best"]
    max_train_steps_per_epoch: Count | None
    max_evaluation_batches: Count | None
    overfit_batches: Count | None
    profile: bool
    progress: Literal["auto", "bar", "lines", "none"]
    tensorboard: bool

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            object.__setattr__(self, name, Duration.read(getattr(self, name), path=f"trainer.{name}"))
        if self.accumulation > self.batch_size:
            raise UserError(
                f"trainer.accumulation={self.accumulation} cuts a batch of {self.batch_size} images into empty parts: "
                f"valid: 1 to {self.batch_size}."
            )
        _require(
            not (self.gradient_checkpointing and self.compile),
            "gradient_checkpointing",
            self.gradient_checkpointing,
            "false with trainer.compile, which decides itself what it computes again",
        )

    @property
    def arithmetic(self) -> Arithmetic:
        """How the model computes; a compiled model convolves by the library's own algorithm."""
        from hybrid.training.arithmetic import Arithmetic

        return Arithmetic(self.precision, winograd=self.winograd and not self.compile)

    @property
    def ema_decay(self) -> Decay | None:
        """After how many averaged updates which decay of the averaged weights holds; None where no average is kept."""
        from hybrid.training.averages import ema_decay

        return ema_decay(self.ema, begins_as_mean=self.averages_begin == "mean") if self.ema is not None else None

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format that the model is brought to."""
        return torch.channels_last if self.channels_last else torch.preserve_format


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
    init_match: Literal["all", "shapes"]
    init_channels: Literal["kymatio", "pyscatwave"]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("init_match", "all"), ("init_channels", "kymatio")):
            if self.init_from is None and (value := getattr(self, name)) != default:
                raise UserError(f"run.{name}={value} has no effect without run.init_from.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Whether, when and how the layers are analysed during training; configs/analysis/light.yaml says what each means.

    every: None stands for "auto".
    """

    enabled: bool = True
    every: Duration | Written | None
    figures: Literal["last", "always", "never"]
    formats: tuple[Literal["png", "svg", "pdf"], ...] = ("png",)
    probe_split: Literal["validation", "test"]

    def __post_init__(self) -> None:
        every = None if self.every in (None, "auto") else Duration.read(self.every, path="analysis.every")
        object.__setattr__(self, "every", every)


def analysis_settings(section: Mapping[str, Any] | DictConfig) -> tuple[LiveSettings, AnalysisSettings] | None:
    """The `analysis` section of a configuration; None where nothing is analysed during training.

    A recipe and debug=fast may change settings of an analysis that analysis=none has switched off.
    """
    values = dict(OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section)
    own = {field.name for field in dataclasses.fields(LiveSettings)}
    known = own | {field.name for field in dataclasses.fields(AnalysisSettings)}
    if unknown := next((key for key in values if key not in known), None):
        raise unknown_name(str(unknown), known, what="key in analysis")
    if values.get("enabled", True) is False or values.get("every") is None:
        return None
    live = build_record(LiveSettings, {key: value for key, value in values.items() if key in own}, path="analysis")
    rest = {key: value for key, value in values.items() if key not in own}
    return live, build_record(AnalysisSettings, rest, path="analysis")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a configuration says by itself. device: of this process."""

    trainer: TrainerSettings
    run: RunSettings
    analysis: tuple[LiveSettings, AnalysisSettings] | None
    loggers: Loggers
    seed: int
    device: torch.device

    @classmethod
    def of(cls, cfg: DictConfig) -> Settings:
        """Read and check them. Raises UserError for the first thing that is not valid."""
        from hybrid.training.device import rank_device

        values = read_sections(cfg)
        trainer: TrainerSettings = values["trainer"]
        device = rank_device(trainer.device, Launch.read())
        if trainer.precision == "fp16" and device.type == "cpu":
            raise UserError(
                "trainer.precision=fp16 is for GPUs: CPUs compute it many times slower. Valid here: fp32, bf16."
            )
        return cls(**values, device=device)


def read_sections(cfg: DictConfig) -> dict[str, Any]:
    """The fields of `Settings` but the device: these need no torch. Raises UserError for the first thing that is not valid."""
    trainer = build_record(TrainerSettings, cfg.trainer, path="trainer")
    run = build_record(RunSettings, cfg.run, path="run")
    check_seed(cfg)
    check_keys(cfg, *_SECTIONS)
    analysis = analysis_settings(cfg.analysis)
    loggers = Loggers(cfg.get("loggers"), tensorboard=trainer.tensorboard)
    launch = Launch.read()
    shares = Shares(rank=launch.rank, ranks=launch.size, parts=trainer.accumulation)
    shares.check(trainer.batch_size, path="trainer.batch_size")
    return {"trainer": trainer, "run": run, "analysis": analysis, "loggers": loggers, "seed": cfg.seed}


def check_seed(cfg: DictConfig) -> None:
    """Raises UserError unless the seed is a whole number that torch takes."""
    checked(cfg.seed, Seed, path="seed")


def check_keys(cfg: DictConfig, *sections: str) -> None:
    """Raises UserError for a key that is none of these sections of a configuration."""
    if unknown := sorted(set(cfg) - {*sections, "choices"}):
        raise UserError(f"unknown key: {unknown[0]} has no effect. Valid: {', '.join(sorted(sections))}.")


def with_absolute_root(cfg: DictConfig) -> DictConfig:
    """A copy with the whole path of the data's folder, so that a run's folder says where they are, from wherever it is read."""
    cfg = cfg.copy()
    if cfg.data.get("root") is not None:
        cfg.data.root = str(Path(str(cfg.data.root)).expanduser().resolve())
    return cfg


def _require(good: bool, name: str, value: object, valid: str) -> None:
    if not good:
        raise UserError(f"trainer.{name}={value} is not valid: it must be {valid}.")
