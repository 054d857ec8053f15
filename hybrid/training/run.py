"""One run from its configuration to its results: check, build, resume or begin, train, test, report."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid import distributed
from hybrid.analysis.layers import layers_of
from hybrid.configuration import instantiate
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Data, Loader
from hybrid.data.file_loader import dead_worker
from hybrid.distributed.sync_batch_norm import synchronize_batch_norm
from hybrid.durations import in_seconds, run_length
from hybrid.errors import Stopped, UserError
from hybrid.files import write_json
from hybrid.runs import RunFolder, Tracker
from hybrid.runs.console import Console
from hybrid.runs.environment import record_session
from hybrid.runs.jsonl import JsonLines
from hybrid.runs.tracker import Sink
from hybrid.scattering import engines_of
from hybrid.seeding import seed_everything, set_deterministic
from hybrid.training import checkpoint
from hybrid.training.checks import advice_on_evaluation, check, fix_root
from hybrid.training.evaluation import Evaluation
from hybrid.training.feature_cache import FeatureCache, plan_cache
from hybrid.training.interruption import stopped_at_once
from hybrid.training.live_analysis import LiveAnalysis, live_settings
from hybrid.training.pictures import Pictures
from hybrid.training.settings import TrainerSettings
from hybrid.training.start import begin, initial_weights
from hybrid.training.state import TrainState
from hybrid.training.summary import already_finished, closing_words, final_numbers, hyperparameters, summarize
from hybrid.training.trainer import Trainer


def run(cfg: DictConfig) -> dict[str, Any]:
    """Do what the configuration says and return the run's summary.

    A finished run is left alone and its summary returned; an unfinished one continues from its last checkpoint. Raises
    UserError before anything is written for whatever is wrong with the configuration, hybrid.errors.Stopped when a signal
    ended the run early, and hybrid.errors.PeerLost when another of its processes did (hybrid/distributed/group.py).
    """
    timeout = in_seconds(OmegaConf.select(cfg, "trainer.rank_timeout"), path="trainer.rank_timeout")
    with distributed.session(timeout=timeout):
        try:
            return _run(cfg)
        except RuntimeError as error:
            if (explained := dead_worker()) is None:
                raise
            raise explained from error


def _run(cfg: DictConfig) -> dict[str, Any]:
    settings, run_settings, device = distributed.together(lambda: check(cfg))
    fix_root(cfg)
    folder = RunFolder.of(cfg)
    if distributed.from_main(lambda: folder.finished) and not run_settings.restart:
        return distributed.from_main(lambda: already_finished(folder, cfg))
    set_deterministic(settings.deterministic)
    torch.set_float32_matmul_precision(settings.matmul_precision)
    seed_everything(cfg.seed)
    data = data_from(cfg.data, cfg.augmentation, seed=cfg.seed)
    distributed.prepare(data.prepare)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
    given = distributed.from_main(lambda: initial_weights(model, run_settings, folder))
    if (live := live_settings(cfg)) is not None:  # an unknown layer is better known before hours of training
        layers_of(model, taps=live[1].layers)
    distributed.seed_rank(cfg.seed)
    if settings.sync_batch_norm:
        synchronize_batch_norm(model, device)
    model.to(device, memory_format=torch.channels_last if settings.channels_last else torch.preserve_format)
    plan = _Plan.of(cfg, settings, data, device)
    kept = plan_cache(settings, data, model, device=device, total_steps=plan.total_steps, about=_about_features(cfg))
    optimizer = instantiate(cfg.optimizer, path="optimizer", model=model)
    state = TrainState(model, optimizer, device=device, fp16=settings.precision == "fp16", ema=settings.ema)
    distributed.from_main(lambda: folder.open(cfg, class_names=data.class_names, restart=run_settings.restart))
    distributed.on_exit(lambda lost: folder.note_failure(lost, rank=distributed.rank()))
    try:
        has_statistics = any(name.startswith("normalization.") for name in given)
        cache = begin(state, folder, data, device, has_statistics=has_statistics, kept=kept)
        return _train(cfg, settings, plan, state, data, device, folder, cache)
    except KeyboardInterrupt as interrupt:
        raise stopped_at_once(folder.checkpoints) from interrupt
    except Exception as error:
        if not isinstance(error, Stopped):
            folder.note_failure(error, rank=distributed.rank())
        raise
    finally:
        folder.close()


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The loader of the training images and the lengths that follow from it."""

    loader: Loader
    steps_per_epoch: int
    total_steps: int
    schedule: Any

    @classmethod
    def of(cls, cfg: DictConfig, settings: TrainerSettings, data: Data, device: torch.device) -> _Plan:
        if settings.test_weights == "best" and "validation" not in data.splits:
            raise UserError("trainer.test_weights=best needs validation images, and data.validation is 0. Valid: last.")
        loader = data.loader(
            "train",
            batch_size=settings.batch_size,
            device=device,
            train=True,
            drop_last=settings.drop_last,
            shares=distributed.own_shares(settings.accumulation),
        )
        steps_per_epoch = min(len(loader), settings.max_train_steps_per_epoch or len(loader))
        total = run_length(settings.duration, path="trainer.duration", steps_per_epoch=steps_per_epoch)
        lengths = {"steps_per_epoch": steps_per_epoch, "total_steps": total}
        return cls(loader, steps_per_epoch, total, instantiate(cfg.schedule, path="schedule", **lengths))


def _about_features(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.create({"data": cfg.data, "frontend": cfg.model.frontend}), resolve=True)


def _train(
    cfg: DictConfig,
    settings: TrainerSettings,
    plan: _Plan,
    state: TrainState,
    data: Data,
    device: torch.device,
    folder: RunFolder,
    cache: FeatureCache | None,
) -> dict[str, Any]:
    epochs = plan.total_steps / plan.steps_per_epoch
    speaks = distributed.is_main()
    style = settings.progress if speaks else "none"
    console = Console(total_steps=plan.total_steps, total_epochs=epochs, start_step=state.step, style=style)
    engines = engines_of(state.model, device) if speaks else []
    with Tracker(*_sinks(console, settings, state, data, folder, engines) if speaks else ()) as tracker:
        pictures = Pictures(tracker, data, enabled=settings.tensorboard and speaks)
        _announce(console, cfg, state, data, device, folder)
        lengths = {"steps_per_epoch": plan.steps_per_epoch, "total_steps": plan.total_steps}
        if (advice := advice_on_evaluation(settings, data, **lengths)) is not None:
            console.say(advice)
        for engine in engines:
            console.say(engine)
        if cache is not None:
            console.say(cache.describe())
        if state.step == 0:
            pictures.before_training(plan.loader, state.model)
        trainer = Trainer(
            analysis=_analysis(cfg, settings, plan, data, device, folder, tracker, console),
            state=state,
            data=data,
            loader=plan.loader,
            settings=settings,
            schedule=plan.schedule,
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            device=device,
            checkpoints=folder.checkpoints,
            tracker=tracker,
            console=console,
            on_evaluation=pictures.after_evaluation,
            cache=cache,
        )
        trainer.fit()
        test = _test(trainer, settings)
        pictures.after_evaluation(state.step, test, split="test")
        summary = summarize(cfg, settings, state, data, test, epochs=epochs, device=device)
        tracker.results(hyperparameters(cfg), final_numbers(summary))
    if speaks:
        write_json(folder.summary, summary)
    console.say(closing_words(summary, folder, settings))
    return summary


def _analysis(
    cfg: DictConfig,
    settings: TrainerSettings,
    plan: _Plan,
    data: Data,
    device: torch.device,
    folder: RunFolder,
    tracker: Tracker,
    console: Console,
) -> LiveAnalysis | None:
    chosen = live_settings(cfg)
    if chosen is None:
        return None
    return LiveAnalysis(
        *chosen,
        data=data,
        batch_size=settings.batch_size,
        device=device,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        folder=folder.analysis,
        tracker=tracker,
        console=console,
        about={"model": cfg.choices.model, "data": data.name, "seed": cfg.seed},
    )


def _sinks(
    console: Console, settings: TrainerSettings, state: TrainState, data: Data, folder: RunFolder, engines: list[str]
) -> list[Sink]:
    """Where the run's records go; also notes in environment.json that a session has begun."""
    more = {"engines": engines, "unofficial_files": data.unofficial_files}
    record_session(folder.environment, step=state.step, ranks=distributed.size(), **more)
    again = ("test/", "analysis/") if state.owes_analysis else ("test/",)
    sinks: list[Sink] = [JsonLines(folder.metrics, resume_step=state.step, again=again), console]
    if settings.tensorboard:
        from hybrid.runs.tensorboard import TensorBoard

        sinks.append(TensorBoard(folder.tensorboard, resume_step=state.step))
    return sinks


def _test(trainer: Trainer, settings: TrainerSettings) -> Evaluation:
    """Evaluate the test images, once in a run, on the weights that trainer.test_weights names."""
    state = trainer.state
    if settings.test_weights == "best":
        best = trainer.checkpoints / "best.pt"
        content = distributed.from_main(lambda: checkpoint.load(best))
        checkpoint.load_weights(state.evaluated, content, source=best)
    test = trainer.evaluate("test")
    numbers = {f"test/{name}": value for name, value in test.numbers().items()}
    trainer.tracker.scalars(state.step, state.step / trainer.steps_per_epoch, numbers)
    return test


def _announce(
    console: Console, cfg: DictConfig, state: TrainState, data: Data, device: torch.device, folder: RunFolder
) -> None:
    sizes = ", ".join(f"{len(split)} {name}" for name, split in data.splits.items())
    count = sum(parameter.numel() for parameter in state.model.parameters() if parameter.requires_grad)
    console.say(
        f"{cfg.choices.model}, {count:,} parameters, on {_place(device)}; {data.name}: {sizes} images of {data.image_shape}"
    )
    console.say(f"{'continuing from step ' + str(state.step) + ' in' if state.step else 'run folder'} {folder.path}")


def _place(device: torch.device) -> str:
    return f"{distributed.size()} × {device.type}" if distributed.size() > 1 else str(device)
