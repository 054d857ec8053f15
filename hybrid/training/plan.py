"""The plan of a run: its configuration with the real lengths, made once the data are known and before anything is written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid import distributed
from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration import instantiate
from hybrid.data import Data, Loader
from hybrid.durations import RunLength
from hybrid.errors import UserError
from hybrid.objective.objective import Objective, objective_of
from hybrid.runs.identity import INCIDENTAL
from hybrid.runs.loggers import Loggers
from hybrid.training import schedule
from hybrid.training.settings import LiveSettings, Settings, TrainerSettings
from hybrid.training.torch_schedule import is_torchs

_SHARE = 0.05  # of the training time, for analysis.every=auto
# In forwards per image: a training step, where a fixed front-end is half of the forward; an analysis, with its measurements.
_STEP, _ANALYSIS = 2, 2
_FORWARD_PASSES = 3  # a training step takes as long as so many of them
_PARTS = ("frontend", "normalization", "head")
_IN_TABLES = ("optimizer.lr", "optimizer.weight_decay", "trainer.duration", "trainer.batch_size", "trainer.precision")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnalysisPlan:
    """Which layers are measured, and when: every so many steps and at the end.

    most: the largest share of the training time that analyses may take, where analysis.every is auto; None: no limit.
    """

    settings: AnalysisSettings
    live: LiveSettings
    every: int
    last: int
    most: float | None

    @classmethod
    def of(cls, live: LiveSettings, settings: AnalysisSettings, length: RunLength, *, batch_size: int) -> AnalysisPlan:
        """With analysis.every=auto, so many epochs lie between two analyses that these have at most 5 % of the forward passes."""
        if live.every is not None:
            every, most = length.every(live.every), None
        else:
            trained = length.steps_per_epoch * batch_size
            images = min(settings.images or trained, trained) + settings.pair_images
            every, most = math.ceil(_ANALYSIS * images / (_SHARE * _STEP * trained)) * length.steps_per_epoch, _SHARE
        return cls(settings=settings, live=live, every=every, last=length.total_steps, most=most)

    def due(self, step: int) -> bool:
        """Whether an analysis belongs to this step, as far as that is known beforehand."""
        return step > 0 and (step % self.every == 0 or step == self.last)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run's configuration says, ready to use. Nobody below the start-up reads the configuration.

    Attributes:
        trainer: the settings of the `trainer` section.
        device: of this process.
        objective: what is learnt, and how it is judged.
        loader: the training images, this process's part of each batch.
        length: the steps of an epoch, and of the run.
        schedule: step (0 is the first) -> the learning rate's factor; None for a scheduler of torch, which the state has.
        log_every, evaluate_every, checkpoint_every: in steps.
        loggers: where the records go, beside metrics.jsonl and the console.
        analysis: None where nothing is analysed during training.
        model, seed: for people: the name of the model's configuration, and the run's seed.
        table: setting -> value, as TensorBoard's table of runs shows it.
        features_from: the configurations of the data and of the front-end, which its output depends on.
    """

    trainer: TrainerSettings
    device: torch.device
    objective: Objective
    loader: Loader
    length: RunLength
    schedule: Callable[[int], schedule.Setting] | None
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    loggers: Loggers
    analysis: AnalysisPlan | None
    model: str
    seed: int
    table: Mapping[str, Any]
    features_from: Mapping[str, Any]

    @classmethod
    def of(cls, cfg: DictConfig, settings: Settings, data: Data) -> Plan:
        """Work everything out. Raises UserError for what does not fit the run's length or its data."""
        trainer = settings.trainer
        if trainer.test_weights == "best" and "validation" not in data.splits:
            raise UserError("trainer.test_weights=best needs validation images, and data.validation is 0. Valid: last.")
        smoothing, best = trainer.label_smoothing, trainer.best_metric
        objective = objective_of(cfg, data, label_smoothing=smoothing, best_metric=best, device=settings.device)
        loader = _training_loader(data, settings)
        steps_per_epoch = min(len(loader), trainer.max_train_steps_per_epoch or len(loader))
        length = RunLength.of(trainer.duration, steps_per_epoch=steps_per_epoch)
        wanted = settings.analysis
        if wanted is not None and data.task != "classification":
            wanted = (wanted[0], wanted[1].without_classes())
        analysis = wanted and AnalysisPlan.of(*wanted, length, batch_size=trainer.batch_size)
        return cls(
            trainer=trainer,
            device=settings.device,
            objective=objective,
            loader=loader,
            length=length,
            schedule=_schedule(cfg, length),
            log_every=length.every(trainer.log_every),
            evaluate_every=length.every(trainer.evaluate_every),
            checkpoint_every=length.every(trainer.checkpoint_every),
            loggers=settings.loggers,
            analysis=analysis,
            model=cfg.choices.model,
            seed=settings.seed,
            table=table_of_settings(cfg),
            features_from=_plain({"data": cfg.data, "frontend": cfg.model.frontend}),
        )

    @property
    def images_per_step(self) -> float:
        """The images in a step on average: an epoch's last batch may be smaller."""
        return min(self.trainer.batch_size, self.loader.samples / len(self.loader))

    @property
    def batches(self) -> int:
        """Steps after which the loader's batches come again."""
        return min(self.trainer.overfit_batches or self.length.steps_per_epoch, len(self.loader))


def advice_on_evaluation(length: RunLength, evaluate_every: int, data: Data) -> str | None:
    """A hint for a run that would spend more time on evaluation than on training, as where few images make an epoch."""
    if "validation" not in data.splits:
        return None
    evaluated = -(-length.total_steps // evaluate_every) * len(data.splits["validation"])
    trained = length.epochs * len(data.splits["train"])
    if evaluated < _FORWARD_PASSES * trained or evaluate_every >= length.total_steps / 10:
        return None
    return (
        f"{evaluated:,} validation images will be evaluated beside {trained:,.0f} images of training: "
        "trainer.evaluate_every='10%' evaluates ten times in all."
    )


def table_of_settings(cfg: DictConfig) -> dict[str, Any]:
    """Every part that was chosen, for TensorBoard's table of runs: the choices, and of the model's parts their settings."""
    chosen = {group: option for group, option in _plain(cfg.choices).items() if group not in INCIDENTAL}
    images = OmegaConf.select(cfg, "data.subset.n")
    return {
        **chosen,
        **{f"model/{part}": _in_words(chosen.get(f"model/{part}"), _plain(cfg.model[part])) for part in _PARTS},
        "data.subset.n": "all" if images is None else str(images),  # of one type in all runs
        **{name: OmegaConf.select(cfg, name) for name in _IN_TABLES},
        "seed": str(cfg.seed),  # a label, not a quantity: as a number it would read 0.0000
    }


def _in_words(option: str | None, settings: Mapping[str, Any]) -> str:
    """A part of the model, such as "wide_resnet: WideResNet(k=2, dropout=0)"."""
    kind = str(settings.get("_target_", "")).rpartition(".")[2]
    values = ", ".join(f"{name}={value}" for name, value in settings.items() if not name.startswith("_"))
    return f"{option}: {kind}({values})" if option else f"{kind}({values})"


def _training_loader(data: Data, settings: Settings) -> Loader:
    trainer = settings.trainer
    return data.loader(
        "train",
        batch_size=trainer.batch_size,
        device=settings.device,
        train=True,
        drop_last=trainer.drop_last,
        shares=distributed.own_shares(trainer.accumulation),
    )


def _schedule(cfg: DictConfig, length: RunLength) -> Callable[[int], schedule.Setting] | None:
    """A schedule takes what it wants of the run's length: the record, or its two numbers."""
    if is_torchs(cfg.schedule):
        return None
    numbers = dataclasses.asdict(length)
    return instantiate(cfg.schedule, path="schedule", length=length, **numbers)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node if isinstance(node, DictConfig) else OmegaConf.create(node), resolve=True)
