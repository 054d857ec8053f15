"""Features: the outputs of a model's layers for images, as one vector per image.

    layers = layers_of(model)
    train = collect(model, train_batches, layers)
    standardize = Standardizer.fit(train.values["logits"])

"Building a Regular Decision Boundary with Deep Networks" (Oyallon, CVPR 2017) measures averages over positions, standardised
by the statistics of the training images. The average of the pixels would be the mean colour of an image, with which no layer
should be compared: pixels are flattened, whatever the pooling of the other layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from hybrid.analysis.checks import as_tensor, checked_features, checked_labels
from hybrid.analysis.layers import Layer, plain_model
from hybrid.analysis.observation import observe
from hybrid.analysis.settings import Pooling
from hybrid.errors import UserError, unknown_name

Vectors = Literal["averaged", "flattened", "projected"]
_ROWS = 4096  # of a block, where a copy of everything would be too large


@dataclass(frozen=True)
class Features:
    """The features of N images.

    values: layer -> (N, D) float32, in depth order. labels: (N,) int64. pooling, compensate_energy: how the values were made.
    sizes: how many of the N images each batch had. vectors: layer -> "averaged" over positions, "flattened" (all values, also
    of a layer that has one vector per image), or "projected" (flattened, then a random projection).
    """

    values: dict[str, Tensor]
    labels: Tensor
    pooling: Pooling
    compensate_energy: bool
    sizes: tuple[int, ...]
    vectors: dict[str, Vectors] = field(default_factory=dict)


class Projection(NamedTuple):
    """A random projection of vectors (N, D) to (N, values): each result is a sum of about D / values coordinates with random
    signs, and each coordinate is in one sum. Vectors of at most `values` coordinates stay as they are.

    Inner products are kept on average; a squared distance has a relative standard deviation of about √(2 / values), 4 % for
    1,024 (the count sketch of Charikar, Chen and Farach-Colton, 2002; Weinberger et al., "Feature hashing", 2009). The
    projection depends on D, `values` and `seed` alone.
    """

    values: int
    seed: int = 0

    def __call__(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, min(D, values)), of the same type and device."""
        samples, dimension = vectors.shape
        if dimension <= self.values:
            return vectors
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(dimension, generator=generator).to(vectors.device)
        signs = (2 * torch.randint(2, (dimension,), generator=generator) - 1).to(vectors)
        mixed = nn.functional.pad((vectors * signs)[:, order], (0, -dimension % self.values))
        return mixed.view(samples, -1, self.values).sum(1)


def pooled(values: Tensor, pooling: Pooling = "average", *, channels: int = 1) -> Tensor:
    """One vector per image: the mean over all positions (N, C), or all values (N, C · positions) with pooling="flatten".

    values: (N, D), which stay as they are, or (N, ...) with the channels in the dimension `channels`: 1 for maps
    (N, C, H, W), 2 for tokens (N, T, C). The result has the type of the values, but float32 for half precision.
    Raises ValueError for another shape.
    """
    _check_pooling(pooling)
    values = as_tensor(values, "values")
    if values.ndim < 2:
        raise ValueError(f"features are (N, D) or (N, C, ...), got {tuple(values.shape)}")
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if values.ndim == 2:
        return values
    if pooling == "flatten":
        return values.flatten(1)
    return values.mean(dim=tuple(dimension for dimension in range(1, values.ndim) if dimension != channels))


def collect(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    layers: Sequence[Layer],
    *,
    pooling: Pooling = "average",
    project: Projection | None = None,
    compensate_energy: bool = True,
    device: torch.device | str | None = None,
) -> Features:
    """The pooled features of all layers for all batches (images, labels, ...), by one forward per batch.

    Every map is pooled as soon as it exists, so memory holds a forward's own, the results and, at the end, a second copy of
    one layer's. Batches go to the model's device; results stay there, or go to `device`. pooling: of all layers but the
    pixels, which are flattened and then projected by `project`; None keeps all their values. compensate_energy: as in
    `observe`.
    Raises UserError if there is no image, and, naming the layer, if features are not finite.
    """
    _check_pooling(pooling)
    anchor = next(plain_model(model).parameters(), None)
    vectors: dict[str, Vectors] = {}
    keep = partial(_row_per_image, pooling=pooling, project=project, device=device, vectors=vectors)
    chunks: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    labels: list[Tensor] = []
    sizes: list[int] = []
    for batch in batches:
        checked_labels(batch[1], len(batch[0]))
        sizes.append(len(batch[1]))
        if not sizes[-1]:  # a rank's share of a small batch
            continue
        images = batch[0] if anchor is None else batch[0].to(anchor.device, non_blocking=True)
        rows = observe(model, images, layers, compensate_energy=compensate_energy, keep=keep)
        for name, chunk in chunks.items():
            chunk.append(rows[name])
        labels.append(batch[1].to(device or images.device, torch.int64))
    if not sum(sizes):
        raise UserError("there are no images to measure features of")
    values = {layer.name: torch.cat(chunks.pop(layer.name)) for layer in layers}
    for name, rows in values.items():
        checked_features(rows, f"{name}: features")
    return Features(values, torch.cat(labels), pooling, compensate_energy, tuple(sizes), vectors)


@dataclass(frozen=True)
class Standardizer:
    """Computes (features - mean) / scale, coordinate by coordinate.

    mean: (D,) float64, of the training features. scale: (D,) float64, their standard deviation (with the divisor N), and 1
    for a constant coordinate, which is only centred. constant: how many coordinates are constant.
    """

    mean: Tensor
    scale: Tensor
    constant: int

    @classmethod
    def fit(cls, features: Tensor, *, together: bool = False) -> Standardizer:
        """Measure features (N, D), in two passes of float64 sums.

        together: all coordinates have one scale, the root of their mean variance, so that the distances of samples keep their
        proportions. This is for pixels: to divide each by its own deviation would make most of those that hardly vary.

        A coordinate whose deviation is within rounding of its mean (4 units in the last place of float32) counts as constant,
        because scaling would turn rounding into a coordinate like any other. Raises ValueError for features that are not
        finite, empty or of another shape.
        """
        if features.ndim != 2 or not len(features):
            raise ValueError(f"a standardizer is fitted to features (N, D) with N from 1, got {tuple(features.shape)}")
        checked_features(features, "features of a standardizer")
        blocks = features.split(_ROWS)
        mean = torch.stack([block.sum(0, dtype=torch.float64) for block in blocks]).sum(0) / len(features)
        squares = torch.stack([(block.double() - mean).square().sum(0) for block in blocks])
        deviation = (squares.sum(0) / len(features)).sqrt()
        resolution = torch.finfo(torch.float32)
        constant = deviation <= (4 * resolution.eps * mean.abs()).clamp_min(resolution.tiny)
        scale = deviation.masked_fill(constant, 1.0)
        if together and not constant.all():
            scale = deviation.masked_fill(constant, 0.0).square().mean().sqrt().expand_as(deviation)
        return cls(mean, scale, int(constant.sum()))

    def __call__(self, features: Tensor) -> Tensor:
        """(M, D) -> (M, D) of the same type and device, not modified. Raises ValueError for another D."""
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"got features {tuple(features.shape)}; the standardizer was fitted to D={len(self.mean)}")
        mean, scale = self.mean.to(features.device), self.scale.to(features.device)
        result = torch.empty_like(features)
        for block, rows in zip(features.split(_ROWS), result.split(_ROWS), strict=True):
            rows.copy_((block.double() - mean) / scale)
        return result


def _row_per_image(
    values: Tensor,
    layer: Layer,
    *,
    pooling: Pooling,
    project: Projection | None,
    device: torch.device | str | None,
    vectors: dict[str, Vectors],
) -> Tensor:
    """The pooled values as a tensor of their own, so that the map is freed; note in `vectors` what they are."""
    averaged = pooling == "average" and values.ndim > 2 and layer.kind != "pixels"
    rows = pooled(values, "average" if averaged else "flatten", channels=layer.channels)
    vectors[layer.name] = "averaged" if averaged else "flattened"
    if layer.kind == "pixels" and project is not None and rows.shape[1] > project.values:
        rows, vectors[layer.name] = project(rows), "projected"
    return rows.to(device=device or values.device, dtype=torch.float32, copy=True)


def _check_pooling(pooling: str) -> None:
    if pooling not in get_args(Pooling):
        raise unknown_name(str(pooling), get_args(Pooling), what="pooling")
