"""How far a layer moves when its images are turned, against how far two images are apart: 1 is as far as another image.

A turned image has turned maps, so the maps themselves always differ. Compared are their averages over positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.features import Standardizer
from hybrid.analysis.perturbations import perturb
from hybrid.errors import UserError

ANGLES = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0)  # degrees
Vectors = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class RotationChange:
    """Of one layer. angles: (S,), in degrees. changes: (S, N) float64, ‖Φ(x') - Φ(x)‖ over the mean ‖Φ(x) - Φ(y)‖ of two images.

    x' is x turned about its centre, clockwise or anti-clockwise at random.
    """

    angles: Tensor
    changes: Tensor


@torch.no_grad()
def measure_rotation(
    vectors: Vectors,
    images: Tensor,
    *,
    angles: Sequence[float] = ANGLES,
    standardize: bool = True,
    together: Collection[str] = (),
    seed: int = 0,
) -> dict[str, RotationChange]:
    """Turn images by every angle and compare their vectors with the images' own, layer by layer.

    A layer in which all images are alike is left out, because there is no distance to compare with.

    Args:
        vectors: images (N, C, H, W) -> named vectors (N, D), always with the same names.
        images: (N, C, H, W) floating-point with N ≥ 2, before normalisation.
        angles: in degrees.
        standardize: divide each coordinate by its standard deviation over the images first. together: names of the vectors
            whose coordinates have one deviation in common, such as pixels.
        seed: of the directions, which an image keeps for all angles.

    Raises UserError for fewer than two images, ValueError for vectors that are not finite.
    """
    if len(images) < 2:
        raise UserError("the change by rotations is relative to the distance of two images: it needs at least two.")
    own = {name: values.double() for name, values in vectors(images).items()}
    fitted = {name: Standardizer.fit(values, together=name in together) for name, values in own.items()}
    scalers = fitted if standardize else dict.fromkeys(own)
    scaled = {name: _scaled(values, scalers[name]) for name, values in own.items()}
    apart = {name: torch.pdist(values).mean() for name, values in scaled.items()}
    rows: dict[str, list[Tensor]] = {name: [] for name, distance in apart.items() if distance > 0}
    for angle in angles:
        turned = perturb(images, "rotate", angle, generator=torch.Generator().manual_seed(seed))
        moved = vectors(turned)
        for name, changes in rows.items():
            change = _scaled(moved[name].double(), scalers[name]) - scaled[name]
            changes.append(change.norm(dim=1) / apart[name])
    places = torch.tensor(angles, dtype=torch.float64)
    return {name: RotationChange(places, torch.stack(changes).cpu()) for name, changes in rows.items()}


def _scaled(values: Tensor, scaler: Standardizer | None) -> Tensor:
    return values if scaler is None else scaler(values)
