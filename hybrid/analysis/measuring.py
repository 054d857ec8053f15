"""The measurements of one analysis as they are made, layer by layer; `hybrid.analysis.analyse` says in which order.

The pairs of images for contraction are drawn within blocks, so that the maps of all layers fit in memory block by block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hybrid.analysis.boundary import boundary_counts, released_boundary_counts
from hybrid.analysis.contraction import class_distances, contraction_ratios
from hybrid.analysis.features import Features, Standardizer, collect
from hybrid.analysis.jacobian import JacobianNorms, jacobian_norm
from hybrid.analysis.layers import Layer, fixed_layers
from hybrid.analysis.nearest.neighbours import nearest_neighbours
from hybrid.analysis.observation import observe
from hybrid.analysis.pairs import distances_of, sample_pairs
from hybrid.analysis.probes import probe_accuracies
from hybrid.analysis.report import Report
from hybrid.analysis.separation import separation
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.spectra import class_spectra
from hybrid.analysis.stability import stability
from hybrid.errors import UserError

T = TypeVar("T")
Batches = Iterable[Sequence[Tensor]]
_BLOCK = 64  # images that are in memory at once with the maps of all layers
_TABLE = ("separation", "boundary", "released_boundary")  # the measures that share one table of neighbours
VECTOR_MEASURES = ("classes", "spectra", *_TABLE, "probes")  # those of one vector per image


class Abandoned(Exception):
    """An analysis was asked to stop before it had measured everything."""


@dataclasses.dataclass
class Measuring:
    """What is measured so far: found[layer] are fields of its LayerReport, problems the lines about what is missing.

    unmeasured: the layers whose vectors are still to be measured. should_stop: asked between two batches and two measurements.
    """

    model: nn.Module
    layers: tuple[Layer, ...]
    unmeasured: tuple[Layer, ...]
    settings: AnalysisSettings
    device: torch.device
    problems: list[str]
    found: dict[str, dict[str, Any]]
    should_stop: Callable[[], bool] = lambda: False

    def take_over(self, earlier: Report) -> None:
        """The vectors of layers that are what they were."""
        fixed = fixed_layers(self.model, self.layers)
        if (earlier.settings, [each.layer for each in earlier.layers]) != (self.settings, list(self.layers)):
            raise ValueError("the earlier report is of other settings or of another model")
        for each in earlier.layers:
            if each.layer in fixed:
                self.found[each.layer.name] = {
                    field: getattr(each, field) for field in ("dimension", "constant", *VECTOR_MEASURES)
                }
                self.problems += [line for line in earlier.problems if line.startswith(f"{each.layer.name}: ")]
        self.unmeasured = tuple(layer for layer in self.layers if layer not in fixed)

    def note_few(self, labels: Tensor) -> None:
        """Counts that say more about the size of the sample than about the layer."""
        fewest, neighbours = int(labels.unique(return_counts=True)[1].min()), self.settings.neighbours
        if "boundary" in self.settings.measures and fewest <= neighbours:
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
            compensate_energy=settings.compensate_energy,
        )

    def measure_vectors(self, name: str, features: Features, held: Features | None) -> None:
        """Everything that takes one vector per image. The layer's features are released: layers come one after the other."""
        settings, labels = self.settings, features.labels
        values, test = features.values.pop(name), held.values.pop(name) if held is not None else None
        self.found[name] |= {"dimension": values.shape[1]}
        if settings.standardize:
            standardize = Standardizer.fit(values)
            self.found[name] |= {"constant": standardize.constant}
            values, test = standardize(values), standardize(test) if test is not None else None
        memory = {"memory_bytes": settings.memory_bytes}
        self._try(name, "classes", lambda: class_distances(values, labels, **memory))
        self._try(name, "spectra", lambda: class_spectra(values, labels))
        table = self._table(name, values)
        if table is not None:
            near = {"neighbours": table, **memory}
            self._try(name, "separation", lambda: separation(values, labels, **near))
            self._try(name, "boundary", lambda: boundary_counts(values, labels, settings.neighbours, **near))
            released = partial(released_boundary_counts, values, labels, settings.neighbours, **near)
            self._try(name, "released_boundary", released)
        if test is not None:
            self._try(
                name,
                "probes",
                lambda: probe_accuracies(
                    values, labels, test, held.labels,
                    probes=settings.probes, k=settings.knn, svm_images=settings.svm_images, seed=settings.seed, **memory,
                ),
            )  # fmt: skip

    def measure_maps(self, inputs: Tensor, labels: Tensor, say: Callable[[str], None]) -> None:
        """Contraction and Jacobian of the layers as they are."""
        settings = self.settings
        if "contraction" in settings.measures:
            say("contraction")
            before, distances, same = self._pair_distances(inputs, labels)
            for layer in self.layers:
                after = distances[layer.name]
                base = distances[_before(layer, self.layers)] if layer.depth else before
                self._try(layer.name, "contraction", lambda after=after: contraction_ratios(before, after, same))
                self._try(
                    layer.name, "contraction", lambda a=after, b=base: contraction_ratios(b, a, same), field="step"
                )
        for layer in self.layers if "jacobian" in settings.measures else ():
            say(f"Jacobian of {layer.name}")
            self._try(layer.name, "jacobian", partial(self._jacobian, layer, inputs[: settings.jacobian_images]))

    def measure_stability(self, images: Tensor, preprocessing: Callable, say: Callable[[str], None]) -> dict[str, Any]:
        """How far each layer moves when the images are changed a little: kind -> Stability."""
        settings, found = self.settings, {}
        for kind in settings.stability:
            say(f"stability against {kind}")
            self._go_on()
            try:
                found[kind] = stability(
                    lambda changed: self._observe(preprocessing(changed)),
                    images[: settings.stability_images],
                    kind=kind,
                    seed=settings.seed,
                    batch_size=_BLOCK,
                )
            except UserError as error:
                self.problems.append(f"stability against {kind}: {error}")
        return found

    def _table(self, name: str, values: Tensor) -> Any:
        """Neighbours enough for every measure that wants them; None if there is none or it cannot be made."""
        settings = self.settings
        if not set(settings.measures) & set(_TABLE):
            return None
        self._go_on()
        try:
            return nearest_neighbours(values, settings.neighbours, memory_bytes=settings.memory_bytes)
        except ValueError as error:
            self.problems.append(f"{name}: neighbours: {error}")
            return None

    def _pair_distances(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Distances of pairs within blocks of images: those of the inputs, those of every layer, and whether of one class."""
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed)
        inputs, labels = inputs[: settings.pair_images], labels[: settings.pair_images]
        blocks = [block for block in zip(inputs.split(_BLOCK), labels.split(_BLOCK), strict=True) if len(block[1]) > 1]
        if not blocks:
            raise UserError("contraction needs at least two images in the sample")
        parts = []
        for images, own in self._until_stopped(blocks):
            pairs = sample_pairs(own, -(-settings.pairs // len(blocks)), generator=generator)
            values = self._observe(images, keep=lambda maps, pairs=pairs: distances_of(maps, pairs))
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

    def _try(self, name: str, measure: str, compute: Callable[[], Any], *, field: str | None = None) -> None:
        if measure not in self.settings.measures:
            return
        self._go_on()
        try:
            self.found[name][field or measure] = compute()
        except ValueError as error:
            self.problems.append(f"{name}: {field or measure}: {error}")

    def _go_on(self) -> None:
        if self.should_stop():
            raise Abandoned

    def _until_stopped(self, parts: Iterable[T]) -> Iterator[T]:
        for part in parts:
            self._go_on()
            yield part


def _before(layer: Layer, layers: tuple[Layer, ...]) -> str:
    """The layer that this one is compared with step by step: the nearest before it; the orders are parts, not steps."""
    earlier = [each for each in layers[: layer.depth] if each.order is None]
    if layer.kind == "scattering":
        earlier = [each for each in earlier if each.kind == "pixels"] or earlier
    return (earlier or layers[: layer.depth])[-1].name
