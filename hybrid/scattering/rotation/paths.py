"""Which output channel is which path, of the transform on rotations and translations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

LOWPASS = -1  # k2 of the average along the angle


class RotationPath(NamedTuple):
    """One coefficient map.

    order: 0, 1 or 2, the number of wavelet-modulus steps. j1, j2: the spatial scales, 0 ≤ j1 < j2 < J. theta2: the angle index of
    the second wavelet, 0 to L - 1; in the joint transform it is relative to the angle of the first. k2: the scale of the
    wavelet along the angle, 0 to K - 1, or -1 for the low-pass along it. theta1: the angle index of the first wavelet, where
    angles are not averaged. None where a path has no such step: a path of order 2 without j2 has the spatial low-pass φ there.
    """

    order: int
    j1: int | None = None
    j2: int | None = None
    theta2: int | None = None
    k2: int | None = None
    theta1: int | None = None


@cache
def rotation_paths(J: int, L: int = 8, K: int = 3, *, average_angles: bool = True) -> tuple[RotationPath, ...]:
    """The paths in the order of the output channels: 1 + J + J·K + L·(K + 1)·J·(J - 1)/2 where angles are averaged.

    First the low-passed image, then order 1 by j1, then order 2 by j1: φ with each k2, then by (j2, theta2, k2).
    Without the average each path, but for order 0, is there for every angle theta1, innermost. There are L of them where the
    second half of the turn repeats the first (order 1, φ, and k2 = -1), else 2L.
    """
    averaged = [RotationPath(0), *(RotationPath(1, j1) for j1 in range(J))]
    averaged += [path for j1 in range(J) for path in _second_order(J, L, K, j1)]
    if average_angles:
        return tuple(averaged)
    return tuple(path._replace(theta1=theta1) for path in averaged for theta1 in _angles(path, L))


def _second_order(J: int, L: int, K: int, j1: int) -> Iterator[RotationPath]:
    yield from (RotationPath(2, j1, k2=k2) for k2 in range(K))
    scales = range(LOWPASS, K)
    yield from (RotationPath(2, j1, j2, theta2, k2) for j2 in range(j1 + 1, J) for theta2 in range(L) for k2 in scales)


def _angles(path: RotationPath, L: int) -> tuple[int | None, ...]:
    if path.order == 0:
        return (None,)
    both = path.j2 is not None and path.k2 != LOWPASS
    return tuple(range(2 * L if both else L))
