"""How far this package's scattering is from kymatio 0.3, and both from float64: one table over sizes, scales and images.

    python scripts/compare_kymatio.py
    python scripts/compare_kymatio.py --sizes 32x32 33x47 --angles 8 --json errors.json

Columns: l2 is ‖a - b‖ / ‖b‖ over all coefficients; worst is the largest ‖a - b‖ / ‖b‖ of one channel (one scattering path). The
pairs: ours and kymatio's, both float32; ours in float32 and kymatio's in float32, each against this package in float64. Of a
constant image all channels but the first, the low-passed image, are zero, so there worst is relative to the first.
The photographs are scikit-learn's two sample images, cropped to the middle; nothing is downloaded. kymatio builds its filters in
Python loops, so the whole table takes many minutes; --sizes, --scales and --angles choose a part of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import torch
from torch import Tensor

from hybrid.scattering import KymatioScattering2D, Scattering2D
from hybrid.scattering.geometry import largest_scale

SIZES = ["28x28", "32x32", "33x47", "64x96", "96x96", "224x224"]
INPUTS = ["noise", "smooth", "constant", "photo"]
PAIRS = ["ours_kymatio", "ours_float64", "kymatio_float64"]


def main() -> None:
    arguments = parse_arguments()
    rows = []
    print(
        f"{'size':>8} {'J':>2} {'L':>2} {'order':>5} {'input':>9}"
        + "".join(f"  {pair + ' l2, worst':>26}" for pair in PAIRS)
    )
    for row in compare(arguments):
        rows.append(row)
        errors = "".join(f"  {row[pair]['l2']:>17.1e} {row[pair]['worst']:>8.1e}" for pair in PAIRS)
        print(f"{row['size']:>8} {row['J']:>2} {row['L']:>2} {row['order']:>5} {row['input']:>9}{errors}", flush=True)
    for pair in PAIRS:
        largest = max(rows, key=lambda row: row[pair]["worst"], default=None)
        if largest:
            where = f"{largest['size']} J={largest['J']} L={largest['L']} order {largest['order']} {largest['input']}"
            print(f"worst channel of {pair}: {largest[pair]['worst']:.1e} ({where})")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
        print(f"wrote {len(rows)} rows to {arguments.json}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", nargs="+", type=size, default=[size(text) for text in SIZES], help="HxW, default: six sizes"
    )
    parser.add_argument(
        "--scales", nargs="+", type=int, default=[1, 2, 3, 4, 5], help="values of J; those that fit are used"
    )
    parser.add_argument("--angles", nargs="+", type=int, default=[4, 6, 8], help="values of L")
    parser.add_argument("--orders", nargs="+", type=int, choices=[1, 2], default=[1, 2])
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=INPUTS)
    parser.add_argument("--seed", type=int, default=0, help="of the noise and smooth images")
    parser.add_argument("--json", metavar="PATH", help="also write the rows to this file")
    return parser.parse_args()


def size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()) or min(int(height), int(width)) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write HEIGHTxWIDTH, like 32x32, of at least 2x2")
    return int(height), int(width)


def compare(arguments: argparse.Namespace) -> Iterator[dict]:
    """One row per size, J, L, order and kind of image."""
    for shape in arguments.sizes:
        images = {kind: make_images(kind, shape, arguments.seed) for kind in arguments.inputs}
        for J in (J for J in arguments.scales if 1 <= J <= largest_scale(shape)):
            for L in arguments.angles:
                kymatio = KymatioScattering2D(
                    J, shape, L
                )  # slow to build; its order 1 is the first channels of order 2
                for order in arguments.orders:
                    ours = Scattering2D(J, shape, L, order)
                    for kind, image in images.items():
                        setting = {"size": f"{shape[0]}x{shape[1]}", "J": J, "L": L, "order": order, "input": kind}
                        yield setting | errors(ours, kymatio, image)


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


if __name__ == "__main__":
    main()
