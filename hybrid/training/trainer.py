"""The training loop.

    on_fit_start                                                callbacks.call, as all on_…: see hybrid.callbacks.callbacks
    the analysis of the step that the run goes on from, if a signal cut it off
    for each step of the run:
        take the next batch, update the weights                 train_step
        on_step
        every log_every:         losses, lr and speed           tracker.scalars, console
        every evaluate_every:    validation images              tracker.scalars; best.pt if it was never better (keep_best)
                                 on_evaluation
        at the end of an epoch:  on_epoch_end
        when analysis is due:    layer by layer                 tracker.scalars, tables and arrays in analysis/
        every checkpoint_every:  on_checkpoint, everything      last.pt (and the one before becomes previous.pt)
        after SIGINT, SIGTERM, SIGUSR1 or SIGHUP: last.pt, then Stopped; an analysis is abandoned, and made when the run goes on
    at the end: evaluate_every and checkpoint_every once more   also where a callback ended the run early
    on_fit_end; the test images, on_evaluation; on_end

Several processes (ranks) go through it in step: each with its part of a batch, rank 0 alone writing.
Records of a step are on the disk before the checkpoint of that step, so a resumed run repeats nothing and misses nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from hybrid import distributed
from hybrid.callbacks.callbacks import agree_on_the_end
from hybrid.data import Batch
from hybrid.distributed.gradients import GradientSum
from hybrid.errors import Stopped, UserError, is_out_of_memory
from hybrid.models.parts import records
from hybrid.training import checkpoint, schedule
from hybrid.training.agreement import compare_weights
from hybrid.training.analysis.live import LiveAnalysis
from hybrid.training.averages import EarlyStatistics
from hybrid.training.evaluation import Evaluation, evaluate
from hybrid.training.gradient_checkpointing import Checkpointed, blocks
from hybrid.training.interruption import Interruption, StopVote
from hybrid.training.memory import taken_gib
from hybrid.training.profiling import Profiler
from hybrid.training.session import Session
from hybrid.training.step import compiled, train_step


class Trainer:
    """Trains a session's state to the end of its plan, and calls the callbacks of the state."""

    def __init__(self, session: Session) -> None:
        self.session, self.plan, self.state = session, session.plan, session.state
        self.analysis = LiveAnalysis(session) if session.plan.analysis is not None else None
        self.loader, model = session.plan.loader, session.state.model
        if session.cache is not None:
            session.cache.normalize(model)
            self.loader, model = session.cache.loader(self.loader), session.cache.rest(model)
        self._uncompiled, self._compiled = model, compiled(model, self.plan.trainer)
        if self.plan.trainer.gradient_checkpointing:
            blocks_of_head = blocks(self.state.model.head)
            self._uncompiled = self._compiled = Checkpointed(model, blocks_of_head, self.plan.trainer.arithmetic)
        begins_as_mean = self.plan.trainer.averages_begin == "mean"
        self._statistics = EarlyStatistics(self.state.model) if begins_as_mean else None
        self._sum_gradients = GradientSum(self.state.model)

    def fit(self) -> None:
        """Train to the end of the run. Raises Stopped after a signal, UserError if the loss is no longer finite."""
        state, folder = self.state, self.session.folder
        state.train()
        self._call("on_fit_start")
        with (
            # closed at once on every way out: workers that outlive their loader would keep the process from ending
            contextlib.closing(self._batches(state.step)) as batches,
            Interruption() as interruption,
            Profiler(folder.profile, enabled=self.plan.trainer.profile and distributed.is_main()) as profiler,
        ):
            vote = StopVote(interruption)
            self._restart_clock()
            if distributed.from_main(self.session.owes_analysis):
                self._end_step(vote, analyse=True)
            while not self.session.at_the_end:
                self._one_step(next(batches))
                profiler.step()
                self._report()
                self._end_step(vote, analyse=self.analysis is not None and self.analysis.due(state.step))
        self.session.pictures.after_training(state.step, state.model)
        if state.end is not None:
            self.session.say_end()
        self._call("on_fit_end")

    def evaluate(self, split: str) -> Evaluation:
        """Evaluate the current (averaged, if kept) weights on a split.

        A part of it (max_evaluation_batches) has each class in proportion: the first images may be of one class.
        """
        data, cache, settings = self.session.data, self.session.cache, self.plan.trainer
        shares = distributed.own_shares(accumulation=1)
        part = settings.max_evaluation_batches and settings.max_evaluation_batches * settings.batch_size
        loader = data.loader(split, batch_size=settings.batch_size, device=self.plan.device, most=part, shares=shares)
        model = self.state.evaluated
        if cache is not None and split in cache and not part:
            loader, model = cache.loader(loader), cache.rest(model)
        return evaluate(
            model,
            loader.epoch(0),
            num_classes=data.num_classes,
            objective=self.plan.objective,
            arithmetic=settings.arithmetic,
        )

    def test(self) -> Evaluation:
        """Evaluate the test images, once in a run, on the weights that trainer.test_weights names, and log the result."""
        state, session = self.state, self.session
        if self.plan.trainer.test_weights == "best":
            best = session.folder.checkpoints / "best.pt"
            content = distributed.from_main(lambda: checkpoint.load(best))
            checkpoint.load_weights(state.evaluated, content, source=best)
        result = self.evaluate("test")
        self._record("test", result)
        session.pictures.after_evaluation(state.step, result, split="test")
        self._call("on_evaluation", "test", result.numbers())
        return result

    def save(self) -> None:
        """Write last.pt, after checking that what it would hold is good."""
        self.state.check_finite()  # waits for the device, so that the clock reads true
        self._pause_clock()
        self._call("on_checkpoint")
        self.session.tracker.flush()
        if self._statistics is not None:
            self._statistics.agree()
        self._compare_weights()
        content = self.state.state_dict()
        if distributed.is_main():
            checkpoint.save_last(self.session.folder.checkpoints, content)
        self._restart_clock()

    def _batches(self, step: int) -> Iterator[Batch]:
        """The batches from `step` on, epoch after epoch; or the first few for ever (overfit_batches)."""
        if count := self.plan.trainer.overfit_batches:
            first = list(itertools.islice(self.loader.epoch(0), count))
            while True:
                yield first[step % len(first)]
                step += 1
        steps_per_epoch = self.plan.length.steps_per_epoch
        while True:
            epoch, start = divmod(step, steps_per_epoch)
            for batch in self.loader.epoch(epoch, start=start):
                yield batch
                step += 1
                if step % steps_per_epoch == 0:  # max_train_steps_per_epoch may end an epoch early
                    break

    def _one_step(self, batch: Batch) -> None:
        state = self.state
        self._waited += time.monotonic() - self._asked
        if state.scheduler is None:
            schedule.apply(self.plan.schedule(state.step), state.optimizer)
        else:
            state.scheduler.before_step(state.step)
        share = self.loader.share(state.step % self.plan.batches)
        with self._explaining_memory():
            train_step(
                self._forward,
                state.optimizer,
                state.scaler,
                batch,
                state.meter,
                settings=self.plan.trainer,
                objective=self.plan.objective,
                step=state.step + 1,
                share=share,
                sum_gradients=self._sum_gradients,
            )
        state.average()
        state.step += 1
        state.images += share.total
        self._images += share.total
        self._asked = time.monotonic()
        self._call("on_step")

    @property
    def _forward(self) -> nn.Module:
        """The model of a training step: as it is while batch norm's momentum changes from step to step, then compiled."""
        early = self._statistics is not None and self._statistics.at_work
        return self._uncompiled if early else self._compiled

    @contextlib.contextmanager
    def _explaining_memory(self) -> Iterator[None]:
        settings = self.plan.trainer
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"out of memory on {self.plan.device} with {settings.batch_size} images in {settings.accumulation} "
                f"micro-batches: trainer.accumulation={2 * settings.accumulation} keeps the batch and halves the memory."
            ) from error

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.session.at_the_end

    def _call(self, event: str, *arguments: Any) -> None:
        callbacks = self.state.callbacks
        callbacks.call(event, self.session, *arguments, where=f" at step {self.state.step}")
        agree_on_the_end(self.session, callbacks)

    def _end_step(self, vote: StopVote, *, analyse: bool) -> None:
        """The analysis, if it is due, the agreement to stop, and the checkpoint."""
        done = not analyse or self._analyse(vote.asked)
        number = vote.agree(last=self.session.at_the_end or not done)
        if self._due(self.plan.checkpoint_every) or number:
            self.save()
        if number:
            raise Stopped(number, self.state.step)

    def _report(self) -> None:
        """Log what is due after a step, but for the analysis."""
        self.session.console.advance(self.state.step)
        if logged := self._due(self.plan.log_every):
            self._log()
        if self._due(self.plan.evaluate_every):
            self._validate()
        if self.state.step % self.plan.length.steps_per_epoch == 0:
            self._log_parts()
            self._call("on_epoch_end")
        if not logged and self.session.at_the_end:  # a callback has just ended the run
            self._log()

    def _log(self) -> None:
        values = self.state.meter.read()  # waits for the device, so that the clock reads true
        seconds, images, waited = time.monotonic() - self._began, self._images, self._waited
        self._pause_clock()
        self.state.latest = values
        values = {**values, "train/lr": self.state.optimizer.param_groups[0]["lr"]}
        if images:  # none, where a callback ended the run after what was due here was logged
            values |= {"speed/images_per_second": images / seconds, "speed/data_wait": waited / seconds}
        values |= {"speed/seconds": self.state.seconds, "speed/memory_gib": taken_gib(self.plan.device)}
        if self.session.at_the_end:
            self.session.console.end(self.state.step)
        self.session.tracker.scalars(self.state.step, self.session.epoch, values)
        self.state.check_finite()
        self._restart_clock()

    def _log_parts(self) -> None:
        """What the parts of the model say of themselves."""
        if numbers := records(self.state.model):
            self.session.tracker.scalars(self.state.step, self.session.epoch, numbers)

    def _validate(self) -> None:
        if "validation" not in self.session.data.splits:
            return
        state = self.state
        state.check_finite()
        self._pause_clock()
        result = self.evaluate("validation")
        numbers = self._record("validation", result)
        self.session.pictures.after_evaluation(state.step, result)
        state.latest = {**state.latest, **numbers}
        self._compare_weights()
        state.kept = distributed.from_main(
            lambda: checkpoint.save_ranked(
                self.session.folder.checkpoints,
                state.kept,
                {"step": state.step, **result.numbers()},
                {"step": state.step, "model": state.evaluated.state_dict()},
                most=self.plan.trainer.keep_best,
                rank=self.plan.objective.best.rank,
            )
        )
        if state.scheduler is not None:
            state.scheduler.after_evaluation(result.numbers())
        self._call("on_evaluation", "validation", result.numbers())
        self._restart_clock()

    def _compare_weights(self) -> None:
        """Nothing is stored of ranks that have drifted apart."""
        compare_weights(self.state.model, step=self.state.step)
        if self.state.ema is not None:
            compare_weights(self.state.ema.module, step=self.state.step)

    def _record(self, split: str, result: Evaluation) -> dict[str, float]:
        numbers = {f"{split}/{name}": value for name, value in result.numbers().items()}
        self.session.tracker.scalars(self.state.step, self.session.epoch, numbers)
        return numbers

    def _analyse(self, should_stop: Callable[[], bool]) -> bool:
        """Whether the analysis came to its end."""
        state = self.state
        state.check_finite()
        self._pause_clock()
        done = self.analysis(state.step, state.evaluated, should_stop=should_stop)
        self._restart_clock()
        return done

    def _pause_clock(self) -> None:
        """Training seconds count steps alone, not evaluation and checkpoints."""
        self.state.seconds += time.monotonic() - self._began
        self._began = time.monotonic()

    def _restart_clock(self) -> None:
        self._began = self._asked = time.monotonic()
        self._images, self._waited = 0, 0.0
