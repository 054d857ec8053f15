"""How much rotated images change translation scattering, roto-translation scattering and a trained network, beside one another.

    hybrid train model=wrn_16_8 model.head.k=1 data=mnist data.subset.n=1000 trainer.duration="300 steps" run.name=cnn
    python scripts/measure_rotation.py run=outputs/cnn to=rotation

Each image of the run's test set is turned about its centre by some angles. A representation is one vector for an image: the
pixels; the means over space of orders 1 and 2 of both scatterings; the network's last non-linearity, averaged over space. The
change is ‖Φ(x') - Φ(x)‖, divided by the mean of ‖Φ(x) - Φ(y)‖ over pairs of images: 1 is as far as another image. Prints the
median over the images by angle, and writes to/rotation.csv and a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import hybrid
from hybrid.analysis.stability import Represent, measure_stability
from hybrid.configuration.arguments import check_at_least, check_not_empty, command, option
from hybrid.configuration.output_paths import check_folder
from hybrid.models.frontends import auto_octaves
from hybrid.reports.stability_figures import StabilityPanel, stability_curves
from hybrid.scattering import ImageTransform
from hybrid.taps import capture, nonlinearity_taps

LABEL = "rotation (degrees)"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    run: str = option("folder of a trained network")
    to: str = option("folder for the table and the figure")
    images: int = option("how many images are turned", default=128)
    angles: tuple[float, ...] = option("in degrees", default=(0, 5, 10, 20, 30, 45, 60, 75, 90))
    J: int | None = option("octaves of both scatterings; null: as model/frontend=scattering takes them", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 2, "images")
        check_not_empty(self, "angles")
        check_folder("to", self.to)


@command(Options)
def measure_rotation(options: Options) -> None:
    """Measure, print, write."""
    run = hybrid.load_run(options.run, device="cpu")
    loader = run.data.loader("test", batch_size=options.images, raw=True)
    images = next(iter(loader.epoch(0))).images.float()
    changes = relative_changes(represent_by(run, options.J), images, options.angles)
    print(f"{'angle':>6} " + " ".join(f"{name:>17}" for name in changes))
    for number, angle in enumerate(options.angles):
        print(f"{angle:>6g} " + " ".join(f"{np.median(values[number]):>17.3f}" for values in changes.values()))
    write(Path(options.to), options.angles, changes)


def relative_changes(represent: Represent, images: Tensor, angles: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Representation -> (angles, images): the change, over the mean distance of two images."""
    measured = measure_stability(represent, images, kind="rotate", strengths=angles)
    with torch.no_grad():
        apart = {name: torch.pdist(vectors.flatten(1).double()).mean() for name, vectors in represent(images).items()}
    return {name: (distances / apart[name]).numpy() for name, distances in measured.distances.items()}


def represent_by(run: hybrid.Run, J: int | None) -> Represent:
    """The function that names the representations of images in [0, 1]."""
    model, prepare = run.model, run.data.preprocessing
    shape = model.image_shape[1:]
    octaves = auto_octaves(min(shape)) if J is None else J
    plain, turning = hybrid.Scattering2D(octaves, shape), hybrid.RotoTranslationScattering2D(octaves, shape)
    last = nonlinearity_taps(model)[-1]

    def represent(images: Tensor) -> dict[str, Tensor]:
        with capture(model, [last]) as outputs:
            model(prepare(images))
        return {
            "pixels": images,
            "translation": _means(plain, images),
            "roto-translation": _means(turning, images),
            "network": outputs[last].flatten(2).mean(2) if outputs[last].ndim > 2 else outputs[last],
        }

    return represent


def _means(scattering: ImageTransform, images: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, C, P - 1): means over space without order 0, which is the mean grey."""
    return scattering(images).mean((-2, -1))[..., 1:]


def write(folder: Path, angles: tuple[float, ...], changes: dict[str, np.ndarray]) -> None:
    """rotation.csv and rotation.png in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [",".join(["angle", *changes])]
    for number, angle in enumerate(angles):
        rows.append(",".join([f"{angle:g}", *(f"{np.median(values[number]):.6g}" for values in changes.values())]))
    (folder / "rotation.csv").write_text("\n".join(rows) + "\n")
    panel = StabilityPanel(angles, list(changes.items()))
    figure = stability_curves({LABEL: panel}, ylabel="change")
    figure.savefig(folder / "rotation.png", dpi=200)
    print(f"{folder / 'rotation.csv'} and rotation.png are written.")


if __name__ == "__main__":
    measure_rotation()
