"""Digits that are turned by any angle: the affine space classifier on translation and on roto-translation scattering.

    python scripts/measure_rotated_digits.py                     # MNIST in $HYBRID_DATA, some minutes of one core
    python scripts/measure_rotated_digits.py --seeds 0 1 2 --train 200

Bruna and Mallat (PAMI 2013, table 5) turn each image of MNIST by an angle that is uniform in 0 … 2π, leave out the 9, which
would be a 6, and learn from 1,000 images of each class. Their turned images are not published, so these are our own: bilinear,
about the centre, of images with a frame of 2 black pixels. Printed is the error on all test images but the 9.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybrid import AffineClassifier, RotoTranslationScattering2D, Scattering2D
from hybrid.classification import PathScaler
from hybrid.data.mnist import Mnist

_SIDE, _CLASSES, _BATCH = 32, 9, 250
Transform = Callable[[Tensor], Tensor]


def digits(part: str, root: str) -> tuple[Tensor, np.ndarray]:
    """(n, 32, 32) images from 0 to 1 without the 9, and their classes."""
    images, labels = Mnist(root=root, download=False).read(part)
    kept = labels < _CLASSES
    return functional.pad(images[kept, 0].float() / 255, (2, 2, 2, 2)), labels[kept].numpy()


def turned(images: Tensor, angles: Tensor) -> Tensor:
    """(n, H, W) images turned about their centres by angles (n,) in radians."""
    cosine, sine = angles.cos(), angles.sin()
    zero = torch.zeros_like(cosine)
    matrices = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    grid = functional.affine_grid(matrices, (len(images), 1, *images.shape[1:]), align_corners=False)
    return functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def transforms() -> dict[str, Transform]:
    """Name -> images (n, 32, 32) to maps (n, paths, h, w). Published are six angles; eight have K = 3 scales along the angle."""
    shape = (_SIDE, _SIDE)
    return {
        "translation, 6 angles": Scattering2D(3, shape, 6),
        "roto-translation, 6 angles": RotoTranslationScattering2D(3, shape, 6),
        "translation, 8 angles": Scattering2D(3, shape, 8),
        "roto-translation, 8 angles": RotoTranslationScattering2D(3, shape, 8),
        "roto-translation, 8 angles, J=4": RotoTranslationScattering2D(4, shape, 8),
    }


def error(transform: Transform, train: tuple[Tensor, np.ndarray], test: tuple[Tensor, np.ndarray]) -> tuple[float, int]:
    """The error in % and the dimension that was chosen."""
    known, unknown = (torch.cat([transform(part) for part in images.split(_BATCH)]) for images, _ in (train, test))
    positions = math.prod(known.shape[2:])
    scaler = PathScaler(positions).fit(known.flatten(1).numpy())
    classifier = AffineClassifier(most=200).fit(scaler.transform(known.flatten(1).numpy()), train[1])
    score = classifier.score(scaler.transform(unknown.flatten(1).numpy()), test[1])
    return 100 * (1 - score), int(classifier.dimensions_.max())


def main() -> None:
    """Measure every transform for every seed, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.environ.get("HYBRID_DATA", "data"), help="the folder that holds MNIST/raw")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the training images and the angles")
    parser.add_argument("--train", type=int, default=1000, help="training images of each class")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    parts = {part: digits(part, options.root) for part in ("train", "test")}
    errors: dict[str, list[float]] = {name: [] for name in transforms()}
    for seed in options.seeds:
        random = np.random.RandomState(seed)
        labels = parts["train"][1]
        chosen = np.concatenate(
            [random.permutation(np.flatnonzero(labels == label))[: options.train] for label in range(_CLASSES)]
        )
        sets = [(parts["train"][0][chosen], labels[chosen]), parts["test"]]
        sets = [(turned(images, _angles(random, len(images))), classes) for images, classes in sets]
        for name, transform in transforms().items():
            began = time.process_time()
            found, dimension = error(transform, *sets)
            errors[name].append(found)
            print(
                f"seed {seed}: {name}: {found:.2f} %, dimension {dimension}, {time.process_time() - began:.0f} s",
                flush=True,
            )
    for name, found in errors.items():
        spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
        print(f"{name}: {statistics.fmean(found):.2f}{spread} %")


def _angles(random: np.random.RandomState, count: int) -> Tensor:
    return torch.from_numpy(random.uniform(0, 2 * math.pi, count).astype(np.float32))


if __name__ == "__main__":
    main()
