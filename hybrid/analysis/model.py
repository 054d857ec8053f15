"""The analysis of any model on any images: `hybrid.analyse`."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.analysis.batches import Images, analyse_batches
from hybrid.analysis.inputs import Batch, batches_of
from hybrid.analysis.layers import plain_model
from hybrid.analysis.measurements import OF_CLASSES, ONE_CLASS, Host
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.errors import UserError, unknown_name
from hybrid.plain import plain
from hybrid.taps import undisturbed

_OF_THE_IMAGES = ("images", "test_images", "classes")  # settings that say which of a data set's images are taken


def analyse(
    model: nn.Module,
    images: Any,
    labels: Any = None,
    *,
    test: Any = None,
    preprocessing: Callable[[Tensor], Tensor] | None = None,
    max_images: int | None = 2000,
    batch_size: int = 64,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> Analysis:
    """Measure what the layers of a model do to images: how they contract, separate and simplify.

    The layers are the pixels, a scattering transform of `hybrid` if there is one, the output of every non-linearity and the
    logits; layers=["layer1", "layer2"] names others by the names of modules. The model's mode, hooks, buffers and gradients
    and torch's random generators are afterwards what they were.

    Args:
        model: any torch.nn.Module on any device that takes a batch of images.
        images: a floating-point tensor or NumPy array (N, C, H, W) in the form that the model takes; or a DataLoader, a
            Dataset, or any iterable, of (images, labels). Each batch is moved to the model's device and number type.
        labels: integers (N,), where images is a tensor or array. Without labels only contraction (every image counts as a
            class of its own), spectra (all images count as one class), Jacobian and stability can be measured.
        test: other images, or a tuple (images, labels): classifiers that are trained on each layer's output for `images`
            are tested on them (measure "probes").
        preprocessing: is applied to the images, on the model's device, before the model. The measure "stability" perturbs
            images before it, with strengths that are meant for images in [0, 1]. None: the images are ready.
        max_images: at most so many images are measured, and so many of test: drawn at random of a tensor or Dataset, the
            first of a DataLoader. None: all.
        batch_size: images at a time, where images is no DataLoader.
        say: is called with a line before each measurement.
        **settings: the other fields of `AnalysisSettings`, by name: layers, measures (of "contraction", "classes",
            "spectra", "separation", "boundary", "released_boundary", "probes", "jacobian", "stability", "rotation",
            "shift_consistency"; by default
            all but the three last and "released_boundary"), neighbours (the largest k of the boundary counts, 30),
            pooling, seed, …

    Returns an Analysis: `.table` is a pandas DataFrame with a row a layer, `.plot()` draws figures, `.save(path)` keeps it,
    `.problems` says what could not be measured. Raises UserError for what does not fit.

    Example:
        >>> import hybrid, torch
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))
        >>> images, labels = torch.rand(100, 3, 16, 16), torch.arange(100) % 10
        >>> analysis = hybrid.analyse(network, images, labels, neighbours=5)
        >>> list(analysis.table.index)
        ['pixels', '1', 'logits']
        >>> "contraction" in analysis.plot("contraction")
        True
    """
    settings, max_images, batch_size = plain(settings), plain(max_images), plain(batch_size)
    model, chosen = _checked(model), _settings(settings, max_images)
    with undisturbed(model):
        source = {"most": max_images, "batch_size": batch_size, "seed": chosen.seed}
        train = _Stream(batches_of(images, labels, **source), model, preprocessing, chosen)
        held = None if test is None else _Stream(_batches_of_test(test, source), model, preprocessing, chosen)
        chosen = _possible(chosen, "measures" in settings, labelled=train.labelled, held=held)
        ready = Images(train=train, test=held, sample=train.sample, preprocessing=train.preprocessing)
        analysis = analyse_batches(model, ready, chosen, host=Host(say=say or (lambda text: None)))
    analysis.about["problems"][:0] = _notes(analysis, model, chosen, labelled=train.labelled)
    return analysis.with_about(model=type(model).__name__)


def _checked(model: nn.Module) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise UserError(f"analyse measures a torch.nn.Module, not a {type(model).__name__}")
    return plain_model(model)


class _Stream:
    """Batches for the model, of which a sample is kept on the way: few enough classes that some images share one."""

    def __init__(
        self,
        batches: Iterator[Batch],
        model: nn.Module,
        preprocessing: Callable[[Tensor], Tensor] | None,
        settings: AnalysisSettings,
    ) -> None:
        self._batches, self._first, self._seed = batches, next(batches, None), settings.seed
        self.labelled = self._first is not None and self._first[1] is not None
        self._anchor = next(model.parameters(), None)
        self.preprocessing = preprocessing or (lambda images: images)
        self._most = settings.sample_images
        self._classes: set[int] = set()
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self._first is not None:
            images, labels = self._first
            self._first = next(self._batches, None)
            images = images.to(device=self._device, dtype=self._type(images))
            self._keep(images, labels)
            zeros = torch.zeros(len(images), dtype=torch.int64)
            yield self.preprocessing(images), (zeros if labels is None else labels).to(images.device)

    def sample(self) -> tuple[Tensor, Tensor] | None:
        """Images before preprocessing, in random order, and labels; without labels each image has one of its own."""
        if not self._most:
            return None
        for _ in self if self._missing else ():
            if not self._missing:
                break
        images, labels = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(self._seed)).to(images.device)
        return images[order], labels.to(images.device)[order]

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu") if self._anchor is None else self._anchor.device

    def _type(self, images: Tensor) -> torch.dtype:
        return images.dtype if self._anchor is None or not self._anchor.is_floating_point() else self._anchor.dtype

    @property
    def _missing(self) -> int:
        return self._most - sum(len(labels) for _, labels in self._kept)

    def _keep(self, images: Tensor, labels: Tensor | None) -> None:
        if not self._missing:
            return
        if labels is None:
            start = sum(len(labels) for _, labels in self._kept)
            labels = torch.arange(start, start + len(images))
        else:
            for label in labels.unique().tolist():
                if len(self._classes) < max(2, self._most // 16):
                    self._classes.add(label)
            labels = labels.cpu()
            wanted = torch.isin(labels, torch.tensor(sorted(self._classes)))
            images, labels = images[wanted.to(images.device)], labels[wanted]
        left = self._missing
        self._kept.append((images[:left].clone(), labels[:left]))


def _batches_of_test(test: Any, source: dict[str, Any]) -> Iterator[Batch]:
    if isinstance(test, tuple) and len(test) == 2 and isinstance(test[0], Tensor | np.ndarray):
        return batches_of(*test, **source)
    return batches_of(test, **source)


def _settings(given: dict[str, Any], max_images: int | None) -> AnalysisSettings:
    """The settings, of names that are valid here."""
    valid = [field.name for field in dataclasses.fields(AnalysisSettings) if field.name not in _OF_THE_IMAGES]
    for name in given:
        if name not in valid:
            raise unknown_name(name, valid, what="setting of the analysis")
    if max_images is not None and max_images < 4:
        raise UserError(f"max_images={max_images} is not valid: it must be at least 4, or None for all")
    return AnalysisSettings(**given, images=max_images, test_images=max_images, classes=None)


def _possible(settings: AnalysisSettings, asked: bool, *, labelled: bool, held: _Stream | None) -> AnalysisSettings:
    """The settings with the measures that the images allow. Raises UserError for one that was `asked` for in vain."""
    impossible = {} if labelled else dict.fromkeys(OF_CLASSES, "labels")
    if held is None or not held.labelled:
        impossible["probes"] = "test=(images, labels)"
    for name in settings.measures:
        if asked and name in impossible:
            raise UserError(f"the measure {name} needs {impossible[name]}")
    measures = [name for name in settings.measures if name not in impossible]
    if held is not None and "probes" not in measures:
        raise UserError("test has no effect: it needs labels, and probes among the measures")
    return dataclasses.replace(settings, measures=measures)


def _notes(analysis: Analysis, model: nn.Module, settings: AnalysisSettings, *, labelled: bool) -> list[str]:
    """What a reader must know of an analysis whose layers or classes were not named by anybody."""
    for line in analysis.problems:
        if line.startswith(ONE_CLASS):
            warnings.warn(line, stacklevel=3)
    notes, kinds = [], {layer["kind"] for layer in analysis.about["layers"]}
    if not labelled:
        left_out = ", ".join(name for name in AnalysisSettings().measures if name in OF_CLASSES)
        notes.append(
            f"there are no labels: left out is what compares classes ({left_out}); contraction takes each image as a class, "
            "spectra take all images as one"
        )
    if settings.layers is None and "logits" not in kinds:
        notes.append(f"the output of {type(model).__name__} is not a tensor with a row per image: it is not measured")
    if settings.layers is None and "module" in kinds:
        notes.append(
            f"{type(model).__name__} calls its non-linearities as functions, which have no name: measured are its modules "
            "with weights instead; layers=[…] names others"
        )
    return notes
