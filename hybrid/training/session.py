"""What travels together while a process works on a run, from its opened folder to its results."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from omegaconf import OmegaConf
from torch import nn

from hybrid import distributed
from hybrid.data import Data
from hybrid.data.checks import warn_of_oddities
from hybrid.distributed.gradients import GradientSum
from hybrid.escaping import for_terminal
from hybrid.models.describe import sizing
from hybrid.objective.losses import least_smoothed_loss
from hybrid.runs import RunFolder, Tracker
from hybrid.runs.console import Console
from hybrid.runs.environment import record_session
from hybrid.runs.jsonl import JsonLines, read_metrics
from hybrid.runs.loggers import LoggedRun
from hybrid.runs.tracker import Sink
from hybrid.scattering import engines_of
from hybrid.training.analysis.pictures import Pictures
from hybrid.training.feature_cache import FeatureCache
from hybrid.training.plan import Plan, advice_on_evaluation
from hybrid.training.state import TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One process at work on a run.

    Attributes:
        plan: what the run's configuration says.
        data: the splits and their loaders.
        state: the model, the optimizer, and how far the run is.
        folder: of the run.
        cache: the front-end's output for some splits; None: the front-end runs in every step.
        tracker: takes every record of the run. On other ranks than the first it has no sinks, and the console is silent.
        console: speaks to the user.
        pictures: for TensorBoard and other loggers that show them.
    """

    plan: Plan
    data: Data
    state: TrainState
    folder: RunFolder
    cache: FeatureCache | None
    tracker: Tracker
    console: Console
    pictures: Pictures

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, plan: Plan, data: Data, state: TrainState, folder: RunFolder, cache: FeatureCache | None
    ) -> Iterator[Session]:
        """The session, with its records open; they are closed at the end."""
        style = plan.trainer.progress if distributed.is_main() else "none"
        length = plan.length
        console = Console(
            total_steps=length.total_steps, total_epochs=length.epochs, start_step=state.step, style=style
        )
        with Tracker(*_sinks(plan, state, folder, console)) as tracker:
            shown = plan.loggers.pictures and distributed.is_main()
            pictures = Pictures(tracker, data, enabled=shown, likelihood=plan.objective.likelihood)
            parts = {"plan": plan, "data": data, "state": state, "folder": folder, "cache": cache}
            yield cls(**parts, tracker=tracker, console=console, pictures=pictures)

    @property
    def epoch(self) -> float:
        """How many epochs of the run are done."""
        return self.state.step / self.plan.length.steps_per_epoch

    @property
    def learning_rate(self) -> float | None:
        """The optimizer's own, before a schedule; None for one that has no such thing."""
        rate = self.state.optimizer.defaults.get("lr")
        return None if rate is None else float(rate)

    @property
    def at_the_end(self) -> bool:
        """Whether the last step of the run is done: the planned one, or the one at which a callback ended the run."""
        return self.state.step == self.plan.length.total_steps or self.state.end is not None

    def end_run(self, reason: str) -> None:
        """End the run after this step, as at its planned end. For callbacks; of several ranks the first one's word counts."""
        if self.state.end is None:
            self.state.end = {"step": self.state.step, "reason": reason}

    def say_end(self) -> None:
        """Tell the user why the run ended before its planned end, and what the schedule was planned for."""
        end, length = self.state.end, self.plan.length
        self.console.say(
            f"ended at step {end['step']} of {length.total_steps}: {end['reason']}; the learning rate's schedule was that of "
            f"the whole {length.epochs:g} epochs"
        )

    def owes_analysis(self) -> bool:
        """Whether the analysis of the step that the run goes on from is due, and not there: a signal cut it off."""
        return analysis_is_missing(self.plan, self.folder, self.state)

    def _about_rate(self) -> str | None:
        if self.plan.table.get("optimizer.lr") != "auto":
            return None
        return f"learning rate {self.learning_rate:.2g} (optimizer.lr=auto: what suits head, inputs, loss and batch)"

    def _about_ranks(self) -> str | None:
        """A line where the run goes on with another number of ranks, and is another run from here on."""
        before, now = self.state.ranks_before or distributed.size(), distributed.size()
        parts = [
            *(["batch norm over each rank's own images"] if GradientSum(self.state.model).averages_statistics else []),
            *(["dropout"] if any(map(_drops, self.state.model.modules())) else []),
        ]
        if before == now or not parts:
            return None
        advice = "; trainer.sync_batch_norm=true does not depend on it" if parts[0] != "dropout" else ""
        return (
            f"begun with {before} and continued with {now} rank{'s' * (now > 1)}: {' and '.join(parts)} gives other results "
            f"than with {before}{advice}"
        )

    def announce(self) -> None:
        """Note in environment.json that the session has begun, and tell the user what is trained, where and how."""
        if not distributed.is_main():
            return
        plan = self.plan
        engines = engines_of(self.state.model, plan.device)
        more = {"engines": engines, "unofficial_files": self.data.unofficial_files}
        record_session(self.folder.environment, step=self.state.step, ranks=distributed.size(), **more)
        lines = [
            *self._description(),
            plan.objective.describe(),
            self._about_ranks(),
            self._about_rate(),
            self._about_training_loss(),
            self._about_analysis(),
            advice_on_evaluation(plan.length, plan.evaluate_every, self.data),
            *engines,
        ]
        lines.append(self.cache.describe() if self.cache is not None else None)
        for line in filter(None, lines):
            self.console.say(line)
        warn_of_oddities(self.data)

    def _about_training_loss(self) -> str | None:
        """A line where the training loss is another one than that of an evaluation, so that nobody compares them."""
        reasons = []
        if smoothing := self.plan.trainer.label_smoothing:
            least = least_smoothed_loss(smoothing, self.data.num_classes)
            reasons.append(f"label smoothing {smoothing:g}, and so is {least:.2f} at least")
        augmentation = self.data.augmentation
        if mixed := [name for name in ("mixup", "cutmix") if getattr(augmentation, name)]:
            reasons.append(f"mixed images ({' and '.join(mixed)})")
        if not reasons:
            return None
        return f"the training loss has {'; '.join(reasons)}: those of validation and test have not"

    def _about_analysis(self) -> str | None:
        if self.plan.analysis is None or self.data.task == "classification":
            return None
        measures = ", ".join(self.plan.analysis.settings.measures)
        return (
            f"analysis: {measures}, of pairs of different images; the other measures need classes, and these have none"
        )

    def _description(self) -> Iterator[str]:
        state, data = self.state, self.data
        sizes = ", ".join(f"{len(split)} {name}" for name, split in data.splits.items())
        count = sum(parameter.numel() for parameter in state.model.parameters() if parameter.requires_grad)
        place = _place(self.plan.device)
        chosen = f" ({words})" if (words := sizing(state.model)) else ""
        yield f"{self.plan.model}{chosen}, {count:,} parameters, on {place}; {data.name}: {sizes} images of {data.image_shape}"
        start = f"continuing from step {state.step} in" if state.step else "run folder"
        yield f"{start} {for_terminal(str(self.folder.path))}"


def _drops(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0


def analysis_is_missing(plan: Plan, folder: RunFolder, state: TrainState) -> bool:
    """Whether an analysis of the state's step is due, and its arrays, which are written last, are not in the folder."""
    if plan.analysis is None or not (plan.analysis.due(state.step) or state.end is not None):
        return False
    return not folder.analysis_of(state.step).is_file()


def _sinks(plan: Plan, state: TrainState, folder: RunFolder, console: Console) -> Iterator[Sink]:
    """Where the run's records go."""
    if not distributed.is_main():
        return
    again = ("test/", "analysis/") if analysis_is_missing(plan, folder, state) else ("test/",)
    yield JsonLines(folder.metrics, resume_step=state.step, again=again)
    yield console
    if plan.loggers.tensorboard:
        from hybrid.runs.tensorboard import TensorBoard

        earlier = read_metrics(folder.metrics)
        yield TensorBoard(folder.tensorboard, resume_step=state.step, earlier=earlier)
    config = OmegaConf.to_container(folder.read_config(), resolve=True)
    yield from plan.loggers.open(
        LoggedRun(folder=folder.path, own=folder.loggers, config=config, resume_step=state.step)
    )


def _place(device: torch.device) -> str:
    return f"{distributed.size()} × {device.type}" if distributed.size() > 1 else str(device)
