"""The training loop.

    for each step of the run:
        take the next batch, update the weights                 train_step
        every log_every:         losses, lr and speed           tracker.scalars, console
        every evaluate_every:    validation images              tracker.scalars; best.pt if it was never better (keep_best)
        when analysis is due:    layer by layer                 tracker.scalars, tables and arrays in analysis/
        every checkpoint_every:  everything                     last.pt (and the one before becomes previous.pt)
        after SIGINT, SIGTERM or SIGUSR1: last.pt, then Stopped; an analysis is abandoned, and owed by the run that goes on
    at the end: evaluate_every and checkpoint_every once more

Several processes (ranks) go through it in step: each with its part of a batch, rank 0 alone writing.
What is logged at a step is on the disk before the checkpoint of that step, so a resumed run repeats nothing and misses nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from hybrid import distributed
from hybrid.data import Batch, Data, Loader
from hybrid.distributed.gradients import GradientSum
from hybrid.durations import interval
from hybrid.errors import Stopped, UserError
from hybrid.runs.console import Console
from hybrid.runs.tracker import Tracker
from hybrid.training import checkpoint, schedule
from hybrid.training.evaluation import Evaluation, evaluate
from hybrid.training.feature_cache import FeatureCache
from hybrid.training.interruption import Interruption, StopVote
from hybrid.training.live_analysis import LiveAnalysis
from hybrid.training.memory import is_out_of_memory, taken_gib
from hybrid.training.profiling import Profiler
from hybrid.training.settings import TrainerSettings
from hybrid.training.state import TrainState
from hybrid.training.step import compiled, train_step


@dataclasses.dataclass
class Trainer:
    """Trains a state on data until `total_steps`. `on_evaluation(step, evaluation)` may draw what it likes."""

    state: TrainState
    data: Data
    loader: Loader
    settings: TrainerSettings
    schedule: Callable[[int], schedule.Setting]
    total_steps: int
    steps_per_epoch: int
    device: torch.device
    checkpoints: Path
    tracker: Tracker
    console: Console
    on_evaluation: Callable[[int, Evaluation], None] = lambda step, evaluation: None
    analysis: LiveAnalysis | None = None
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        model = self.state.model
        if self.cache is not None:
            self.cache.normalize(model)
            self.loader, model = self.cache.loader(self.loader), self.cache.rest(model)
        self.forward = compiled(model, self.settings)
        self._sum_gradients = GradientSum(self.state.model)
        self._every = {
            name: interval(
                getattr(self.settings, name),
                path=f"trainer.{name}",
                steps_per_epoch=self.steps_per_epoch,
                total_steps=self.total_steps,
            )
            for name in ("log_every", "evaluate_every", "checkpoint_every")
        }

    def fit(self) -> None:
        """Train to the end of the run. Raises Stopped after a signal, UserError if the loss is no longer finite."""
        state = self.state
        state.model.train()
        with (
            # closed at once on every way out: workers that outlive their loader would keep the process from ending
            contextlib.closing(self._batches(state.step)) as batches,
            Interruption() as interruption,
            Profiler(self.checkpoints.parent, enabled=self.settings.profile and distributed.is_main()) as profiler,
        ):
            vote = StopVote()
            self._restart_clock()
            while state.step < self.total_steps or state.owes_analysis:
                if not state.owes_analysis:
                    self._one_step(next(batches))
                    profiler.step()
                    self._report()
                if state.owes_analysis:
                    self._analyse(should_stop=lambda: vote.asked(interruption.signal))
                last = state.step == self.total_steps or state.owes_analysis
                number = vote.agree(interruption.signal, last=last)
                if self._due("checkpoint_every") or number:
                    self.save()
                if number:
                    raise Stopped(number, state.step)

    def evaluate(self, split: str) -> Evaluation:
        """Evaluate the current (averaged, if kept) weights on a split."""
        shares = distributed.own_shares(accumulation=1)
        loader = self.data.loader(split, batch_size=self.settings.batch_size, device=self.device, shares=shares)
        model = self.state.evaluated
        if self.cache is not None and split in self.cache:
            loader, model = self.cache.loader(loader), self.cache.rest(model)
        return evaluate(
            model,
            loader.epoch(0),
            num_classes=self.data.num_classes,
            arithmetic=self.settings.arithmetic,
            most=self.settings.max_evaluation_batches,
        )

    def save(self) -> None:
        """Write last.pt, after checking that what it would hold is good."""
        self.state.check_finite()  # waits for the device, so that the clock reads true
        self._pause_clock()
        self.tracker.flush()
        content = self.state.state_dict()
        if distributed.is_main():
            checkpoint.save_last(self.checkpoints, content)
        self._restart_clock()

    def _batches(self, step: int) -> Iterator[Batch]:
        """The batches from `step` on, epoch after epoch; or the first few for ever (overfit_batches)."""
        if self.settings.overfit_batches:
            first = list(itertools.islice(self.loader.epoch(0), self.settings.overfit_batches))
            while True:
                yield first[step % len(first)]
                step += 1
        while True:
            epoch, start = divmod(step, self.steps_per_epoch)
            for batch in self.loader.epoch(epoch, start=start):
                yield batch
                step += 1
                if step % self.steps_per_epoch == 0:  # max_train_steps_per_epoch may end an epoch early
                    break

    def _one_step(self, batch: Batch) -> None:
        state, settings = self.state, self.settings
        self._waited += time.monotonic() - self._asked
        schedule.apply(self.schedule(state.step), state.optimizer)
        share = self.loader.share(state.step % self._cycle)
        try:
            train_step(
                self.forward,
                state.optimizer,
                state.scaler,
                batch,
                state.meter,
                settings=settings,
                step=state.step + 1,
                share=share,
                sum_gradients=self._sum_gradients,
            )
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                f"step {state.step + 1} has a micro-batch of a single image, which batch norm cannot normalise: "
                "trainer.drop_last=true leaves out an epoch's last, smaller batch; or choose another trainer.batch_size."
            ) from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"out of memory on {self.device} with {settings.batch_size} images in {settings.accumulation} micro-batches: "
                f"trainer.accumulation={2 * settings.accumulation} keeps the batch and halves the memory."
            ) from error
        if state.ema is not None:
            state.ema.update_parameters(state.model)
        state.step += 1
        state.images += share.total
        self._images += share.total
        self._asked = time.monotonic()

    @property
    def _cycle(self) -> int:
        """Steps after which the same batches of the loader come again."""
        return min(self.settings.overfit_batches or self.steps_per_epoch, len(self.loader))

    def _due(self, name: str) -> bool:
        return self.state.step % self._every[name] == 0 or self.state.step == self.total_steps

    def _report(self) -> None:
        """Say what is due after a step, all but the analysis, whose turn is next."""
        self.console.advance(self.state.step)
        if self._due("log_every"):
            self._log()
        if self._due("evaluate_every"):
            self._validate()
        self.state.owes_analysis = self.analysis is not None and self.analysis.due(self.state.step)

    def _log(self) -> None:
        values = self.state.meter.read()  # waits for the device, so that the clock reads true
        seconds, images, waited = time.monotonic() - self._began, self._images, self._waited
        self._pause_clock()
        self.state.latest = values
        values = {**values, "train/lr": self.state.optimizer.param_groups[0]["lr"]}
        values |= {"speed/images_per_second": images / seconds, "speed/data_wait": waited / seconds}
        values |= {"speed/seconds": self.state.seconds, "speed/memory_gib": taken_gib(self.device)}
        self.tracker.scalars(self.state.step, self.state.step / self.steps_per_epoch, values)
        self.state.check_finite()
        self._restart_clock()

    def _validate(self) -> None:
        if "validation" not in self.data.splits:
            return
        state = self.state
        state.check_finite()
        self._pause_clock()
        result = self.evaluate("validation")
        numbers = {f"validation/{name}": value for name, value in result.numbers().items()}
        self.tracker.scalars(state.step, state.step / self.steps_per_epoch, numbers)
        self.on_evaluation(state.step, result)
        state.latest = {**state.latest, **numbers}
        state.kept = distributed.from_main(
            lambda: checkpoint.save_ranked(
                self.checkpoints,
                state.kept,
                {"step": state.step, **result.numbers()},
                {"step": state.step, "model": state.evaluated.state_dict()},
                most=self.settings.keep_best,
            )
        )
        self._restart_clock()

    def _analyse(self, should_stop: Callable[[], bool]) -> None:
        state = self.state
        state.check_finite()
        self._pause_clock()
        done = self.analysis is None or self.analysis(state.step, state.evaluated, should_stop=should_stop)
        state.owes_analysis = not done
        self._restart_clock()

    def _pause_clock(self) -> None:
        """Training seconds count steps alone, not evaluation and checkpoints."""
        self.state.seconds += time.monotonic() - self._began
        self._began = time.monotonic()

    def _restart_clock(self) -> None:
        self._began = self._asked = time.monotonic()
        self._images, self._waited = 0, 0.0
