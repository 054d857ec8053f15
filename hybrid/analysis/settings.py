"""What an analysis measures, and on how many images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, get_args

from hybrid.errors import UserError, unknown_name
from hybrid.ranges import Count, Range, Seed, check_ranges

Measure = Literal[
    "contraction",
    "classes",
    "spectra",
    "separation",
    "boundary",
    "released_boundary",
    "probes",
    "jacobian",
    "stability",
    "rotation",
    "shift_consistency",
]
Probe = Literal["1nn", "knn", "linear", "svm"]
Pooling = Literal["average", "flatten"]
KINDS = ("translate", "rotate", "scale", "deform", "noise", "brightness")  # the names in perturbations.PERTURBATIONS


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """What is measured, how, and on how many images. It is recorded with every analysis, because every choice changes it.

    layers: names of taps (`layers_of`); None: pixels, scattering, every non-linearity, logits.
    measures: what is measured; docs/analysis.md defines each. "released_boundary" is the procedure of the released code.
    images, test_images: how many of the training images, and of those that the probes are tested on; None: all.
    classes: at most so many of the classes, evenly spread; None: all.
    pooling: how a layer's output becomes one vector per image, for every measure but contraction, Jacobian and stability,
        which measure the layers as they are: its average over positions, or all values. The pixels are always flattened,
        because their average is a mean colour.
    pixel_values: flattened pixels that are more than so many are projected at random to so many; None: never.
    standardize: divide each coordinate of the vectors by its standard deviation over the measured images, after
        subtracting its mean; the pixels have one deviation in common.
    compensate_energy: multiply scattering layers by 2^J, everywhere.
    neighbours: the largest k of the boundary counts. probes: which classifiers. knn: the k of "knn".
    svm_images: training images of "svm", whose time grows with the square of their number; None: all.
    pairs: pairs of images for the contraction ratios, drawn among `pair_images` images.
    jacobian_images: images at which the Jacobian is measured. jacobian_iterations: of its Lanczos iteration, at most.
    stability: kinds of perturbation, each with its usual strengths. stability_images: how many images are perturbed, moved by
        one pixel for "shift_consistency", and turned by "rotation", which compares averages over positions with the distance of
        two images.
    memory_mib: the most memory for a block of distances, in MiB. seed: of all random choices, at least 0.

    Raises UserError for an unknown name and a number out of its range.
    """

    layers: list[str] | None = None
    measures: list[Measure] = ("contraction", "classes", "spectra", "separation", "boundary", "probes")
    images: Annotated[int, Range(4, 2**31 - 1)] | None = 2000
    test_images: Count | None = 2000
    classes: Annotated[int, Range(2, 2**31 - 1)] | None = 100
    pooling: Pooling = "average"
    pixel_values: Count | None = 1024
    standardize: bool = True
    compensate_energy: bool = True
    neighbours: Count = 30
    probes: list[Probe] = ("1nn",)
    knn: Count = 15
    svm_images: Annotated[int, Range(4, 2**31 - 1)] | None = 10_000
    pairs: Count = 2000
    pair_images: Annotated[int, Range(4, 2**31 - 1)] = 128
    jacobian_images: Count = 8
    jacobian_iterations: Count = 30
    stability: list[str] = KINDS
    stability_images: Count = 64
    memory_mib: Count = 1024
    seed: Seed = 0

    def __post_init__(self) -> None:
        for name, valid in _VALID.items():
            _check_names(name, getattr(self, name), valid)
        if self.pooling not in get_args(Pooling):
            raise unknown_name(str(self.pooling), get_args(Pooling), what="analysis.pooling")
        check_ranges(self, path="analysis")
        if self.images is not None and self.neighbours >= self.images and set(self.measures) & _BY_NEIGHBOURS:
            raise UserError(
                f"analysis.neighbours={self.neighbours} is not valid: it must be below analysis.images={self.images}."
            )
        if not self.measures:
            raise UserError("analysis.measures is empty: nothing would be measured.")
        if "probes" in self.measures and not self.probes:
            raise UserError("analysis.probes is empty; leave probes out of analysis.measures instead.")

    @property
    def memory_bytes(self) -> int:
        """`memory_mib` in bytes."""
        return self.memory_mib * 2**20

    @property
    def sample_images(self) -> int:
        """How many images are measured as they are, not as vectors: the most that one of these measures wants."""
        wanted = {"contraction": self.pair_images, "jacobian": self.jacobian_images}
        wanted |= {"stability": self.stability_images if self.stability else 0, "rotation": self.stability_images}
        wanted["shift_consistency"] = self.stability_images
        return max((count for measure, count in wanted.items() if measure in self.measures), default=0)

    def without_classes(self) -> AnalysisSettings:
        """The measures for images that have no classes. Raises UserError where none is left."""
        left = [measure for measure in self.measures if measure not in _OF_CLASSES]
        if not left:
            asked = ", ".join(self.measures)
            raise UserError(
                f"analysis.measures: {asked} need classes, and the images have none. Valid here: contraction, jacobian, "
                "stability, rotation; or analysis=none."
            )
        return replace(self, measures=left)

    def as_record(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _check_names(setting: str, names: Iterable[str], valid: Iterable[str]) -> None:
    if isinstance(names, str):
        raise UserError(f"analysis.{setting}={names} is not valid: it is a list of names.")
    for name in names:
        if name not in valid:
            raise unknown_name(str(name), valid, what=f"name in analysis.{setting}")


_VALID = {"measures": get_args(Measure), "probes": get_args(Probe), "stability": KINDS}
_OF_CLASSES = {"classes", "spectra", "separation", "boundary", "released_boundary", "probes", "shift_consistency"}
_BY_NEIGHBOURS = {"separation", "boundary", "released_boundary"}
