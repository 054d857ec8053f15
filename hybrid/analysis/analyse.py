"""All measurements of a model, layer by layer: what `analysis=light` logs while it trains and scripts/analyze.py prints.

    report = analyse(model, train_batches, sample=(images, labels), test_batches=test_batches)
    report.layers[3].boundary          # every measurement as its own type
    record = report.record()           # numbers and arrays, for tables, figures and the disk
    record.rows()                      # one dictionary of numbers per layer

The images of `sample`, and they alone, are looked at pair by pair: contraction, Jacobian and stability see the layers as they
are, not their averages over positions, which would not fit in memory for many images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.analysis.boundary import boundary_counts, released_boundary_counts
from hybrid.analysis.contraction import class_distances, contraction_ratios
from hybrid.analysis.features import Features, Standardizer, collect
from hybrid.analysis.jacobian import JacobianNorms, jacobian_norm
from hybrid.analysis.layers import Layer, layers_of, plain_model, scattering_of
from hybrid.analysis.neighbours import nearest_neighbours
from hybrid.analysis.observation import observe
from hybrid.analysis.pairs import distances_of, sample_pairs
from hybrid.analysis.probes import probe_accuracies
from hybrid.analysis.report import LayerReport, Report
from hybrid.analysis.separation import separation
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.spectra import class_spectra
from hybrid.analysis.stability import stability
from hybrid.errors import UserError

Batches = Iterable[Sequence[Tensor]]
_BLOCK = 64  # images that are in memory at once with the maps of all layers
_TABLE = ("separation", "boundary", "released_boundary")  # the measures that share one table of neighbours


def analyse(
    model: nn.Module,
    train: Batches,
    *,
    sample: tuple[Tensor, Tensor] | None = None,
    test: Batches | None = None,
    preprocessing: Callable[[Tensor], Tensor] = lambda images: images,
    settings: AnalysisSettings | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Measure what `settings` names. The model stays as it was, and no global random generator is used.

    train, test: batches (images, labels, ...) as the model takes them; without `test` there are no probes.
    sample: images (n, C, H, W) in [0, 1], before `preprocessing`, and labels (n,), for contraction, Jacobian and stability; in
    random order. say: told what is being measured, for a progress line.

    A measurement that a layer's features do not allow (constant ones, a class with one image) is left out, and says so in
    Report.problems. Raises UserError for an unknown layer, no images, features that are not finite.
    """
    settings = settings or AnalysisSettings()
    model = plain_model(model)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    batches = iter(train)
    first = next(batches, None)
    if first is None:
        raise UserError("there are no images to analyse")
    layers = layers_of(model, taps=settings.layers, image_shape=tuple(first[0].shape[1:]))
    work = _Work(model, layers, settings, device, problems=[], found={layer.name: {} for layer in layers})
    features = held = None
    if set(settings.measures) & {"classes", "spectra", "probes", *_TABLE}:
        say("features of the training images")
        features = work.collect(_chain(first, batches))
        work.note_few(features.labels)
        if test is not None and "probes" in settings.measures:
            say("features of the test images")
            held = work.collect(test)
        for layer in layers:
            say(f"classes and neighbours in {layer.name}")
            work.measure_vectors(layer.name, features, held)
    perturbed = {}
    if sample is not None:
        images, labels = (each.to(device) for each in sample)
        inputs = preprocessing(images)
        work.measure_maps(inputs, labels, say)
        if "stability" in settings.measures:
            perturbed = work.measure_stability(images, preprocessing, say)
    return Report(
        layers=tuple(LayerReport(layer=layer, **work.found[layer.name]) for layer in layers),
        stability=perturbed,
        images=0 if features is None else len(features.labels),
        test_images=0 if held is None else len(held.labels),
        J=None if (found := scattering_of(model)) is None else found[1].J,
        settings=settings,
        problems=tuple(work.problems),
    )


@dataclasses.dataclass
class _Work:
    """What is measured so far: found[layer] are fields of its LayerReport, problems the lines about what is missing."""

    model: nn.Module
    layers: tuple[Layer, ...]
    settings: AnalysisSettings
    device: torch.device
    problems: list[str]
    found: dict[str, dict[str, Any]]

    def note_few(self, labels: Tensor) -> None:
        """Counts that say more about the size of the sample than about the layer."""
        fewest, neighbours = int(labels.unique(return_counts=True)[1].min()), self.settings.neighbours
        if "boundary" in self.settings.measures and fewest <= neighbours:
            self.problems.append(
                f"a class has {fewest} images: no more than {fewest - 1} of {neighbours} neighbours can agree with it, so the "
                "boundary counts of larger k mean little"
            )

    def collect(self, batches: Batches) -> Features:
        settings = self.settings
        return collect(
            self.model,
            batches,
            self.layers,
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
        for images, own in blocks:
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
        try:
            self.found[name][field or measure] = compute()
        except ValueError as error:
            self.problems.append(f"{name}: {field or measure}: {error}")


def _before(layer: Layer, layers: tuple[Layer, ...]) -> str:
    """The layer that this one is compared with step by step: the nearest before it; the orders are parts, not steps."""
    earlier = [each for each in layers[: layer.depth] if each.order is None]
    if layer.kind == "scattering":
        earlier = [each for each in earlier if each.kind == "pixels"] or earlier
    return (earlier or layers[: layer.depth])[-1].name


def _chain(first: Sequence[Tensor], rest: Batches) -> Batches:
    yield first
    yield from rest
