"""A run of `hybrid svm`: a support vector machine on the fixed coefficients of a model, in a folder as training leaves one.

It has no weights and no steps. docs/guide/commands.md lists the files of its folder. The head of the model is built but not used.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from hybrid.configuration import build_record
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Data
from hybrid.data.augmentation import Augmentation
from hybrid.data.checks import warn_of_oddities
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError
from hybrid.escaping import say
from hybrid.files import write_json
from hybrid.models import HybridModel, parts
from hybrid.runs import RunFolder
from hybrid.runs.environment import record_session
from hybrid.runs.jsonl import JsonLines
from hybrid.scattering import engines_of
from hybrid.seeding import seed_everything
from hybrid.svm import kernel_machine
from hybrid.svm.kernel_machine import Fitted, KernelMachine
from hybrid.training.device import device_name, resolve_device
from hybrid.training.memory import free_memory
from hybrid.training.settings import FolderSettings, check_keys, check_seed, with_absolute_root

_BATCH = 256  # images at a time through the front-end


@dataclass(frozen=True)
class Coefficients:
    """(N, D) float32 features and (N,) int64 classes of a split, on the run's device."""

    features: Tensor
    labels: Tensor


def run(cfg: DictConfig) -> dict[str, Any]:
    """Do what the configuration (configs/svm.yaml) says and return the run's summary.

    A finished run is left alone and its summary returned; an unfinished one begins again. Raises UserError before anything
    is written for whatever is wrong with the configuration, and where the Gram matrix does not fit into memory.
    """
    plan, cfg = SvmPlan.of(cfg), with_absolute_root(cfg)
    folder = RunFolder.of(cfg)
    restart = folder.follows_restart(cfg)
    if folder.finished and not restart:
        return folder.say_finished(cfg)
    seed_everything(plan.seed)
    data = data_from(cfg.data, cfg.augmentation, seed=plan.seed)
    if data.augmentation != Augmentation():
        raise UserError(
            "augmentation has no effect on a support vector machine: every image is taken once, as it is. Valid: none."
        )
    data.prepare()
    if data.task != "classification":
        raise UserError(
            f"a support vector machine tells classes apart, and {data.name} is for {data.task}: train a network, with `hybrid "
            "train`."
        )
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
    _check_fixed(model)
    _check_memory(plan.machine, model, data)
    model.to(plan.device).eval()
    described = {"class_names": data.class_names, "facts": data.facts().as_dict()}
    folder.open(cfg, **described, restart=restart)
    with _noting_failures(folder):
        if folder.finished:  # by another process, while this one got ready
            return folder.say_finished(cfg)
        warn_of_oddities(data)
        return _fit_and_test(plan, model, data, folder)


@dataclass(frozen=True, kw_only=True)
class SvmPlan:
    """What the configuration says. model and svm are the names of the chosen configurations, for people."""

    machine: KernelMachine
    run: FolderSettings
    seed: int
    device: torch.device
    model: str
    svm: str

    @classmethod
    def of(cls, cfg: DictConfig) -> SvmPlan:
        """Read and check it. Raises UserError for the first thing that is not valid."""
        check_keys(cfg, "model", "data", "augmentation", "svm", "run", "seed", "device")
        machine = build_record(KernelMachine, cfg.svm, path="svm")
        run = build_record(FolderSettings, cfg.run, path="run")
        check_seed(cfg)
        if Launch.read().size > 1:
            raise UserError("`hybrid svm` is one process: start it without torchrun or srun.")
        device = resolve_device(str(cfg.device), path="device")
        names = {"model": cfg.choices.model, "svm": cfg.choices.svm}
        return cls(machine=machine, run=run, seed=cfg.seed, device=device, **names)


def _check_fixed(model: HybridModel) -> None:
    """Nothing before the head may have to be trained."""
    for name in ("frontend", "normalization"):
        part = getattr(model, name)
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in part.modules()):
            learned = "batch norm, whose statistics come from training"
        elif parts.trainable_filters(part):
            learned = "weights to train"
        else:
            continue
        raise UserError(
            f"model.{name} has {learned}, and here nothing is trained. Fixed are model/frontend=scattering, roto_translation "
            "or identity with model/normalization=statistics or none."
        )


def _check_memory(settings: KernelMachine, model: HybridModel, data: Data) -> None:
    train, test = len(data.splits["train"]), len(data.splits["test"])
    dimensions = torch.Size(model.frontend.output_shape).numel()
    needed = kernel_machine.bytes_needed(settings, train=train, test=test, dimensions=dimensions)
    free = free_memory(torch.device("cpu"))
    if free is not None and needed > free:
        raise UserError(
            f"a support vector machine of {train:,} training images needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB "
            "are free: take fewer with data.subset.n=…"
        )


@contextlib.contextmanager
def _noting_failures(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        folder.note_failure(error)
        raise
    finally:
        folder.close()


def _fit_and_test(plan: SvmPlan, model: HybridModel, data: Data, folder: RunFolder) -> dict[str, Any]:
    device = plan.device
    engines = engines_of(model, device)
    record_session(folder.environment, step=0, engines=engines, unofficial_files=data.unofficial_files)
    started = time.perf_counter()
    if model.needs_statistics:
        model.fit_statistics(batch.images for batch in data.loader("train", batch_size=_BATCH, device=device).epoch(0))
    train = coefficients(model, data, "train", device)
    say(*_announcement(plan, data, train, folder), *engines)
    fitted = kernel_machine.fit(train.features, train.labels, plan.machine, seed=plan.seed)
    seconds = time.perf_counter() - started
    test = coefficients(model, data, "test", device)
    hits = int((fitted.predict(test.features) == test.labels.cpu()).sum())
    top1 = 100 * hits / len(test.labels)
    with contextlib.closing(JsonLines(folder.metrics)) as metrics:
        metrics.scalars(0, 0.0, {"test/top1": top1})
    summary = {
        "model": plan.model,
        "data": data.name,
        "seed": plan.seed,
        "test": {"top1": top1, "images": len(test.labels)},
        "train": {"images": len(train.labels)},
        "svm": _about(fitted),
        "seconds": round(seconds, 2),
        "device": device_name(device),
        "ranks": 1,
        "precision": "fp32",
    }
    write_json(folder.summary, summary)
    say(*_closing_words(summary, folder))
    return summary


@torch.no_grad()
def coefficients(model: HybridModel, data: Data, split: str, device: torch.device) -> Coefficients:
    """What the front-end and the normalization make of every image of a split, as evaluation sees them, in order."""
    features, labels = [], []
    for batch in data.loader(split, batch_size=_BATCH, device=device).epoch(0):
        features.append(model.normalization(model.frontend(batch.images)).flatten(1))
        labels.append(batch.labels)
    return Coefficients(torch.cat(features), torch.cat(labels))


def _about(fitted: Fitted) -> dict[str, Any]:
    """C, and how it was chosen: accuracies in % by cross-validation, None where it was given."""
    searched = {f"{C:g}": accuracy for C, accuracy in fitted.accuracies.items()}
    return {
        "C": fitted.C,
        "cross_validation": fitted.accuracies.get(fitted.C),
        "candidates": searched or None,
        "support_vectors": fitted.support_vectors,
    }


def _announcement(plan: SvmPlan, data: Data, train: Coefficients, folder: RunFolder) -> list[str]:
    count, dimensions = train.features.shape
    return [
        f"{plan.svm} support vector machine on {dimensions:,} coefficients of {plan.model}'s front-end, on "
        f"{plan.device}; {data.name}: {count} train, {len(data.splits['test'])} test images of {data.image_shape}",
        f"run folder {folder.path}",
    ]


def _closing_words(summary: dict[str, Any], folder: RunFolder) -> list[str]:
    svm, test = summary["svm"], summary["test"]
    lines = [
        f"test accuracy {test['top1']:.2f} % of {test['images']} images; C = {svm['C']:g}, {svm['support_vectors']} of "
        f"{summary['train']['images']} training images are support vectors; fitted in {summary['seconds']:.1f} s",
        f"run folder:  {folder.path}",
    ]
    if svm["candidates"]:
        words = ", ".join(f"C = {C}: {accuracy:.2f} %" for C, accuracy in svm["candidates"].items())
        lines.insert(0, f"cross-validation on the training images: {words}")
    return lines
