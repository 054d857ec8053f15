"""Draw the scattering coefficients of an image, arranged by order, scale and angle.

    hybrid show-scattering                          scikit-learn's photograph of a flower
    hybrid show-scattering image=photo.jpg J=4 out=photo.png
    hybrid show-scattering image=photo.jpg size=192,256

The image is scaled to cover the size, its centre is cut out, and that is transformed in grey.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import PICTURES, check_file, writing
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from PIL import Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    image: str | None = option("an image file; null: a photograph that comes with scikit-learn", default=None)
    J: int = option("scales; coefficients are averages over 2^J pixels", default=3)
    L: int = option("angles over half a turn", default=8)
    size: tuple[int, ...] = option("the side of a square, or HEIGHT,WIDTH, in pixels", default=(256,))
    out: str = option("the picture to write (png, pdf or svg)", default="outputs/scattering.png")

    def __post_init__(self) -> None:
        if len(self.size) not in (1, 2):
            raise UserError(f"size={_shown(self.size)} is not valid: it is the side of a square, or HEIGHT,WIDTH.")
        if min(self.size) < 8:
            raise UserError(f"size={_shown(self.size)} is not valid: it must be at least 8.")
        check_file("out", self.out, endings=PICTURES, makes_folder=True)


@command(Options)
def show_scattering(options: Options) -> None:
    """Transform, draw, write."""
    from hybrid.data.images import ImageReader
    from hybrid.reports.scattering_figures import scattering_figure
    from hybrid.scattering import TorchScattering2D

    shape = (options.size[0], options.size[-1])
    reader = ImageReader(channels=3, size=shape, resize=shape)
    pixels = (reader.convert(_flower()) if options.image is None else reader.open(options.image)).float() / 255
    try:
        scattering = TorchScattering2D(options.J, shape, L=options.L)
    except ValueError as error:
        raise UserError(str(error)) from error
    figure = scattering_figure(pixels, scattering(pixels.mean(0)), scattering.paths)
    with writing("out", options.out):
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.out, dpi=80)
    say(f"{len(scattering.paths)} paths of {scattering.output_shape[1:]} coefficients: {options.out}")


def _flower() -> Image.Image:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image("flower.jpg"))


def _shown(size: tuple[int, ...]) -> str:
    return ",".join(map(str, size))
