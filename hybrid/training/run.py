"""One run from its configuration to its results: check, build, resume or begin, train, test, report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid import distributed
from hybrid.callbacks.callbacks import Callbacks, callbacks_from, note
from hybrid.callbacks.freezing import Frozen
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Data
from hybrid.data.checks import refuse_damaged
from hybrid.data.file_loader import dead_worker
from hybrid.durations import in_seconds
from hybrid.errors import Stopped, note_order
from hybrid.files import write_json
from hybrid.runs import RunFolder
from hybrid.runs.confusion import write_confusion
from hybrid.runs.environment import read_sessions
from hybrid.training.agreement import compare_data, compare_starts, with_own_places
from hybrid.training.evaluation import Evaluation
from hybrid.training.feature_cache import plan_cache
from hybrid.training.interruption import stopped_at_once
from hybrid.training.optimizer import optimizer_from
from hybrid.training.plan import Plan
from hybrid.training.session import Session
from hybrid.training.settings import Settings, with_absolute_root
from hybrid.training.start import begin, check_model, initial_weights, on_device, set_up_process
from hybrid.training.state import TrainState
from hybrid.training.statistics_check import statistics_warning
from hybrid.training.summary import closing_words, final_numbers, summarize
from hybrid.training.torch_schedule import torch_schedule
from hybrid.training.trainer import Trainer


def run(cfg: DictConfig, *, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Do what the configuration says and return the run's summary.

    A finished run is left alone and its summary returned; an unfinished one continues from its last checkpoint.

    Args:
        cfg: the whole configuration, as `hybrid.configuration.composition.compose` makes it.
        callbacks: objects with hooks of the trainer, beside those that `cfg.callbacks` names: see hybrid.callbacks.callbacks.

    Raises:
        UserError: something is wrong with the configuration or the data; nothing is written for whatever can be known before.
        hybrid.errors.Stopped: a signal ended the run early.
        hybrid.errors.PeerLost: another of the run's processes died (hybrid/distributed/group.py).
    """
    timeout = in_seconds(OmegaConf.select(cfg, "trainer.rank_timeout"), path="trainer.rank_timeout")
    with distributed.session(timeout=timeout), usual_dtype():
        try:
            own = distributed.together(lambda: callbacks_from(cfg.get("callbacks"), callbacks))
            cfg = with_absolute_root(note(cfg, callbacks))
            note_order("run.restart=true" if OmegaConf.select(cfg, "run.restart") else None)
            compare_starts(cfg)
            return _run(cfg, own)
        except RuntimeError as error:
            if (explained := dead_worker()) is None:
                raise
            raise explained from error


@contextlib.contextmanager
def usual_dtype() -> Iterator[None]:
    """A context in which new tensors are float32, whatever the caller's torch.set_default_dtype: it is no setting of a run."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _run(cfg: DictConfig, callbacks: Callbacks) -> dict[str, Any]:
    """The order in which a run starts. Nothing is written before the folder is opened."""
    distributed.together(lambda: Settings.of(cfg))
    begun, folder = distributed.from_main(lambda: _found(cfg))
    cfg = with_own_places(begun, cfg)
    settings = Settings.of(cfg)
    if distributed.from_main(lambda: folder.finished) and not settings.run.restart:
        return distributed.from_main(lambda: folder.say_finished(cfg))
    set_up_process(settings)
    data = _data(cfg, settings, folder)
    plan = Plan.of(cfg, settings, data)
    callbacks.call("on_setup", plan, data)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
    if plan.objective.units is not None:
        model.use_units(*plan.objective.units)
    given = distributed.from_main(lambda: initial_weights(model, settings.run, folder))
    check_model(model, plan)
    model = on_device(model, plan)
    optimizer = optimizer_from(cfg.optimizer, model, images=plan.images_per_step, curvature=plan.objective.curvature)
    frozen = Frozen(model, plan.trainer.freeze, warn=settings.run.init_from is None)  # the optimizer knows them, too
    wanted = plan_cache(plan, data, model)
    scheduler = torch_schedule(cfg.schedule, optimizer, plan, data)
    state = TrainState(
        model,
        optimizer,
        device=plan.device,
        fp16=plan.trainer.precision == "fp16",
        ema=plan.trainer.ema_decay,
        objective=plan.objective,
        callbacks=callbacks,
        scheduler=scheduler,
        frozen=frozen,
    )
    described = {"class_names": data.class_names, "task": data.task, "facts": data.facts().as_dict()}
    described["restart"] = settings.run.restart
    distributed.from_main(lambda: folder.open(cfg, **described))
    with _noting_failures(folder):
        if distributed.from_main(lambda: folder.finished):  # by another process, while this one got ready
            return distributed.from_main(lambda: folder.say_finished(cfg))
        cache = begin(state, data, folder, given=given, wanted=wanted)
        with Session.open(plan, data, state, folder, cache) as session:
            return _train(session)


def _found(cfg: DictConfig) -> tuple[DictConfig, RunFolder]:
    """The run's folder, and the configuration that the run there was begun with, without an order that was followed already."""
    folder = RunFolder.of(cfg)
    if cfg.run.restart and not folder.follows_restart(cfg):
        cfg = cfg.copy()
        cfg.run.restart = False
    return folder.as_begun(cfg), folder


def _data(cfg: DictConfig, settings: Settings, folder: RunFolder) -> Data:
    """The data set, with its files there; what the run has kept about it is not measured again, and else the first rank does.

    Raises UserError where the data are no longer those that the run began with.
    """
    kept = None if settings.run.restart else distributed.from_main(lambda: _kept(folder, cfg))
    data = data_from(cfg.data, cfg.augmentation, seed=settings.seed, facts=kept)
    data.exact = True
    distributed.prepare(data.prepare)
    data.know(distributed.from_main(data.facts))
    distributed.together(lambda: data.splits)
    compare_data(data)
    distributed.from_main(lambda: refuse_damaged(data))
    return data


def _kept(folder: RunFolder, cfg: DictConfig) -> dict[str, Any] | None:
    """What the run has kept about its data; None for a new run. Raises UserError where the folder is that of another run."""
    if not folder.config.is_file():
        return None
    folder.compare(cfg)
    return folder.read_facts()


def _train(session: Session) -> dict[str, Any]:
    session.announce()
    if session.state.step == 0:
        session.pictures.before_training(session.plan.loader, session.state.model)
    trainer = Trainer(session)
    trainer.fit()
    test = trainer.test()
    summary = summarize(session, test)
    table = {**session.plan.table, "optimizer.lr": session.learning_rate}  # a number, also for auto
    session.tracker.results(table, final_numbers(summary))
    warning = statistics_warning(session, test)  # all ranks are needed for it, and for nothing after it
    distributed.from_main(lambda: _store(session, test, summary))
    distributed.done()
    if warning:
        session.console.say(warning)
    session.console.say(closing_words(summary, session))
    session.state.callbacks.call("on_end", session, summary)
    return summary


def _store(session: Session, test: Evaluation, summary: dict[str, Any]) -> None:
    if test.confusion is not None:
        write_confusion(session.folder.confusion, test.confusion, session.data.class_names)
    write_json(session.folder.summary, summary)


@contextlib.contextmanager
def _noting_failures(folder: RunFolder) -> Iterator[None]:
    """Leave the traceback of an error in the opened folder, and close it at the end.

    A rank that was suspended meanwhile leaves nothing there: the others have ended, and the run has gone on without it.
    """
    before, rank = distributed.from_main(lambda: len(read_sessions(folder.environment))), distributed.rank()

    def note_failure(error: Exception) -> None:
        if rank == 0 or len(read_sessions(folder.environment)) - before in (0, 1):  # rank 0 holds the folder's lock
            folder.note_failure(error, rank=rank)

    distributed.on_exit(note_failure)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise stopped_at_once(folder.checkpoints, interrupt) from interrupt
    except Stopped:
        raise
    except Exception as error:
        note_failure(error)
        raise
    finally:
        folder.close()
