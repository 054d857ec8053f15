"""The measurements of one analysis as they are made, layer by layer; `hybrid.analysis.batches` says in which order.

The pairs of images for contraction are drawn within blocks, so that the maps of all layers fit in memory block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hybrid.analysis.boundary import boundary_counts, released_boundary_counts
from hybrid.analysis.columns import OF_VECTORS, LayerFound, measure_of
from hybrid.analysis.contraction import class_distances, contraction_ratios
from hybrid.analysis.features import Features, Projection, Standardizer, collect, pooled
from hybrid.analysis.jacobian import JacobianNorms, jacobian_norm
from hybrid.analysis.layers import Layer, fixed_layers
from hybrid.analysis.nearest import Neighbours, nearest_neighbours
from hybrid.analysis.observation import observe
from hybrid.analysis.pairs import distances_of, sample_pairs
from hybrid.analysis.probes import probe_accuracies
from hybrid.analysis.result import Analysis
from hybrid.analysis.rotation import measure_rotation
from hybrid.analysis.separation import class_separation
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.shift_consistency import measure_shift_consistency
from hybrid.analysis.spectra import class_spectra
from hybrid.analysis.stability import Stability, measure_stability
from hybrid.errors import UserError

T = TypeVar("T")
Batches = Iterable[Sequence[Tensor]]
Say = Callable[[str], None]
_BLOCK = 64  # images that are in memory at once with the maps of all layers
OF_CLASSES = ("classes", "separation", "boundary", "released_boundary", "probes")  # the measures that compare classes
ONE_CLASS = "all images are of one class"
_BY_NEIGHBOURS = {"separation", "boundary", "released_boundary"}  # the measures that share one table of neighbours


class Abandoned(Exception):
    """An analysis was asked to stop before it had measured everything."""


@dataclass(frozen=True)
class Host:
    """How an analysis speaks with the program that it runs in.

    say: is told the next measurement, for a progress line. should_stop: is asked between two batches and two measurements;
    where it answers yes, `Abandoned` is raised. exchange: takes a function that collects the features of this process's
    share of the batches, and returns the features of all processes.
    """

    say: Say = lambda text: None
    should_stop: Callable[[], bool] = lambda: False
    exchange: Callable[[Callable[[], Features]], Features] = lambda collect: collect()


@dataclass
class Measurements:
    """Measures the layers of a model; `found` has a LayerFound for each layer, `problems` a line for each failure."""

    model: nn.Module
    layers: tuple[Layer, ...]
    settings: AnalysisSettings
    host: Host
    found: dict[str, LayerFound] = field(init=False)
    problems: list[str] = field(init=False, default_factory=list)
    measures: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.found = {layer.name: LayerFound(layer) for layer in self.layers}
        self.measures = set(self.settings.measures)

    @property
    def unmeasured(self) -> tuple[Layer, ...]:
        """The layers whose vectors are still to be measured."""
        return tuple(layer for layer in self.layers if self.found[layer.name].dimension is None)

    def take_over(self, earlier: Analysis) -> None:
        """Copy the measurements of vectors of the layers that training cannot change from an earlier analysis."""
        fixed = {layer.name for layer in fixed_layers(self.model, self.layers)}
        names = [layer.name for layer in self.layers]
        if (earlier.about["settings"], earlier.layers) != (self.settings.as_record(), names):
            raise ValueError("the earlier analysis has other settings or is of another model")
        for each in earlier.about["layers"]:
            if (name := each["name"]) not in fixed:
                continue
            found = self.found[name]
            found.vectors, found.dimension, found.constant = (each[key] for key in ("vectors", "dimension", "constant"))
            found.numbers = {key: value for key, value in each["numbers"].items() if measure_of(key) in OF_VECTORS}
            arrays = earlier.arrays_of(name).items()
            found.arrays = {key: value for key, value in arrays if measure_of(key) in OF_VECTORS}
            self.problems += [line for line in earlier.about["problems"] if line.startswith(f"{name}: ")]

    def note_few(self, labels: Tensor) -> None:
        """Note counts that say more about the size of the sample than about the layer; leave out what one class cannot show."""
        counts = labels.unique(return_counts=True)[1]
        fewest, neighbours = int(counts.min()), self.settings.neighbours
        if len(counts) == 1 and (left_out := [name for name in OF_CLASSES if name in self.measures]):
            self.problems.append(f"{ONE_CLASS}: left out is what compares classes ({', '.join(left_out)})")
            self.measures -= set(left_out)
        if "boundary" in self.measures and fewest <= neighbours:
            self.problems.append(
                f"a class has {fewest} images: no more than {fewest - 1} of {neighbours} neighbours can agree with it, so the "
                "boundary counts of larger k mean little"
            )

    def collect(self, batches: Batches) -> Features:
        """The features of the unmeasured layers."""
        settings = self.settings
        return collect(
            self.model,
            self._until_stopped(batches),
            self.unmeasured,
            pooling=settings.pooling,
            project=None if settings.pixel_values is None else Projection(settings.pixel_values, settings.seed),
            compensate_energy=settings.compensate_energy,
        )

    def measure_vectors(self, name: str, features: Features, held: Features | None) -> None:
        """Measure all that takes one vector per image in one layer, and release the layer's features."""
        settings, labels, found = self.settings, features.labels, self.found[name]
        values, test = features.values.pop(name), held.values.pop(name) if held is not None else None
        found.dimension, found.vectors = values.shape[1], features.vectors[name]
        if settings.standardize:
            standardize = Standardizer.fit(values, together=found.layer.kind == "pixels")
            found.constant = standardize.constant
            values, test = standardize(values), standardize(test) if test is not None else None
        memory = {"memory_bytes": settings.memory_bytes}
        self._try(name, "classes", lambda: class_distances(values, labels, **memory))
        self._try(name, "spectra", lambda: class_spectra(values, labels))
        table = self._table(name, values)
        if table is not None:
            near = {"neighbours": table, **memory}
            self._try(name, "separation", lambda: class_separation(values, labels, **near))
            self._try(name, "boundary", lambda: boundary_counts(values, labels, settings.neighbours, **near))
            released = partial(released_boundary_counts, values, labels, settings.neighbours, **near)
            self._try(name, "released_boundary", released)
        if test is not None:
            chosen = {"probes": settings.probes, "k": settings.knn, "svm_images": settings.svm_images}
            known = (values, labels, test, held.labels)
            self._try(name, "probes", lambda: probe_accuracies(*known, **chosen, seed=settings.seed, **memory))

    def measure_maps(self, inputs: Tensor, labels: Tensor) -> None:
        """Measure contraction and Jacobian, which see the layers' outputs as they are; inputs are what the model takes."""
        settings = self.settings
        if "contraction" in settings.measures:
            self.host.say("contraction")
            before, distances, same = self._pair_distances(inputs, labels)
            for layer in self.layers:
                after = distances[layer.name]
                base = distances[_before(layer, self.layers)] if layer.depth else before
                for name, start in (("contraction", before), ("step", base)):
                    self._try(layer.name, name, partial(contraction_ratios, start, after, same), wanted="contraction")
        for layer in self.layers if "jacobian" in settings.measures else ():
            self.host.say(f"Jacobian of {layer.name}")
            self._try(layer.name, "jacobian", partial(self._jacobian, layer, inputs[: settings.jacobian_images]))

    def measure_stability(self, images: Tensor, preprocessing: Callable[[Tensor], Tensor]) -> dict[str, Stability]:
        """Measure how far each layer moves when the images are changed a little: kind -> Stability."""
        settings, found = self.settings, {}
        for kind in settings.stability if "stability" in settings.measures else ():
            self.host.say(f"stability against {kind}")
            self._go_on()
            try:
                found[kind] = measure_stability(
                    lambda changed: self._observe(preprocessing(changed)),
                    images[: settings.stability_images],
                    kind=kind,
                    seed=settings.seed,
                    batch_size=_BLOCK,
                )
            except UserError as error:
                self.problems.append(f"stability against {kind}: {error}")
        return found

    def measure_rotation(self, images: Tensor, preprocessing: Callable[[Tensor], Tensor]) -> None:
        """Measure how far the averages over positions move when the images are turned."""
        settings = self.settings
        if "rotation" not in settings.measures:
            return
        self.host.say("rotation")

        def vectors(pictures: Tensor) -> dict[str, Tensor]:
            blocks = self._until_stopped(pictures.split(_BLOCK))
            parts = [self._observe(preprocessing(block), keep=_averaged) for block in blocks]
            return {layer.name: torch.cat([part[layer.name] for part in parts]) for layer in self.layers}

        how = {
            "standardize": settings.standardize,
            "together": [each.name for each in self.layers if each.kind == "pixels"],
        }
        try:
            found = measure_rotation(vectors, images[: settings.stability_images], **how, seed=settings.seed)
        except ValueError as error:
            self.problems.append(f"rotation: {error}")
            return
        for name, own in self.found.items():
            if name in found:
                own.add("rotation", found[name])
            else:
                self.problems.append(f"{name}: rotation: all images are alike, so there is no distance to compare with")

    def measure_shifts(self, images: Tensor, preprocessing: Callable[[Tensor], Tensor]) -> None:
        """Measure how often the class changes when the images move by one pixel; it is kept with the logits."""
        name = next((layer.name for layer in self.layers if layer.kind == "logits"), None)
        if "shift_consistency" not in self.measures:
            return
        if name is None:
            self.problems.append("shift_consistency: it is measured at the logits, which are not among the layers")
            return
        self.host.say("shift consistency")

        def outputs(pictures: Tensor) -> Tensor:
            self._go_on()
            return self._observe(preprocessing(pictures))[name]

        chosen = images[: self.settings.stability_images]
        compute = partial(measure_shift_consistency, outputs, chosen, batch_size=_BLOCK)
        self._try(name, "shift_consistency", compute)

    def _table(self, name: str, values: Tensor) -> Neighbours | None:
        """Neighbours enough for every measure that wants them; None if there is none or it cannot be made."""
        settings = self.settings
        if not self.measures & _BY_NEIGHBOURS:
            return None
        self._go_on()
        try:
            return nearest_neighbours(values, settings.neighbours, memory_bytes=settings.memory_bytes)
        except ValueError as error:
            self.problems.append(f"{name}: neighbours: {error}")
            return None

    def _pair_distances(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Distances of pairs within blocks of images: of the inputs, of every layer, and whether they are of one class."""
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed)
        inputs, labels = inputs[: settings.pair_images], labels[: settings.pair_images]
        blocks = [block for block in zip(inputs.split(_BLOCK), labels.split(_BLOCK), strict=True) if len(block[1]) > 1]
        if not blocks:
            raise UserError("contraction needs at least two images in the sample")
        parts = []
        for images, own in self._until_stopped(blocks):
            pairs = sample_pairs(own, -(-settings.pairs // len(blocks)), generator=generator)
            values = self._observe(images, keep=lambda maps, _layer, pairs=pairs: distances_of(maps, pairs))
            parts.append((distances_of(images, pairs), values, pairs.same_class))
        before, values, same = zip(*parts, strict=True)
        joined = {layer.name: torch.cat([value[layer.name] for value in values]) for layer in self.layers}
        return torch.cat(before), joined, torch.cat(same)

    def _observe(self, inputs: Tensor, **more: Any) -> dict[str, Tensor]:
        return observe(self.model, inputs, self.layers, compensate_energy=self.settings.compensate_energy, **more)

    def _jacobian(self, layer: Layer, inputs: Tensor) -> JacobianNorms:
        settings = self.settings

        def output(images: Tensor) -> Tensor:
            compensate = settings.compensate_energy
            return observe(self.model, images, [layer], compensate_energy=compensate, differentiable=True)[layer.name]

        generator = torch.Generator().manual_seed(settings.seed)
        return jacobian_norm(output, inputs, iterations=settings.jacobian_iterations, generator=generator)

    def _try(self, name: str, measure: str, compute: Callable[[], Any], *, wanted: str | None = None) -> None:
        """Make one measurement if the settings want it (`wanted`, where that is another name); note it if it fails."""
        if (wanted or measure) not in self.measures:
            return
        self._go_on()
        try:
            self.found[name].add(measure, compute())
        except ValueError as error:
            self.problems.append(f"{name}: {measure}: {error}")

    def _go_on(self) -> None:
        if self.host.should_stop():
            raise Abandoned

    def _until_stopped(self, parts: Iterable[T]) -> Iterator[T]:
        for part in parts:
            self._go_on()
            yield part


def _averaged(values: Tensor, layer: Layer) -> Tensor:
    """One vector for each image; the pixels, whose average is a mean colour, are flattened."""
    return pooled(values, "flatten" if layer.kind == "pixels" else "average", channels=layer.channels).clone()


def _before(layer: Layer, layers: tuple[Layer, ...]) -> str:
    """The layer that this one is compared with step by step: the nearest before it; the orders are parts, not steps."""
    earlier = [each for each in layers[: layer.depth] if each.order is None]
    if layer.kind == "scattering":
        earlier = [each for each in earlier if each.kind == "pixels"] or earlier
    return (earlier or layers[: layer.depth])[-1].name
