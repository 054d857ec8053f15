"""Draw the scattering coefficients of an image, arranged by order, scale and angle.

    hybrid show-scattering                          scikit-learn's photograph of a flower
    hybrid show-scattering image=photo.jpg J=4 out=photo.png

The image is cropped to a square and transformed in grey.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import PICTURES, check_file, writing
from hybrid.errors import UserError

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from PIL import Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    image: str | None = option("an image file; null: a photograph that comes with scikit-learn", default=None)
    J: int = option("scales; coefficients are averages over 2^J pixels", default=3)
    L: int = option("angles over half a turn", default=8)
    size: int = option("the image is resized to this short side and cropped to a square", default=256)
    out: str = option("the picture to write (png, pdf or svg)", default="outputs/scattering.png")

    def __post_init__(self) -> None:
        if self.size < 8:
            raise UserError(f"size={self.size} is not valid: it must be at least 8.")
        check_file("out", self.out, endings=PICTURES, makes_folder=True)


@command(Options)
def show_scattering(options: Options) -> None:
    """Transform, draw, write."""
    import numpy as np
    import torch

    from hybrid.reports.scattering_figures import scattering_figure
    from hybrid.scattering import TorchScattering2D

    image = _square(_open(options.image), options.size)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    try:
        scattering = TorchScattering2D(options.J, (options.size, options.size), L=options.L)
    except ValueError as error:
        raise UserError(str(error)) from error
    figure = scattering_figure(pixels, scattering(pixels.mean(0)), scattering.paths)
    with writing("out", options.out):
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.out, dpi=80)
    print(f"{len(scattering.paths)} paths of {scattering.output_shape[1:]} coefficients: {options.out}")


def _open(path: str | None) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    if path is None:
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image("flower.jpg"))
    try:
        return Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"image={path} cannot be read: {error}") from error


def _square(image: Image.Image, size: int) -> Image.Image:
    from PIL import Image

    scale = size / min(image.size)
    image = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    left, top = ((side - size) // 2 for side in image.size)
    return image.crop((left, top, left + size, top + size))
