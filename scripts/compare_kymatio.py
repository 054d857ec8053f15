"""How far this package's scattering is from kymatio 0.3, and both from float64: one table over sizes, scales and images.

    python scripts/compare_kymatio.py
    python scripts/compare_kymatio.py sizes=[32x32,33x47] L=[8] json=errors.json

Columns: l2 is ‖a - b‖ / ‖b‖ over all coefficients; worst is the largest ‖a - b‖ / ‖b‖ of one channel (one scattering path). The
pairs: ours and kymatio's, both float32; ours in float32 and kymatio's in float32, each against this package in float64. Of a
constant image all channels but the first, the low-passed image, are zero, so there worst is relative to the first.
The photographs are scikit-learn's two sample images, cropped to the middle; nothing is downloaded. kymatio builds its filters in
Python loops, so the whole table takes many minutes; sizes=, J= and L= choose a part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hybrid.configuration.arguments import command, option
from hybrid.errors import UserError
from hybrid.scattering import KymatioScattering2D, Scattering2D
from hybrid.scattering.geometry import largest_scale
from hybrid.tracking.files import write_json

SIZES = ("28x28", "32x32", "33x47", "64x96", "96x96", "224x224")
Input = Literal["noise", "smooth", "constant", "photo"]
PHOTO = (427, 640)  # pixels of scikit-learn's photographs
PAIRS = ("ours_kymatio", "ours_float64", "kymatio_float64")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    sizes: tuple[str, ...] = option("HEIGHTxWIDTH of the images", default=SIZES)
    J: tuple[int, ...] = option("scales; for each size those that fit are used", default=(1, 2, 3, 4, 5))
    L: tuple[int, ...] = option("angles over half a turn", default=(4, 6, 8))
    orders: tuple[Literal[1, 2], ...] = option("the largest order", default=(1, 2))
    inputs: tuple[Input, ...] = option("kinds of images", default=("noise", "smooth", "constant", "photo"))
    seed: int = option("of the noise and smooth images", default=0)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        for text in self.sizes:
            height, width = shape_of(text)
            if "photo" in self.inputs and (height > PHOTO[0] or width > PHOTO[1]):
                raise UserError(f"sizes: the photographs have {PHOTO[0]}x{PHOTO[1]} pixels, {text} does not fit.")
        for name in ("J", "L"):
            if not all(value >= 1 for value in getattr(self, name)):
                raise UserError(f"{name}={list(getattr(self, name))} is not valid: each must be at least 1.")
        if not any(j <= largest_scale(shape_of(text)) for text in self.sizes for j in self.J):
            raise UserError(f"J={list(self.J)}: none fits the sizes; 2^J is at most the shorter side.")


@command(Options)
def compare_kymatio(options: Options) -> None:
    """Compare, print row by row, and write the JSON file if one is wanted."""
    head = f"{'size':>8} {'J':>2} {'L':>2} {'order':>5} {'input':>9}"
    print(head + "".join(f"  {pair + ' l2, worst':>26}" for pair in PAIRS))
    rows = []
    for row in compare(options):
        rows.append(row)
        errors = "".join(f"  {row[pair]['l2']:>17.1e} {row[pair]['worst']:>8.1e}" for pair in PAIRS)
        print(f"{row['size']:>8} {row['J']:>2} {row['L']:>2} {row['order']:>5} {row['input']:>9}{errors}", flush=True)
    for pair in PAIRS:
        largest = max(rows, key=lambda row: row[pair]["worst"])
        where = f"{largest['size']} J={largest['J']} L={largest['L']} order {largest['order']} {largest['input']}"
        print(f"worst channel of {pair}: {largest[pair]['worst']:.1e} ({where})")
    if options.json:
        write(options.json, rows)


def shape_of(text: str) -> tuple[int, int]:
    """(H, W) of "32x48"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 2:
        raise UserError(f"sizes: {text} is not a size: write HEIGHTxWIDTH, like 32x32, of at least 2x2.")
    return int(match[1]), int(match[2])


def compare(options: Options) -> Iterator[dict[str, Any]]:
    """One row per size, J, L, order and kind of image."""
    for text in options.sizes:
        shape = shape_of(text)
        images = {kind: make_images(kind, shape, options.seed) for kind in options.inputs}
        for J in (J for J in options.J if largest_scale(shape) >= J):
            for L in options.L:
                kymatio = make_kymatio(J, shape, L)
                for order in options.orders:
                    ours = Scattering2D(J, shape, L, order)
                    for kind, image in images.items():
                        setting = {"size": text, "J": J, "L": L, "order": order, "input": kind}
                        yield setting | errors(ours, kymatio, image)


def make_kymatio(J: int, shape: tuple[int, int], L: int) -> KymatioScattering2D:
    """Order 2, which serves for order 1 too: that is its first channels, and it is slow to build."""
    try:
        return KymatioScattering2D(J, shape, L)
    except ImportError as error:
        raise UserError(str(error)) from error


@torch.no_grad()
def errors(ours: Scattering2D, kymatio: KymatioScattering2D, image: Tensor) -> dict[str, dict[str, float]]:
    exact = ours(image.double())
    ours32, kymatio32 = ours(image).double(), kymatio(image)[:, : len(ours.paths)].double()
    pairs = [(ours32, kymatio32), (ours32, exact), (kymatio32, exact)]
    return {name: difference(*pair) for name, pair in zip(PAIRS, pairs, strict=True)}


def difference(values: Tensor, reference: Tensor) -> dict[str, float]:
    """Relative errors of (n, P, h, w) float64 coefficients."""
    channels = reference.square().sum((0, 2, 3)).sqrt()
    off = (values - reference).square().sum((0, 2, 3)).sqrt()
    floor = channels[0] if (channels[1:] < 1e-6 * channels[0]).all() else 0  # a constant image
    return {"l2": (off.norm() / channels.norm()).item(), "worst": (off / channels.clamp(min=floor)).max().item()}


def make_images(kind: str, shape: tuple[int, int], seed: int) -> Tensor:
    """(n, H, W) float32 images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "noise":
        return torch.rand(2, *shape, generator=generator)
    if kind == "constant":
        return torch.full((1, *shape), 0.7)
    if kind == "smooth":
        return smooth_noise(shape, generator)
    from sklearn.datasets import load_sample_image

    photos = [torch.from_numpy(load_sample_image(name).copy()) for name in ("china.jpg", "flower.jpg")]
    top, left = ((full - side) // 2 for full, side in zip(photos[0].shape[:2], shape, strict=True))
    crops = [photo[top : top + shape[0], left : left + shape[1]].permute(2, 0, 1) for photo in photos]
    return torch.cat(crops).float() / 255


def smooth_noise(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Two images whose amplitude falls as 1 / frequency, as in natural images."""
    frequencies = torch.fft.fftfreq(shape[0])[:, None].hypot(torch.fft.rfftfreq(shape[1])[None, :])
    noise = torch.fft.rfft2(torch.randn(2, *shape, generator=generator))
    images = torch.fft.irfft2(noise / frequencies.clamp(min=1 / max(shape)), s=shape)
    low, high = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    return (images - low) / (high - low)


def write(path: str, rows: list[dict[str, Any]]) -> None:
    """The rows as a JSON list."""
    try:
        write_json(Path(path), rows)
    except OSError as error:
        raise UserError(f"json={path} cannot be written: {error.strerror}.") from error
    print(f"{len(rows)} rows written: {path}")


if __name__ == "__main__":
    compare_kymatio()
