"""What single images tell of a trained run: the images themselves, their saliency, and their maps in the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.analysis.gradients import saliency
from hybrid.analysis.layers import Layer, layers_of
from hybrid.analysis.observation import observe
from hybrid.data import Data
from hybrid.objective.objective import Likelihood
from hybrid.training.mistakes import Mistakes

_LETTERS = 12  # of a class's name below a picture


@dataclass(frozen=True)
class Inspected:
    """What a network makes of N images.

    predicted, probabilities: (N,), the largest output and, of classes, its probability in 0..1. gradients: (N, H, W), the
    saliency of that output. of_truth: (N, H, W), the saliency of the true class's output, or None where no label is known.
    """

    predicted: Tensor
    probabilities: Tensor
    gradients: Tensor
    of_truth: Tensor | None


def inspect(pipeline: nn.Module, images: Tensor, labels: Tensor | None = None) -> Inspected:
    """Look at images (N, C, H, W) in [0, 1] on the pipeline's device; labels: (N,) classes, where they are known."""
    with torch.no_grad():
        best = pipeline(images).float().softmax(1).max(1)
    truth = None if labels is None else saliency(pipeline, images, labels).cpu()
    gradients = saliency(pipeline, images, best.indices).cpu()
    return Inspected(best.indices.cpu(), best.values.cpu(), gradients, truth)


def maps_of(model: nn.Module, image: Tensor, names: Sequence[str] | None = None) -> list[tuple[str, Tensor]]:
    """The maps (C, h, w) of an image (1, C, H, W), which the model takes: (layer, maps) in depth order, without the pixels.

    names: of layers, as `layers_of` knows them; None: the orders of a scattering transform and every non-linearity. Layers
    whose output has no positions are left out. Raises UserError for an unknown name.
    """
    layers = layers_of(model, taps=names, image_shape=tuple(image.shape[1:]))
    chosen: list[Layer] = [each for each in layers if names is not None or each.name not in ("pixels", "scattering")]
    with torch.no_grad():
        values = observe(model, image, chosen)
    return [(each.name, values[each.name][0].float().cpu()) for each in chosen if values[each.name].ndim == 4]


def raw_images(data: Data, split: str, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """The images (N, C, H, W) in [0, 1] at these positions of the data set's own files, as `Mistakes.indices` has them."""
    loader = data.loader(split, batch_size=len(indices), indices=indices, raw=True, device=device)
    return next(iter(loader.epoch(0))).images


def mistake_captions(mistakes: Mistakes, names: Sequence[str], likelihood: Likelihood = "probability") -> list[str]:
    """Two lines for each: the wrong class with its probability or score, and "not" the true class."""
    rows = zip(mistakes.predicted.tolist(), mistakes.labels.tolist(), mistakes.probabilities.tolist(), strict=True)
    return [
        f"{_short(names[wrong])} {shown(share, likelihood)}\nnot {_short(names[right])}" for wrong, right, share in rows
    ]


def shown(share: float, likelihood: Likelihood) -> str:
    """A probability in per cent; a score, which is none, as the number that it is."""
    return f"{100 * share:.0f} %" if likelihood == "probability" else f"{share:.2f}"


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
