"""Which parameters of the transform on rotations and translations fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from hybrid.scattering.geometry import ScatteringError, Settings, check_parameters, check_word, truth, whole_number
from hybrid.scattering.rotation.paths import RotationPath, rotation_paths

Output = Literal["maps", "mean"]
Normalization = Literal["kymatio", "scatnet"]


@dataclass(frozen=True)
class RotationSettings:
    """The parameters of one transform; hashable. `check_rotation` makes one from what a user gives.

    plane: sizes, scales and angles of the spatial wavelets. K: scales along the angle.
    """

    plane: Settings
    K: int
    joint: bool = True
    average_angles: bool = True
    output: Output = "maps"
    normalization: Normalization = "kymatio"

    @property
    def paths(self) -> tuple[RotationPath, ...]:
        """The paths in the order of the output channels."""
        return rotation_paths(self.plane.J, self.plane.L, self.K, average_angles=self.average_angles)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(P, h, w) of one image, or (P,) of the means."""
        maps = self.plane.output_shape[1:] if self.output == "maps" else ()
        return (len(self.paths), *maps)


def check_rotation(
    J: Any, shape: Any, L: Any, K: Any, *, joint: Any, average_angles: Any, boundary: Any, **words: Any
) -> RotationSettings:
    """Return the parameters, or raise a ScatteringError of one line that says which values are valid."""
    plane = check_parameters(J, shape, L, boundary=boundary)
    joint, average_angles = truth(joint, "joint"), truth(average_angles, "average_angles")
    check_word("output", words["output"], get_args(Output))
    check_word("normalization", words["normalization"], get_args(Normalization))
    if plane.L < 2:
        raise ScatteringError(f"L, the number of angles over half a turn, must be at least 2 here, got {plane.L}")
    if joint and plane.L % 2:
        raise ScatteringError(
            f"L={plane.L} is odd: the joint transform needs an even number of angles, so that a turn by 90 degrees is one "
            "of them; joint=False takes any"
        )
    _check_scatnet(words["normalization"], joint=joint, average_angles=average_angles)
    return RotationSettings(plane, _angular_scales(K, plane.L), joint, average_angles, **words)


def _angular_scales(K: Any, L: int) -> int:
    largest = L.bit_length() - 1
    scales = largest if K is None else whole_number(K)
    if scales is None or scales > largest:
        raise ScatteringError(
            f"K, the number of scales along the angle, must be an integer from 1 to {largest} with L={L} (2^K ≤ L), "
            f"or None for {largest}, got {K!r}"
        )
    return scales


def _check_scatnet(normalization: str, *, joint: bool, average_angles: bool) -> None:
    if normalization == "scatnet" and not (joint and average_angles):
        raise ScatteringError(
            "normalization='scatnet' has the factors of ScatNet's joint transform with averaged angles: it needs joint=True and "
            "average_angles=True"
        )
