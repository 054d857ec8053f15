"""A run of `hybrid svm` or `hybrid classify`: a classifier on fixed coefficients, in a folder as training leaves one.

It has no weights and no steps. docs/guide/commands.md lists the files of its folder. The head of the model is built but not used.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from hybrid.classification import kernel_machine
from hybrid.classification.divisions import divide
from hybrid.classification.kernel_machine import KernelMachine
from hybrid.classification.learners import Fitted
from hybrid.classification.plan import ClassifierPlan
from hybrid.configuration.from_config import data_from, model_from, part_from
from hybrid.data import Data
from hybrid.data.augmentation import Augmentation
from hybrid.data.checks import warn_of_oddities
from hybrid.data.holdout import Holdout
from hybrid.errors import UserError
from hybrid.escaping import say
from hybrid.files import write_json
from hybrid.models import HybridModel, parts
from hybrid.runs import RunFolder
from hybrid.runs.environment import record_session
from hybrid.runs.jsonl import JsonLines
from hybrid.scattering import engines_of
from hybrid.seeding import seed_everything
from hybrid.training.device import device_name
from hybrid.training.memory import free_memory
from hybrid.training.settings import with_absolute_root

if TYPE_CHECKING:
    from sklearn.base import TransformerMixin

_BATCH = 256  # images at a time through the front-end


@dataclass(frozen=True)
class Coefficients:
    """(N, D) float32 features and (N,) int64 classes of a split, on the run's device. (N, v, D) has v vectors of an image."""

    features: Tensor
    labels: Tensor


def run(cfg: DictConfig) -> dict[str, Any]:
    """Do what the configuration (configs/svm.yaml, configs/classify.yaml) says and return the run's summary.

    A finished run is left alone and its summary returned; an unfinished one begins again. Raises UserError before anything
    is written for whatever is wrong with the configuration, and where the Gram matrix of a kernel does not fit into memory.
    """
    plan, cfg = ClassifierPlan.of(cfg), with_absolute_root(cfg)
    folder = RunFolder.of(cfg)
    restart = folder.follows_restart(cfg)
    if folder.finished and not restart:
        return folder.say_finished(cfg)
    seed_everything(plan.seed)
    data = _data(cfg, plan)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
    _check_fixed(model)
    work = _Split(plan, cfg, model, data) if plan.features is None else _Divisions(plan, cfg, model, data)
    if isinstance(plan.learner, KernelMachine):
        _check_memory(plan, model, data)
    model.to(plan.device).eval()
    described = {"class_names": data.class_names, "facts": data.facts().as_dict()}
    folder.open(cfg, **described, restart=restart)
    with _noting_failures(folder):
        if folder.finished:  # by another process, while this one got ready
            return folder.say_finished(cfg)
        warn_of_oddities(data)
        return _fit_and_test(work, folder)


def _data(cfg: DictConfig, plan: ClassifierPlan) -> Data:
    data = data_from(cfg.data, cfg.augmentation, seed=plan.seed)
    if data.augmentation != Augmentation():
        raise UserError(
            f"augmentation has no effect on {plan.words}: every image is taken once, as it is. Valid: none."
        )
    data.prepare()
    if data.task != "classification":
        raise UserError(
            f"{plan.words} tells classes apart, and {data.name} is for {data.task}: train a network, with `hybrid train`."
        )
    return data


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


def _check_memory(plan: ClassifierPlan, model: HybridModel, data: Data) -> None:
    train, test = len(data.splits["train"]), len(data.splits["test"])
    averaged = plan.features is not None and plan.features.average
    dimensions = torch.Size(model.frontend.output_shape[: 1 if averaged else 3]).numel()
    needed = kernel_machine.bytes_needed(plan.learner, train=train, test=test, dimensions=dimensions)
    free = free_memory(torch.device("cpu"))
    if free is not None and needed > free:
        raise UserError(
            f"a support vector machine of {train:,} training images needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB "
            f"are free: take fewer with data.subset.n=…{'' if plan.features is None else ', or classifier=libsvm'}"
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


@dataclass
class _Work:
    """What is to be done: the plan, and the model and data that its configuration describes."""

    plan: ClassifierPlan
    cfg: DictConfig
    model: HybridModel
    data: Data


class _Split(_Work):
    """The split of the data into training and test images, with the model's normalization; what `hybrid svm` does."""

    def divisions(self) -> Iterator[tuple[Coefficients, Callable[[], Coefficients]]]:
        """Coefficients to train on, and a function that gives those to test on."""
        device = self.plan.device
        if self.model.needs_statistics:
            train = self.data.loader("train", batch_size=_BATCH, device=device)
            self.model.fit_statistics(batch.images for batch in train.epoch(0))
        of = partial(coefficients, self.model, self.data, device=device)
        yield of(split="train"), partial(of, split="test")


@dataclass
class _Divisions(_Work):
    """Random divisions of the images into those that train and test; the features of every image are computed once."""

    def __post_init__(self) -> None:
        self.divided = divide(self.data, self.plan.splits)
        self.transforms = self.plan.features.transforms(tuple(self.data.image_shape), self._frontend)

    def divisions(self) -> Iterator[tuple[Coefficients, Callable[[], Coefficients]]]:
        """Features to train on, and a function that gives those to test on, on the scale of the training images."""
        self.divided.warn_of_turned_copies()
        vectors = self._vectors()
        vectors = vectors[:, 0] if vectors.shape[1] == 1 else vectors
        positions = torch.Size(self.model.frontend.output_shape[1:]).numel()
        for division in self.divided.divisions:
            train = vectors[division.train]
            scaler = self.plan.features.scaler(positions)
            if scaler is not None:
                scaler.fit(train.flatten(0, -2).numpy())
            labels = self.divided.labels
            test = partial(_scaled, scaler, vectors, division.test, labels)
            yield _scaled(scaler, vectors, division.train, labels), test

    def _frontend(self, shape: tuple[int, int, int]) -> nn.Module:
        if shape == tuple(self.data.image_shape):
            return self.model.frontend
        return part_from(self.cfg.model.frontend, "frontend")(image_shape=shape)

    def _vectors(self) -> Tensor:
        frontend = OmegaConf.to_container(self.cfg.model.frontend, resolve=True)
        kept = {"frontend": frontend, "data": _seen(self.cfg.data)} if self.plan.cache else None
        return self.plan.features.vectors(self.divided.images, self.transforms, kept=kept, device=self.plan.device)


def _scaled(scaler: TransformerMixin | None, vectors: Tensor, positions: Tensor, labels: Tensor) -> Coefficients:
    chosen = vectors[positions]
    if scaler is not None:
        chosen = torch.from_numpy(scaler.transform(chosen.flatten(0, -2).numpy())).view(chosen.shape)
    return Coefficients(chosen, labels[positions])


def _seen(section: DictConfig) -> dict[str, Any]:
    """The settings of data that change what an image looks like; which images are taken is told by their own pixels."""
    of_choice = {"root", "download", "num_workers", "validation", "split_seed", "subset"}
    of_choice |= {field.name for field in fields(Holdout)}
    values = OmegaConf.to_container(section, resolve=True)
    return {key: value for key, value in values.items() if key not in of_choice}


def _fit_and_test(work: _Split | _Divisions, folder: RunFolder) -> dict[str, Any]:
    plan, data = work.plan, work.data
    engines = engines_of(work.model, plan.device)
    record_session(folder.environment, step=0, engines=engines, unofficial_files=data.unofficial_files)
    started = time.perf_counter()
    accuracies, fitted, counts = [], None, (0, 0)
    for number, (train, test_of) in enumerate(work.divisions()):
        if number == 0:
            say(*_announcement(work, train, folder), *engines)
        fitted = plan.learner.fit(train.features, train.labels, seed=plan.seed + number)
        seconds = time.perf_counter() - started
        test = test_of()
        hits = int((fitted.predict(test.features) == test.labels.cpu()).sum())
        counts = len(train.labels), len(test.labels)
        accuracies.append(100 * hits / counts[1])
    with contextlib.closing(JsonLines(folder.metrics)) as metrics:
        for number, accuracy in enumerate(accuracies if plan.splits > 1 else ()):
            metrics.scalars(number, 0.0, {"division/top1": accuracy})
        metrics.scalars(plan.splits - 1, 0.0, {"test/top1": statistics.fmean(accuracies)})
    summary = _summary(work, fitted, accuracies, counts, seconds)
    write_json(folder.summary, summary)
    say(*_closing_words(summary, folder))
    return summary


def _summary(
    work: _Work, fitted: Fitted, accuracies: list[float], counts: tuple[int, int], seconds: float
) -> dict[str, Any]:
    """accuracies: of the divisions. fitted: the last one. counts: images that train and test in a division."""
    plan = work.plan
    test: dict[str, Any] = {"top1": statistics.fmean(accuracies), "images": counts[1]}
    if plan.splits > 1:
        test["std"] = statistics.stdev(accuracies)
    return {
        "model": plan.model,
        "data": work.data.name,
        "seed": plan.seed,
        "test": test,
        "train": {"images": counts[0]},
        **({"splits": plan.splits} if plan.splits > 1 else {}),
        plan.section: fitted.about(),
        "seconds": round(seconds, 2),
        "device": device_name(plan.device),
        "ranks": 1,
        "precision": "fp32",
    }


@torch.no_grad()
def coefficients(model: HybridModel, data: Data, split: str, device: torch.device) -> Coefficients:
    """What the front-end and the normalization make of every image of a split, as evaluation sees them, in order."""
    features, labels = [], []
    for batch in data.loader(split, batch_size=_BATCH, device=device).epoch(0):
        features.append(model.normalization(model.frontend(batch.images)).flatten(1))
        labels.append(batch.labels)
    return Coefficients(torch.cat(features), torch.cat(labels))


def _announcement(work: _Work, train: Coefficients, folder: RunFolder) -> list[str]:
    plan, data = work.plan, work.data
    several = "" if train.features.ndim == 2 else f"{train.features.shape[1]} times "
    times = "" if plan.splits == 1 else f"{plan.splits} random divisions of "
    return [
        f"{plan.chosen} on {several}{train.features.shape[-1]:,} coefficients of {plan.model}'s front-end, on "
        f"{plan.device}; {data.name}: {times}{len(train.labels)} train, {len(data.splits['test'])} test images of "
        f"{data.image_shape}",
        f"run folder {folder.path}",
    ]


def _closing_words(summary: dict[str, Any], folder: RunFolder) -> list[str]:
    test, times = summary["test"], f"fitted in {summary['seconds']:.1f} s"
    accuracy = f"test accuracy {test['top1']:.2f} % of {test['images']} images"
    if "std" in test:
        over = f"{summary['splits']} divisions, {test['images']} images each"
        accuracy = f"test accuracy {test['top1']:.2f} ± {test['std']:.2f} % over {over}"
        times = f"all of it took {summary['seconds']:.1f} s"
    about = summary.get("svm") or summary.get("classifier") or {}
    lines = [f"run folder:  {folder.path}"]
    if "support_vectors" in about:
        supports = f"{about['support_vectors']} of {summary['train']['images']} training images are support vectors"
        lines.insert(0, f"{accuracy}; C = {about['C']:g}, {supports}; {times}")
    else:
        told = "".join(f"; {name.replace('_', ' ')} {value:g}" for name, value in about.items() if value is not None)
        lines.insert(0, f"{accuracy}{told}; {times}")
    if about.get("candidates"):
        words = ", ".join(f"C = {C}: {accuracy:.2f} %" for C, accuracy in about["candidates"].items())
        lines.insert(0, f"cross-validation on the training images: {words}")
    return lines
