"""What an analysis measures, and on how many images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hybrid.analysis.features import Pooling
from hybrid.analysis.perturbations import perturbation
from hybrid.errors import UserError

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
]
Probe = Literal["1nn", "knn", "linear", "svm"]


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """Recorded with every figure, because every choice changes it.

    layers: names of taps (`layers_of`); None: pixels, scattering, every non-linearity, logits.
    measures: what is measured; see the module of each. "released_boundary" is the procedure of the released code.
    images, test_images: of the training images, and of those that the probes are tested on; None: all.
    classes: at most so many of the classes, evenly spread; None: all.
    pooling, standardize: how features become vectors, for everything but contraction, Jacobian and stability, which measure
    the layers as they are. compensate_energy: scattering layers times 2^J, everywhere.
    neighbours: the largest k of the boundary counts. probes, knn: which classifiers, and the k of "knn".
    pairs, pair_images: image pairs for the contraction ratios, drawn among so many images.
    jacobian_images, jacobian_iterations; stability, stability_images: kinds of perturbation, with their usual strengths.
    memory_mib: the most memory for a block of distances. seed: of all random choices.
    """

    layers: list[str] | None = None
    measures: list[Measure] = ("contraction", "classes", "spectra", "separation", "boundary", "probes")
    images: int | None = 2000
    test_images: int | None = 2000
    classes: int | None = 100
    pooling: Pooling = "average"
    standardize: bool = True
    compensate_energy: bool = True
    neighbours: int = 30
    probes: list[Probe] = ("1nn",)
    knn: int = 15
    svm_images: int | None = 10_000
    pairs: int = 2000
    pair_images: int = 128
    jacobian_images: int = 8
    jacobian_iterations: int = 30
    stability: list[str] = ("translate", "rotate", "scale", "deform", "noise", "brightness")
    stability_images: int = 64
    memory_mib: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"analysis.{name}={value} is not valid: it must be at least {least}.")
        if self.images is not None and self.neighbours >= self.images and set(self.measures) & _BY_NEIGHBOURS:
            raise UserError(
                f"analysis.neighbours={self.neighbours} is not valid: it must be below analysis.images={self.images}."
            )
        if not self.measures:
            raise UserError("analysis.measures is empty: nothing would be measured.")
        if "probes" in self.measures and not self.probes:
            raise UserError("analysis.probes is empty; leave probes out of analysis.measures instead.")
        for kind in self.stability:
            perturbation(kind)

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * 2**20


_BY_NEIGHBOURS = {"separation", "boundary", "released_boundary"}
_LEAST = {
    "images": 4,
    "test_images": 1,
    "classes": 2,
    "neighbours": 1,
    "knn": 1,
    "svm_images": 4,
    "pairs": 1,
    "pair_images": 4,
    "jacobian_images": 1,
    "jacobian_iterations": 1,
    "stability_images": 1,
    "memory_mib": 1,
    "seed": 0,
}
