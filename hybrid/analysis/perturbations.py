"""Small changes of images, each of a known size, under which a representation should change little.

Images are (N, C, H, W) floating-point, before any normalisation, usually in [0, 1]. Nothing is clipped to that range, because
clipping would be a second change of unknown size. Strength 0 changes nothing, to the last bit. Random choices come from the
generator given, which must be on the CPU, so that the same seed gives the same images on every device.

The four geometric perturbations are x_τ(u) = x(u - τ(u)), in the notation of Mallat (2012), with u in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.checks import as_tensor
from hybrid.analysis.warping import Deformation, warp
from hybrid.errors import UserError, unknown_name

_WAVES = 2  # a random deformation has at most this many periods along a side


Shape = tuple[int, int]
Deform = Callable[[int, Shape, float, torch.Generator], Deformation]


@dataclass(frozen=True)
class Perturbation:
    """One kind of perturbation.

    label: the meaning of its strength with the unit, for an axis. strengths: usual ones, on images of about 32 pixels. apply:
    (images, strength, generator) -> changed images. deformation: (images, (H, W), strength, generator) -> their τ; None for
    changes of the values, which move no pixel.
    """

    label: str
    strengths: tuple[float, ...]
    apply: Callable[[Tensor, float, torch.Generator], Tensor]
    deformation: Deform | None = None


def perturb(images: Tensor, kind: str, strength: float, *, generator: torch.Generator) -> Tensor:
    """Change images by `kind`, a name in PERTURBATIONS. The input is not modified.

    Raises UserError for an unknown kind, images that are not (N, C, H, W) floating-point with at least 2x2 pixels, and a
    strength that is not finite or not possible for the kind.
    """
    chosen, images = perturbation(kind), as_tensor(images, "images")
    check_images(images)
    check_strength(kind, strength)
    return chosen.apply(images, strength, generator)


def perturbation(kind: str) -> Perturbation:
    """The entry of PERTURBATIONS, or a UserError that lists them."""
    if kind not in PERTURBATIONS:
        raise unknown_name(kind, PERTURBATIONS, what="kind of perturbation")
    return PERTURBATIONS[kind]


def check_strength(kind: str, strength: float) -> None:
    """Raise UserError unless the strength is a finite number; each kind checks its own range when it is applied."""
    if not math.isfinite(strength):
        raise UserError(f"{kind}: the strength must be a finite number, got {strength}.")


def check_images(images: Tensor) -> None:
    """Raise UserError unless images are floating-point (N, C, H, W) with N from 1 and at least 2x2 pixels."""
    if images.ndim != 4 or not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(f"perturbations take (N, C, H, W) floating-point images, got {tuple(images.shape)} {kind}.")
    if len(images) == 0 or min(images.shape[-2:]) < 2:
        raise UserError(f"perturbations need an image, and 2x2 pixels or more; got {tuple(images.shape)}.")


def translation(count: int, shape: Shape, pixels: float, generator: torch.Generator) -> Deformation:
    """Shift each image by `pixels` (fractions allowed) up, down, left or right at random."""
    turns = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
    tau = pixels * torch.stack([turns.sin(), turns.cos()], 1).round()
    return Deformation(tau[:, :, None, None].expand(count, 2, *shape), torch.zeros(count))


def rotation(count: int, shape: Shape, degrees: float, generator: torch.Generator) -> Deformation:
    """Turn each image about its centre, clockwise or anti-clockwise at random; |∇τ| = 2 sin(angle / 2) everywhere."""
    angles = math.radians(degrees) * _signs(count, generator)
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    down, right = _from_centre(shape)
    tau = torch.stack([(1 - cosine) * down + sine * right, (1 - cosine) * right - sine * down], 1)
    return Deformation(tau, (2 * (angles / 2).sin()).abs())


def scaling(count: int, shape: Shape, growth: float, generator: torch.Generator) -> Deformation:
    """Enlarge about the centre by the factor 1 + growth, or shrink if it is negative; |∇τ| = |growth| / (1 + growth)."""
    if growth <= -1:
        raise UserError(f"scale: the strength is the factor minus 1, so it must be above -1, got {growth}.")
    part = growth / (1 + growth)
    tau = part * torch.stack(torch.broadcast_tensors(*_from_centre(shape)))
    return Deformation(tau.expand(count, 2, *shape), torch.full((count,), abs(part)))


def random_deformation(count: int, shape: Shape, gradient: float, generator: torch.Generator) -> Deformation:
    """Draw a smooth random field for each image, with ‖∇τ‖∞ = `gradient` from 0 to below 1 (from 1 on it could fold the image).

    Both components are sums of sines and cosines of at most two periods per side, with normal amplitudes. The Jacobian is
    the exact derivative, and its operator norm is largest, exactly `gradient`, at some pixel.
    """
    if not 0 <= gradient < 1:
        raise UserError(f"deform: the strength is the largest |∇τ|, at least 0 and below 1, got {gradient}.")
    height, width = shape
    orders = range(-_WAVES, _WAVES + 1)
    waves = [(p, q) for p in orders for q in orders if (p, q) > (0, 0) and p * p + q * q <= _WAVES**2]
    frequencies = 2 * math.pi * torch.tensor(waves) / torch.tensor([height, width])  # (K, 2), radians per pixel
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    phases = frequencies[:, 0, None, None] * rows + frequencies[:, 1, None, None] * columns
    sines, cosines = phases.sin(), phases.cos()
    amplitudes = torch.randn(2, count, 2, len(waves), generator=generator)
    tau = torch.einsum("nik,khw->nihw", amplitudes[0], sines) + torch.einsum("nik,khw->nihw", amplitudes[1], cosines)
    jacobian = torch.einsum("nik,kd,khw->nidhw", amplitudes[0], frequencies, cosines)
    jacobian -= torch.einsum("nik,kd,khw->nidhw", amplitudes[1], frequencies, sines)
    largest = _operator_norm(jacobian).amax((1, 2))
    return Deformation(tau * (gradient / largest)[:, None, None, None], torch.full((count,), float(gradient)))


def _operator_norm(matrices: Tensor) -> Tensor:
    """(N, 2, 2, ...) -> the larger singular value of each 2x2 matrix, (N, ...)."""
    a, b, c, d = matrices.flatten(1, 2).unbind(1)
    # the sum and the difference of the two singular values
    return ((a + d).hypot(b - c) + (a - d).hypot(b + c)) / 2


def translate(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Shift by `pixels`; see `translation`."""
    return _deformed(images, translation, pixels, generator)


def rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn by `degrees`; see `rotation`."""
    return _deformed(images, rotation, degrees, generator)


def scale(images: Tensor, growth: float, generator: torch.Generator) -> Tensor:
    """Enlarge by the factor 1 + growth; see `scaling`."""
    return _deformed(images, scaling, growth, generator)


def deform(images: Tensor, gradient: float, generator: torch.Generator) -> Tensor:
    """Deform smoothly with ‖∇τ‖∞ = `gradient`; see `random_deformation`."""
    return _deformed(images, random_deformation, gradient, generator)


def add_noise(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise of standard deviation `std`, at least 0, in the images' units."""
    if std < 0:
        raise UserError(f"noise: the strength is a standard deviation, at least 0, got {std}.")
    noise = torch.randn(images.shape, generator=generator)
    return images + std * noise.to(images)


def brighten(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Add `amount`, in the images' units, to every pixel; the generator is not used."""
    return images + amount


def _deformed(images: Tensor, make: Deform, strength: float, generator: torch.Generator) -> Tensor:
    if strength == 0:
        return images  # exactly: interpolation would round
    return warp(images, make(len(images), tuple(images.shape[-2:]), strength, generator))


def _signs(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (count,), generator=generator) * 2.0 - 1


def _from_centre(shape: Shape) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W), counted from the centre of the image."""
    height, width = shape
    return torch.arange(height)[:, None] - (height - 1) / 2, torch.arange(width)[None, :] - (width - 1) / 2


PERTURBATIONS: Mapping[str, Perturbation] = {
    "translate": Perturbation("translation (pixels)", (0, 0.5, 1, 2, 4, 8), translate, translation),
    "rotate": Perturbation("rotation (degrees)", (0, 2, 5, 10, 20, 30), rotate, rotation),
    "scale": Perturbation("enlargement (factor - 1)", (0, 0.02, 0.05, 0.1, 0.2, 0.3), scale, scaling),
    "deform": Perturbation(
        "deformation, largest |∇τ|", (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5), deform, random_deformation
    ),
    "noise": Perturbation("noise (standard deviation)", (0, 0.02, 0.05, 0.1, 0.2), add_noise),
    "brightness": Perturbation("brightness added", (0, 0.05, 0.1, 0.2, 0.3), brighten),
}
