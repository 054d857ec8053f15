"""Stability: how far a representation moves when its images change a little, ‖Φ(x') - Φ(x)‖ against the size of the change.

def represent(images):                        # (n, C, H, W) -> named tensors (n, ...)
    return {"pixels": images, "scattering": 2**J * scattering(images)}

result = measure_stability(represent, images, kind="deform", strengths=(0, 0.05, 0.1, 0.2))
result.mean()["scattering"], result.bound(J)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.perturbations import check_images, check_strength, perturb, perturbation
from hybrid.analysis.warping import warp
from hybrid.errors import UserError

Represent = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Stability:
    """Distances for S strengths of a perturbation and N images, in float64 on the CPU.

    kind: the perturbation's name. label: an axis label with its unit. strengths: S numbers in that unit.
    distances: layer -> (S, N), ‖Φ(x') - Φ(x)‖. norms: layer -> (N,), ‖Φ(x)‖.
    input_distances: (S, N), ‖x' - x‖ of the pixels. input_norms: (N,), ‖x‖.
    displacement, gradient: (S, N), ‖τ‖∞ in pixels and ‖∇τ‖∞ of the deformations; None for noise and brightness.
    """

    kind: str
    label: str
    strengths: tuple[float, ...]
    distances: dict[str, Tensor]
    norms: dict[str, Tensor]
    input_distances: Tensor
    input_norms: Tensor
    displacement: Tensor | None
    gradient: Tensor | None

    @property
    def relative(self) -> dict[str, Tensor]:
        """Layer -> (S, N), ‖Φ(x') - Φ(x)‖ / ‖Φ(x)‖; it is NaN for images with Φ(x) = 0."""
        return {name: values / self.norms[name].where(self.norms[name] > 0, torch.nan) for name, values in self._items}

    def mean(self) -> dict[str, Tensor]:
        """Layer -> (S,), the mean of `relative` over the images for which it is defined."""
        return {name: values.nanmean(1) for name, values in self.relative.items()}

    def quantiles(self, levels: Sequence[float] = (0.1, 0.5, 0.9)) -> dict[str, Tensor]:
        """Layer -> (len(levels), S), quantiles of `relative` over the images for which it is defined."""
        wanted = torch.tensor(levels, dtype=torch.float64)
        return {name: values.nanquantile(wanted, 1) for name, values in self.relative.items()}

    def expansion(self) -> dict[str, Tensor]:
        """Layer -> (S, N), ‖Φ(x') - Φ(x)‖ / ‖x' - x‖. It is at most 1 if Φ is non-expansive, and NaN where x' = x."""
        inputs = self.input_distances.where(self.input_distances > 0, torch.nan)
        return {name: values / inputs for name, values in self._items}

    def bound(self, J: int) -> Tensor | None:
        """(S,), the mean of 2^-J ‖τ‖∞ + ‖∇τ‖∞ over the images; None for noise and brightness.

        Multiplied by C ‖x‖, and up to the second derivatives of τ and a logarithm, it bounds ‖Sx_τ - Sx‖ for a scattering
        transform of averaging scale 2^J (Mallat 2012, "Group invariant scattering", Theorem 2.12, for ‖∇τ‖∞ ≤ 1/2). The theorem
        gives no value of C. This is C = 1, a slope to compare with, which curves may cross. For noise and brightness only
        ‖Sx' - Sx‖ ≤ ‖x' - x‖ holds: see `expansion`.
        """
        if self.displacement is None or self.gradient is None:
            return None
        return (2.0**-J * self.displacement + self.gradient).mean(1)

    @property
    def _items(self) -> list[tuple[str, Tensor]]:
        return list(self.distances.items())


@torch.no_grad()
def measure_stability(
    represent: Represent,
    images: Tensor,
    *,
    kind: str,
    strengths: Sequence[float] | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> Stability:
    """Perturb images with every strength and compare their representations with the images' own.

    Args:
        represent: images (n, C, H, W) -> named tensors (n, ...), always with the same names. It must put its model into
            evaluation mode and onto the images' device.
        images: (N, C, H, W) floating-point, before normalisation.
        kind: a name in PERTURBATIONS.
        strengths: how strong, in the unit of that kind; None takes its usual strengths.
        seed: of all random choices, at least 0. An image keeps its direction, field or noise for all strengths, as long as
            batch_size stays. Torch's global generators are not used.
        batch_size: images at a time.

    Raises UserError for an unknown kind, an impossible strength, images that are not (N, C, H, W), and a representation that
    is not (n, ...) or not finite, naming the layer.
    """
    chosen = perturbation(kind)
    check_images(images)
    strengths = tuple(float(value) for value in (chosen.strengths if strengths is None else strengths))
    if not strengths or batch_size < 1 or seed < 0:
        raise UserError("stability needs at least one strength, a batch_size of at least 1 and a seed of at least 0.")
    for strength in strengths:
        check_strength(kind, strength)
    parts = []
    for start in range(0, len(images), batch_size):
        seed_of_batch = (seed + start) % 2**63
        parts.append(_measure(represent, images[start : start + batch_size], kind, strengths, seed_of_batch))
    distances, norms, inputs, fields = zip(*parts, strict=True)
    moves = None if chosen.deformation is None else torch.cat(fields, -1)
    return Stability(
        kind=kind,
        label=chosen.label,
        strengths=strengths,
        distances=_joined(distances),
        norms=_joined(norms),
        input_distances=torch.cat([part[0] for part in inputs], -1),
        input_norms=torch.cat([part[1] for part in inputs]),
        displacement=None if moves is None else moves[0],
        gradient=None if moves is None else moves[1],
    )


def _measure(represent: Represent, images: Tensor, kind: str, strengths: tuple[float, ...], seed: int) -> tuple:
    """Of one batch: distances and norms per layer and of the pixels, and (2, S, n) displacements and gradients or None."""
    generator = torch.Generator()
    reference = _representation(represent, images)
    rows: list[dict[str, Tensor]] = []
    inputs, fields = [], []
    for strength in strengths:
        changed, field = _change(images, kind, strength, generator.manual_seed(seed))
        moved = _representation(represent, changed)
        if moved.keys() != reference.keys():
            raise UserError(f"stability: {sorted(moved)} came back, then {sorted(reference)}: they must be the same.")
        rows.append({name: _norms(values - reference[name]) for name, values in moved.items()})
        inputs.append(_norms(changed - images))
        fields.append(field)
    distances = {name: torch.stack([row[name] for row in rows]).cpu() for name in reference}
    norms = {name: _norms(values).cpu() for name, values in reference.items()}
    pixels = torch.stack(inputs).cpu(), _norms(images).cpu()
    return distances, norms, pixels, None if fields[0] is None else torch.stack(fields, 1)


def _change(images: Tensor, kind: str, strength: float, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """The perturbed images, with ‖τ‖∞ and ‖∇τ‖∞ as (2, n) if pixels move."""
    make = perturbation(kind).deformation
    if make is None:
        return perturb(images, kind, strength, generator=generator), None
    field = make(len(images), tuple(images.shape[-2:]), strength, generator)
    changed = images if strength == 0 else warp(images, field)
    return changed, torch.stack([field.displacement, field.gradient]).double()


def _representation(represent: Represent, images: Tensor) -> dict[str, Tensor]:
    layers = dict(represent(images))
    if not layers:
        raise UserError("stability: the representation has no layers.")
    for name, values in layers.items():
        if values.ndim < 1 or len(values) != len(images):
            raise UserError(
                f"stability: {name} must be ({len(images)}, ...), one row per image: {tuple(values.shape)}."
            )
        if not values.isfinite().all():
            raise UserError(f"stability: {name} has values that are not finite.")
    return layers


def _norms(values: Tensor) -> Tensor:
    """(n, ...) -> Euclidean norms (n,), computed in float64."""
    return values.flatten(1).double().norm(dim=1) if values.ndim > 1 else values.double().abs()


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}
