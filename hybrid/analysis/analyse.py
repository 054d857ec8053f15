"""All measurements of a model, layer by layer: what `analysis=light` logs while it trains and hybrid analyze prints.

    report = analyse(model, train_batches, sample=(images, labels), test_batches=test_batches)
    report.layers[3].boundary          # every measurement as its own type
    record = report.record()           # numbers and arrays, for tables, figures and the disk
    record.rows()                      # one dictionary of numbers per layer

The images of `sample`, and they alone, are looked at pair by pair: contraction, Jacobian and stability see the layers as they
are, not their averages over positions, which would not fit in memory for many images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hybrid.analysis.features import Features
from hybrid.analysis.layers import layers_of, plain_model, scattering_of
from hybrid.analysis.measuring import VECTOR_MEASURES, Batches, Measuring
from hybrid.analysis.report import LayerReport, Report
from hybrid.analysis.settings import AnalysisSettings
from hybrid.errors import UserError

Exchange = Callable[[Callable[[], Features]], Features]


def analyse(
    model: nn.Module,
    train: Batches,
    *,
    sample: tuple[Tensor, Tensor] | None = None,
    test: Batches | None = None,
    preprocessing: Callable[[Tensor], Tensor] = lambda images: images,
    settings: AnalysisSettings | None = None,
    earlier: Report | None = None,
    exchange: Exchange = lambda collect: collect(),
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Measure what `settings` names. The model stays as it was, and no global random generator is used.

    train, test: batches (images, labels, ...) as the model takes them; without `test` there are no probes.
    sample: images (n, C, H, W) in [0, 1], before `preprocessing`, and labels (n,), for contraction, Jacobian and stability; in
    random order. earlier: what this function found with the same images and settings before the model was trained further; what
    training cannot change is taken over from it. exchange: given how one of several processes collects the features of its share
    of the batches, returns those of all. say: told what is being measured, for a progress line. should_stop: asked between two
    batches and two measurements; where it answers yes, `Abandoned` is raised.

    A measurement that a layer's features do not allow (constant ones, a class with one image) is left out, and says so in
    Report.problems. Raises UserError for an unknown layer, no images, features that are not finite; ValueError for an earlier
    report of other settings or layers.
    """
    settings = settings or AnalysisSettings()
    model = plain_model(model)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    batches = iter(train)
    first = next(batches, None)
    if first is None:
        raise UserError("there are no images to analyse")
    layers = layers_of(model, taps=settings.layers, image_shape=tuple(first[0].shape[1:]))
    found = {layer.name: {} for layer in layers}
    work = Measuring(model, layers, layers, settings, device, problems=[], found=found, should_stop=should_stop)
    if earlier is not None:
        work.take_over(earlier)
    images = test_images = 0
    if set(settings.measures) & set(VECTOR_MEASURES):
        images, test_images = _measure_vectors(work, _chain(first, batches), test, exchange, say)
    perturbed = {}
    if sample is not None:
        pictures, labels = (each.to(device) for each in sample)
        work.measure_maps(preprocessing(pictures), labels, say)
        if "stability" in settings.measures:
            perturbed = work.measure_stability(pictures, preprocessing, say)
    return Report(
        layers=tuple(LayerReport(layer=layer, **work.found[layer.name]) for layer in layers),
        stability=perturbed,
        images=images,
        test_images=test_images,
        J=None if (found := scattering_of(model)) is None else found[1].J,
        settings=settings,
        problems=tuple(dict.fromkeys(work.problems)),
    )


def _measure_vectors(
    work: Measuring, train: Batches, test: Batches | None, exchange: Exchange, say: Callable[[str], None]
) -> tuple[int, int]:
    """Everything that takes one vector per image; the number of training and of test images."""
    say("features of the training images")
    features, held = exchange(lambda: work.collect(train)), None
    work.note_few(features.labels)
    if test is not None and "probes" in work.settings.measures:
        say("features of the test images")
        held = exchange(lambda: work.collect(test))
    for layer in work.unmeasured:
        say(f"classes and neighbours in {layer.name}")
        work.measure_vectors(layer.name, features, held)
    return len(features.labels), 0 if held is None else len(held.labels)


def _chain(first: Sequence[Tensor], rest: Batches) -> Batches:
    yield first
    yield from rest
