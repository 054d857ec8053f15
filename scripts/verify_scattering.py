"""Check the mathematics of the scattering transform on images: a table, a figure, and the figures behind them.

    python scripts/verify_scattering.py                                   digits; about a minute
    python scripts/verify_scattering.py data=cifar10 J=[1,2,3,4,5] out=outputs/verification/cifar10
    python scripts/verify_scattering.py data=folder data_root=photos size=64

Measured: the Littlewood-Paley sum A of the filters; distances between pairs of images before and after the transform; the energy
of each order; how far a translation moves the coefficients; and Lipschitz constants to deformations, of scattering, of the
modulus of the Fourier transform and of pixels, by frequency. Images are test images as the mean of their channels.
docs/lab/verification.md explains each column. OUT.json, OUT.md, OUT.png and OUT.svg are written. The exit code is 1 if an
inequality that is proven fails.
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import check_file, writing
from hybrid.errors import UserError

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from torch import Tensor
    from verification.deformation_checks import LipschitzConstants

SHIFTS = (1.0, 2.0, 4.0)  # pixels
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    data: str = option("a data set in configs/data", default="digits")
    data_root: str | None = option("folder of the data, where the data set's own default is not right", default=None)
    size: int | None = option("side of the images in pixels; null: the data set's own", default=None)
    images: int = option("test images to take, evenly spread; all pairs are compared", default=32)
    J: tuple[int, ...] = option("scales", default=(1, 2, 3, 4))
    L: int = option("angles over half a turn", default=8)
    gradient: float = option("largest |∇τ| of the random deformations", default=0.1)
    dilation: float = option("by which wave packets are dilated", default=0.05)
    seed: int = option("of the random deformations and directions", default=0)
    out: str = option("path of the files, without an ending", default="outputs/verification/scattering")

    def __post_init__(self) -> None:
        if self.images < 2 or self.seed < 0 or not self.J or min(self.J) < 1 or len(set(self.J)) < len(self.J):
            raise UserError("images must be at least 2, seed at least 0, and J one or more different scales from 1.")
        for name in ("gradient", "dilation"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} is not valid: it must be above 0 and below 1.")
        for ending in ("md", "json", "png", "svg"):
            check_file("out", f"{self.out}.{ending}", makes_folder=True)


@command(Options)
def verify_scattering(options: Options) -> None:
    """Measure, print, write."""
    from verification.figure import verification_figure
    from verification.table import constants_table, scales_table

    from hybrid.files import write_json, write_text
    from hybrid.reports.style import save_figure
    from hybrid.runs.environment import describe_environment

    images = grey_images(options)
    scales = sorted(options.J)
    check_scales(images, scales, options.L)
    print(f"{len(images)} images of {images.shape[1]}x{images.shape[2]} pixels, {options.data}", flush=True)
    rows = [measure(images, J, options) for J in scales]
    pixel_shifts = {pixels: translation(images, None, pixels, options.seed) for pixels in SHIFTS}
    packets, bands = deformations(images, scales[-1], options)
    constants = {"wave packets": summary(packets), "images": summary(bands)}
    text = "\n\n".join([scales_table(rows), *(constants_table(name, each) for name, each in constants.items())])
    verdicts = judge(rows, packets, bands)
    print(f"\n{text}\n\n" + "\n".join(verdicts))
    record = {
        "options": asdict(options),
        "environment": describe_environment(),
        "scales": rows,
        "verdicts": verdicts,
        "constants": constants,
        "pixel_translations": {str(pixels): shift for pixels, shift in pixel_shifts.items()},
    }
    with writing("out", options.out):
        write_text(Path(f"{options.out}.md"), f"{text}\n\n" + "\n".join(f"- {line}" for line in verdicts) + "\n")
        write_json(Path(f"{options.out}.json"), record)
    written = save_figure(verification_figure(panels(rows, pixel_shifts, packets, bands, options.L)), options.out)
    print(f"\nwritten: {options.out}.md, {options.out}.json, {', '.join(map(str, written))}")
    if any(line.startswith("VIOLATED") for line in verdicts):
        sys.exit(1)


def grey_images(options: Options) -> Tensor:
    """(N, H, W) float64 in [0, 1]: test images, evenly spread over the set."""
    import torch

    from hybrid.configuration.composition import compose
    from hybrid.configuration.from_config import data_from

    overrides = [f"data={options.data}", "data.normalize=none", "augmentation=none"]
    overrides += [f"++data.root={options.data_root}"] if options.data_root else []
    overrides += [f"data.size={options.size}"] if options.size else []
    data = data_from(compose(overrides).data, seed=0)
    wanted = torch.linspace(0, len(data.splits["test"]) - 1, options.images).round().long().unique()
    chosen, start = [], 0
    for batch in data.loader("test", batch_size=256).epoch(0):
        here = wanted[(wanted >= start) & (wanted < start + len(batch.images))] - start
        chosen.append(batch.images[here])
        start += len(batch.images)
    return torch.cat(chosen).double().mean(1)


def check_scales(images: Tensor, scales: list[int], L: int) -> None:
    """Before anything is computed: UserError for a J or L that does not fit the images."""
    from hybrid.scattering.geometry import check_parameters

    try:
        for J in scales:
            check_parameters(J, tuple(images.shape[1:]), L, 2)
    except ValueError as error:
        raise UserError(f"{error}.") from error


def measure(images: Tensor, J: int, options: Options) -> dict[str, Any]:
    """One row: everything that depends on J."""
    from verification.scattering_checks import littlewood_paley, padded, propagate, sampled_expansion

    from hybrid.scattering import TorchScattering2D

    scattering = TorchScattering2D(J, tuple(images.shape[1:]), options.L)
    bank = littlewood_paley(J, scattering.padded_shape, options.L)
    waves = propagate(padded(images, J), J, options.L)
    expansions = dict(zip(("W", "S"), waves.expansion(), strict=True))
    expansions |= dict(zip(("sampled_padded", "sampled_image"), sampled_expansion(scattering, images), strict=True))
    print(f"J={J} done", flush=True)
    return {
        "J": J,
        "padded": list(scattering.padded_shape),
        "A": {"min": bank.minimum, "min_inner": bank.minimum_within(0.75 * math.pi), "max": bank.maximum},
        "expansion": {name: [v.min().item(), v.median().item(), v.max().item()] for name, v in expansions.items()},
        "energies": waves.energies(),
        "translations": {str(pixels): translation(images, scattering, pixels, options.seed) for pixels in SHIFTS},
    }


def translation(images: Tensor, scattering: Any, pixels: float, seed: int) -> float:
    """Mean relative change of the coefficients, or of the pixels, of images without their mean."""
    from hybrid.analysis.stability import measure_stability

    centred = (images - images.mean((1, 2), keepdim=True))[:, None]
    represent = scattering if scattering is not None else lambda batch: batch
    result = measure_stability(
        lambda batch: {"layer": represent(batch)}, centred, kind="translate", strengths=[pixels], seed=seed
    )
    return result.mean()["layer"].item()


def deformations(images: Tensor, J: int, options: Options) -> tuple[LipschitzConstants, LipschitzConstants]:
    """Of wave packets, half an octave apart, and of the images' octaves."""
    from verification.deformation_checks import image_constants, wave_packet_constants

    frequencies = [0.75 * math.pi * 2 ** (-k / 2) for k in range(9)]
    packets = wave_packet_constants(J, frequencies, L=options.L, dilation=options.dilation)
    bands = image_constants(images, J, L=options.L, gradient=options.gradient, seed=options.seed)
    return packets, bands


def summary(constants: LipschitzConstants) -> dict[str, list[float]]:
    means = {name: getattr(constants, name).mean(1).tolist() for name in ("pixels", "fourier", "scattering")}
    largest = constants.scattering.amax(1).tolist()
    return {"frequencies": list(constants.frequencies), **means, "scattering_largest": largest}


def judge(rows: list[dict[str, Any]], packets: LipschitzConstants, bands: LipschitzConstants) -> list[str]:
    """One line per statement; the first two are theorems, for which a failure is a mistake in the code."""

    def line(holds: bool, words: str, otherwise: str = "no   ") -> str:
        return f"{'holds' if holds else otherwise}: {words}"

    bounds = [max(1, row["A"]["max"]) for row in rows]
    largest = {name: [row["expansion"][name][2] for row in rows] for name in rows[0]["expansion"]}
    W = all(value <= A**0.5 + ROUNDING for value, A in zip(largest["W"], bounds, strict=True))
    S = all(value <= A**1.5 + ROUNDING for value, A in zip(largest["S"], bounds, strict=True))
    shares = [row["energies"] for row in rows if row["J"] > 1]
    falls = all(each["S1"] > each["S2"] > each["beyond"] for each in shares)
    steps = [[row["translations"][str(pixels)] for row in rows] for pixels in SHIFTS]
    invariant = all(later < earlier for each in steps for earlier, later in zip(each, each[1:], strict=False))
    verdicts = [
        line(W, "‖Wx - Wx'‖ ≤ √A ‖x - x'‖ for every pair, padded", "VIOLATED"),
        line(S, "‖Sx - Sx'‖ ≤ A^(3/2) ‖x - x'‖ for every pair, padded, before sampling", "VIOLATED"),
        line(max(bounds) <= 1 + 1e-3, f"the bank is non-expansive to 0.001 (largest A: {max(bounds):.4f})"),
        line(
            max(largest["S"]) <= 1,
            f"no pair is expanded by S, padded, before sampling (largest ratio: {max(largest['S']):.4f})",
        ),
        line(
            max(largest["sampled_image"]) <= 1,
            f"no pair is expanded by 2^J S when compared before padding (largest ratio: {max(largest['sampled_image']):.4f})",
        ),
        line(falls, "each order has less energy than the one before, from order 1, J > 1"),
        line(invariant, "a larger J makes every translation a smaller change"),
    ]
    for name, each in (("wave packets", packets), ("images", bands)):
        grown = {
            kind: values[-1] / values[0] for kind, values in summary(each).items() if kind in ("fourier", "scattering")
        }
        words = f"from the lowest to the highest frequency the constant of {name} grows by {grown['scattering']:.2f} (scattering)"
        verdicts.append(
            line(grown["scattering"] < grown["fourier"] / 2, f"{words}, {grown['fourier']:.2f} (Fourier modulus)")
        )
    return verdicts


def panels(rows: list, pixel_shifts: dict, packets: LipschitzConstants, bands: LipschitzConstants, L: int) -> Any:
    """What the figure shows."""
    from verification.figure import Panels
    from verification.scattering_checks import littlewood_paley

    bounds = [max(1, row["A"]["max"]) for row in rows]
    return Panels(
        J=[row["J"] for row in rows],
        littlewood_paley={row["J"]: littlewood_paley(row["J"], tuple(row["padded"]), L).profile() for row in rows},
        expansion={name: [row["expansion"][name] for row in rows] for name in ("W", "S")},
        bounds={"W": [A**0.5 for A in bounds], "S": [A**1.5 for A in bounds]},
        energies={name: [row["energies"][name] for row in rows] for name in rows[0]["energies"]},
        shifts={pixels: [row["translations"][str(pixels)] for row in rows] for pixels in SHIFTS},
        pixel_shifts=pixel_shifts,
        packets=(packets.frequencies, summary(packets)),
        images=(bands.frequencies, summary(bands)),
    )


if __name__ == "__main__":
    verify_scattering()
