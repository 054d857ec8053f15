"""How far this package's scattering is from kymatio 0.3, and both from float64: one table over sizes, scales and images.

    python scripts/compare_kymatio.py
    python scripts/compare_kymatio.py sizes=[32x32,33x47] L=[8] engines=[cpu] json=errors.json

A row per engine of ours: torch, and cpu, the compiled one that engine=auto takes on a CPU; where that cannot be built it is left
out, and a line on stderr says why. Columns: l2 is ‖a - b‖ / ‖b‖ over all coefficients; worst is the largest ‖a - b‖ / ‖b‖ of one
channel (one scattering path). The pairs: ours and kymatio's, both float32; ours in float32 and kymatio's in float32, each against
the torch engine in float64. Of a constant image all channels but the first, the low-passed image, are zero, so there worst is
relative to the first.
The photographs are scikit-learn's two sample images, cropped to the middle; nothing is downloaded. kymatio builds its filters in
Python loops, so the whole table takes many minutes; sizes=, J= and L= choose a part of it, and Ctrl-C ends it with the summary of
the rows that are there, which the JSON file then has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from measured_rows import write_rows
from scattering_cases import refusal
from torch import Tensor

from hybrid.configuration.arguments import check_not_empty, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError
from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.geometry import Settings, largest_scale

SIZES = ("28x28", "32x32", "33x47", "64x96", "96x96", "224x224")
Engine = Literal["torch", "cpu"]
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
    engines: tuple[Engine, ...] | None = option("ours; null: torch, and cpu where it can be built", default=None)
    inputs: tuple[Input, ...] = option("kinds of images", default=("noise", "smooth", "constant", "photo"))
    seed: int = option("of the noise and smooth images", default=0)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_not_empty(self, "sizes", "J", "L", "orders", "engines", "inputs")
        check_file("json", self.json)
        for text in self.sizes:
            height, width = shape_of(text)
            if "photo" in self.inputs and (height > PHOTO[0] or width > PHOTO[1]):
                raise UserError(f"sizes: the photographs have {PHOTO[0]}x{PHOTO[1]} pixels, {text} does not fit.")
        for name in ("J", "L"):
            if min(getattr(self, name)) < 1:
                raise UserError(f"{name}={list(getattr(self, name))} is not valid: each must be at least 1.")
        if not any(j <= largest_scale(shape_of(text)) for text in self.sizes for j in self.J):
            raise UserError(f"J={list(self.J)}: none fits the sizes; 2^J is at most the shorter side.")


@command(Options)
def compare_kymatio(options: Options) -> None:
    """Compare, print row by row, then the largest errors, and write the JSON file if one is wanted."""
    chosen = {setting: engines_of(setting, options) for setting in settings_of(options)}
    total = sum(map(len, chosen.values())) * len(options.L) * len(options.orders) * len(options.inputs)
    print(f"{total} rows; Ctrl-C ends it early, with the summary of those that are there")
    head = f"{'size':>8} {'J':>2} {'L':>2} {'order':>5} {'input':>9} {'engine':>6}"
    print(head + "".join(f"  {pair + ' l2, worst':>26}" for pair in PAIRS), flush=True)
    rows: list[dict[str, Any]] = []
    try:
        for row in compare(chosen, options):
            rows.append(row)
            print(line(row), flush=True)
    except KeyboardInterrupt:
        print(f"not the whole table: {len(rows)} of {total} rows", flush=True)
        _conclude(options, rows, total)
        raise
    _conclude(options, rows, total)


def _conclude(options: Options, rows: list[dict[str, Any]], total: int) -> None:
    """The summaries and the file, of what has been compared; nothing where nothing has."""
    for engine in dict.fromkeys(row["engine"] for row in rows):
        summarize([row for row in rows if row["engine"] == engine], engine)
    if rows:
        write_rows(options, rows, whole_table=len(rows) == total)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    errors = "".join(f"  {row[pair]['l2']:>17.1e} {row[pair]['worst']:>8.1e}" for pair in PAIRS)
    return (
        f"{row['size']:>8} {row['J']:>2} {row['L']:>2} {row['order']:>5} {row['input']:>9} {row['engine']:>6}{errors}"
    )


def summarize(rows: list[dict[str, Any]], engine: str) -> None:
    """Print the largest error of each pair, and where it is."""
    for pair in PAIRS:
        largest = max(rows, key=lambda row: row[pair]["worst"])
        where = f"{largest['size']} J={largest['J']} L={largest['L']} order {largest['order']} {largest['input']}"
        print(f"worst channel of {pair}, {engine}: {largest[pair]['worst']:.1e} ({where})")


def shape_of(text: str) -> tuple[int, int]:
    """(H, W) of "32x48"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 2:
        raise UserError(f"sizes: {text} is not a size: write HEIGHTxWIDTH, like 32x32, of at least 2x2.")
    return int(match[1]), int(match[2])


def settings_of(options: Options) -> list[tuple[str, int]]:
    """Each size with the J that fit it."""
    return [(text, J) for text in options.sizes for J in options.J if largest_scale(shape_of(text)) >= J]


def engines_of(setting: tuple[str, int], options: Options) -> tuple[str, ...]:
    """Those to compare at this size and J. Raises UserError if one that is asked for cannot be built there."""
    text, J = setting
    wanted = options.engines or get_args(Engine)
    reason = refusal(Settings(J, shape_of(text), 8, 2, False), "cpu") if "cpu" in wanted else None
    if reason and options.engines:
        raise UserError(f"engines=cpu, {text}, J={J}: the cpu engine cannot be used here: {reason}")
    if reason:
        print(f"{text}, J={J}: the cpu engine is left out: {reason}", file=sys.stderr)
    return tuple(engine for engine in wanted if engine != "cpu" or not reason)


def compare(chosen: dict[tuple[str, int], tuple[str, ...]], options: Options) -> Iterator[dict[str, Any]]:
    """One row per size, J, L, order, kind of image and engine."""
    for (text, J), engines in chosen.items():
        shape = shape_of(text)
        images = {kind: make_images(kind, shape, options.seed) for kind in options.inputs}
        for L in options.L:
            if sys.stderr.isatty():
                print(f"{text}, J={J}, L={L}: filters …", file=sys.stderr, flush=True)
            kymatio = make_kymatio(J, shape, L)
            for order in options.orders:
                exact = TorchScattering2D(J, shape, L, order)
                modules = {engine: Scattering2D(J, shape, L, order, engine=engine) for engine in engines}
                for kind, image in images.items():
                    setting = {"size": text, "J": J, "L": L, "order": order, "input": kind}
                    others = kymatio(image)[:, : len(exact.paths)].double(), exact(image.double())
                    for engine, module in modules.items():
                        yield setting | {"engine": engine} | errors(module(image).double(), *others)


def make_kymatio(J: int, shape: tuple[int, int], L: int) -> Scattering2D:
    """Order 2, which serves for order 1 too: that is its first channels, and it is slow to build."""
    try:
        return Scattering2D(J, shape, L, engine="kymatio")
    except ImportError as error:
        raise UserError(str(error)) from error


def errors(ours: Tensor, kymatio: Tensor, exact: Tensor) -> dict[str, dict[str, float]]:
    """Of coefficients in float32, ours and kymatio's, and in float64; all given as float64."""
    pairs = [(ours, kymatio), (ours, exact), (kymatio, exact)]
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


if __name__ == "__main__":
    compare_kymatio()
