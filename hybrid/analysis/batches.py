"""An analysis of a model on batches that are ready for it: all measurements in their order, and the Analysis of them.

`hybrid.analysis.analyse` calls this for any images; `hybrid.training` calls it for a data set, shared among ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.analysis.columns import OF_VECTORS, LayerFound, as_array
from hybrid.analysis.layers import layers_of, plain_model, scattering_of
from hybrid.analysis.measurements import Batches, Host, Measurements
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.stability import Stability
from hybrid.errors import UserError

_VECTOR_MEASURES = {*OF_VECTORS, "released_boundary", "probes"}


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of an analysis.

    train: batches (images, labels, ...) as the model takes them. test: more of them, for the probes; without them there are
    no probes. sample: called once the batches have been read, it returns images (n, C, H, W) before `preprocessing`, in
    random order, and labels (n,), for contraction, Jacobian and stability, or None. These see the layers as they are, not
    their averages over positions, which would not fit in memory for many images. preprocessing: turns sampled images into
    what the model takes.
    """

    train: Batches
    test: Batches | None = None
    sample: Callable[[], tuple[Tensor, Tensor] | None] = lambda: None
    preprocessing: Callable[[Tensor], Tensor] = lambda images: images


def analyse_batches(
    model: nn.Module,
    images: Images,
    settings: AnalysisSettings,
    *,
    earlier: Analysis | None = None,
    host: Host | None = None,
) -> Analysis:
    """Measure what `settings` names, layer by layer. The model stays as it was, and no global random generator is used.

    earlier: the analysis that this function made with the same images and settings before the model was trained further;
    what training cannot change is copied from it. host: how it speaks with the program that it runs in.

    A measurement that a layer's features do not allow (constant features, a class with one image) is left out, and
    `Analysis.problems` says so. Raises UserError for an unknown layer, no images, features that are not finite; ValueError
    for an earlier analysis of other settings or layers.
    """
    model, host = plain_model(model), host or Host()
    batches = iter(images.train)
    first = next(batches, None)
    if first is None:
        raise UserError("there are no images to analyse")
    layers = layers_of(model, taps=settings.layers, image_shape=tuple(first[0].shape[1:]))
    work = Measurements(model, layers, settings, host)
    if earlier is not None:
        work.take_over(earlier)
    counts = {"images": 0, "test_images": 0}
    if set(settings.measures) & _VECTOR_MEASURES:
        counts = _measure_vectors(work, chain([first], batches), images.test)
    stability = _measure_sample(work, images)
    scattering = scattering_of(model)
    about = {**counts, "J": None if scattering is None else scattering[1].J, "settings": settings.as_record()}
    return assembled(list(work.found.values()), stability, {**about, "problems": list(dict.fromkeys(work.problems))})


def _measure_vectors(work: Measurements, train: Batches, test: Batches | None) -> dict[str, int]:
    """Measure everything that takes one vector per image; return the number of training and of test images."""
    say, exchange = work.host.say, work.host.exchange
    say("features of the training images")
    features, held = exchange(lambda: work.collect(train)), None
    work.note_few(features.labels)
    if test is not None and "probes" in work.measures:
        say("features of the test images")
        held = exchange(lambda: work.collect(test))
    for layer in work.unmeasured:
        say(f"classes and neighbours in {layer.name}")
        work.measure_vectors(layer.name, features, held)
    return {"images": len(features.labels), "test_images": 0 if held is None else len(held.labels)}


def _measure_sample(work: Measurements, images: Images) -> dict[str, Stability]:
    """Measure everything that sees the layers as they are, on the sample."""
    sample = images.sample()
    if sample is None:
        return {}
    device = next((parameter.device for parameter in work.model.parameters()), torch.device("cpu"))
    pictures, labels = (each.to(device) for each in sample)
    work.measure_maps(images.preprocessing(pictures), labels)
    work.measure_rotation(pictures, images.preprocessing)
    work.measure_shifts(pictures, images.preprocessing)
    return work.measure_stability(pictures, images.preprocessing)


def assembled(found: list[LayerFound], stability: dict[str, Stability], about: dict[str, Any]) -> Analysis:
    """The Analysis of what was found in each layer; `about` is what else it says of itself."""
    arrays = {f"{each.layer.name}: {name}": value for each in found for name, value in each.arrays.items()}
    for kind, result in stability.items():
        medians = result.quantiles((0.5,))
        arrays |= {f"{name}: stability.{kind}": as_array(value[0]) for name, value in medians.items()}
    described = {kind: _described(result) for kind, result in stability.items()}
    return Analysis({"layers": [each.about() for each in found], "stability": described, **about}, arrays)


def _described(found: Stability) -> dict[str, Any]:
    moves = found.displacement is not None and found.gradient is not None
    return {
        "label": found.label,
        "strengths": list(found.strengths),
        "displacement": found.displacement.mean(1).tolist() if moves else None,
        "gradient": found.gradient.mean(1).tolist() if moves else None,
    }
