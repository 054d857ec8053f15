"""A copy of CIFAR-10 whose images went through JPEG once more, to measure what that costs a network.

    python scripts/recompress_cifar10.py data_root=data to=data-jpeg75
    hybrid train experiment=cifar10_mlp model=scat_linear data.root=data-jpeg75

Training and test images are encoded with `quality` and 4:2:0 subsampling of the colours, decoded, and written as the official
Python batches are. shift: pixels by which JPEG's blocks are moved first (the edge repeated): on images that went through JPEG
already, the same blocks would come out unchanged, and say nothing. Printed: the peak signal-to-noise ratio of the copy in dB.
"""

from __future__ import annotations

import io
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hybrid.configuration.arguments import command, option
from hybrid.configuration.resolvers import folder
from hybrid.data.cifar import Cifar10
from hybrid.data.unpickle import read_pickle
from hybrid.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    data_root: str = option("folder that has cifar-10-batches-py", default=folder("HYBRID_DATA", "data"))
    to: str = option("folder for the copy; it must not have one yet")
    quality: int = option("of JPEG, 1 to 95", default=75)
    shift: int = option("pixels, 0 to 15", default=4)

    def __post_init__(self) -> None:
        for name, least, most in (("quality", 1, 95), ("shift", 0, 15)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"{name}={getattr(self, name)} is not valid: it must be from {least} to {most}.")
        if (Path(self.to) / Cifar10.folder).exists():
            raise UserError(f"to={self.to} has {Cifar10.folder} already. Choose another folder, or remove it.")


@command(Options)
def recompress_cifar10(options: Options) -> None:
    """Write the copy beside its place, then move it there whole."""
    source = Cifar10(root=options.data_root, download=False)
    source.prepare()
    final = Path(options.to) / Cifar10.folder
    unfinished = final.with_name(final.name + ".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    errors = []
    for file in source.official_files():
        content = read_pickle(file.path)
        if "data" in content:
            pixels = recompressed(content["data"], quality=options.quality, shift=options.shift)
            errors.append(np.square(pixels.astype(np.float64) - content["data"]).mean())
            (unfinished / file.path.name).write_bytes(pickle.dumps(content | {"data": pixels}, protocol=2))
        else:
            shutil.copy(file.path, unfinished)
    unfinished.rename(final)
    error = np.mean(errors)
    print(f"{final}: {f'{10 * np.log10(255**2 / error):.2f} dB' if error else 'unchanged'}")


def recompressed(planes: np.ndarray, *, quality: int, shift: int) -> np.ndarray:
    """(N, 3072) uint8 planes of 32 × 32 images, encoded and decoded."""
    images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    moved = np.pad(images, ((0, 0), (shift, 0), (shift, 0), (0, 0)), mode="edge")
    decoded = np.stack([_through_jpeg(image, quality) for image in moved])[:, shift:, shift:]
    return np.ascontiguousarray(decoded.transpose(0, 3, 1, 2)).reshape(len(planes), -1)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file))


if __name__ == "__main__":
    recompress_cifar10()
