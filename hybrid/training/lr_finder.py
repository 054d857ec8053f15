"""A learning-rate range test: train for a hundred steps while the rate grows, and see where the loss falls fastest.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3. The network is made for the test alone, and
is gone afterwards: no run, and no weights of one, are read or written.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from omegaconf import DictConfig

from hybrid.callbacks.callbacks import Callbacks
from hybrid.callbacks.freezing import Frozen
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Batch, Loader
from hybrid.errors import UserError
from hybrid.reports.style import COLOURS, log_scale, paper_style
from hybrid.training.optimizer import optimizer_from
from hybrid.training.plan import Plan
from hybrid.training.settings import Settings
from hybrid.training.start import check_model, fit_normalization, on_device, set_up_process
from hybrid.training.state import TrainState
from hybrid.training.step import train_step

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
_SMOOTH = 0.9  # the weight of the past in the running mean of the loss
_DIVERGED = 4.0  # times the lowest loss: further rates tell nothing
_FEWEST = 10  # steps without which nothing can be said


@dataclass(frozen=True)
class RateRange:
    """What a range test has seen: a learning rate and a loss for each step, the loss smoothed over the steps before."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @property
    def steepest(self) -> float:
        """The suggestion: the rate, before the lowest loss, at which the smoothed loss falls fastest per factor of the rate."""
        last = max(int(self.smoothed.argmin()), 2)
        slopes = np.gradient(self.smoothed[: last + 1], np.log(self.rates[: last + 1]))
        return float(self.rates[int(slopes.argmin())])

    @property
    def lowest(self) -> float:
        """The rate at the lowest smoothed loss. It is too large to train with; a tenth of it is a common choice."""
        return float(self.rates[int(self.smoothed.argmin())])

    def to_csv(self) -> str:
        """A line a step: lr, loss, smoothed."""
        text = io.StringIO()
        np.savetxt(
            text,
            np.stack([self.rates, self.losses, self.smoothed], 1),
            "%.6g",
            delimiter=",",
            header="lr,loss,smoothed",
            comments="",
        )
        return text.getvalue()

    @paper_style
    def plot(self) -> Figure:
        """The loss over the learning rate, with the suggestion."""
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color=COLOURS[0], alpha=0.3, linewidth=0.8, label="loss of a step")
        axes.plot(self.rates, self.smoothed, color=COLOURS[0], label="smoothed")
        axes.axvline(self.steepest, color=COLOURS[1], linestyle="--", label=f"steepest: lr={self.steepest:.2g}")
        low, start = self.smoothed.min(), self.smoothed[0]
        axes.set_ylim(low - 0.1 * (start - low) - 1e-3, start + 0.5 * (start - low) + 1e-3)
        log_scale(axes, "x")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.legend()
        return figure


def find_lr(cfg: DictConfig) -> RateRange:
    """Make a range test of the network, data, loss and optimizer of a configuration of `hybrid train`, on this process.

    The rates of all parameter groups grow together from 1e-6 to 10, by the same factor in each of 100 steps, and the test ends
    where the loss diverges. Weights begin at random, and the run's schedule plays no part.

    Raises:
        UserError: the configuration is wrong, or the loss is not finite from the first steps on.
    """
    settings = Settings.of(cfg)
    set_up_process(settings)
    data = data_from(cfg.data, cfg.augmentation, seed=settings.seed)
    data.prepare()
    plan = Plan.of(cfg, settings, data)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
    if plan.objective.units is not None:
        model.use_units(*plan.objective.units)
    check_model(model, plan)
    model = on_device(model, plan)
    optimizer = optimizer_from(cfg.optimizer, model, images=plan.images_per_step, curvature=plan.objective.curvature)
    frozen = Frozen(model, plan.trainer.freeze)
    fp16 = plan.trainer.precision == "fp16"
    state = TrainState(
        model,
        optimizer,
        device=plan.device,
        fp16=fp16,
        objective=plan.objective,
        callbacks=Callbacks(),
        frozen=frozen,
    )
    fit_normalization(state, data, None)
    return _test(plan, state)


def _test(plan: Plan, state: TrainState) -> RateRange:
    optimizer, batches = state.optimizer, _for_ever(plan.loader)
    base, initial = optimizer.defaults["lr"], [group["lr"] for group in optimizer.param_groups]
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    losses, smoothed, mean = [], [], 0.0
    state.train()
    for step, rate in enumerate(rates):
        for group, own in zip(optimizer.param_groups, initial, strict=True):
            group["lr"] = rate * (own / base if base else 1.0)
        chosen = {"settings": plan.trainer, "objective": plan.objective}
        train_step(
            state.model,
            optimizer,
            state.scaler,
            next(batches),
            state.meter,
            **chosen,
            step=step + 1,
            share=plan.loader.share(step % plan.batches),
        )
        loss = state.meter.read()["train/loss"]
        mean = _SMOOTH * mean + (1 - _SMOOTH) * loss
        now = mean / (1 - _SMOOTH ** (step + 1))
        if not math.isfinite(loss) or (smoothed and now > _DIVERGED * max(min(smoothed), 1e-3)):
            break
        losses.append(loss)
        smoothed.append(now)
    if len(losses) < _FEWEST:
        raise UserError(f"the loss diverges after {len(losses)} steps, at a learning rate of {rates[len(losses)]:.2g}.")
    return RateRange(rates[: len(losses)], np.array(losses), np.array(smoothed))


def _for_ever(loader: Loader) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1
