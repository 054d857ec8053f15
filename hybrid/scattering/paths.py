"""Which output channel is which path of wavelets."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Path(NamedTuple):
    """One scattering coefficient map.

    order: 0, 1 or 2, the number of wavelet-modulus steps. j1, j2: scales, 0 ≤ j1 < j2 < J; a larger j is a lower
    frequency. theta1, theta2: angle indices from 0 to L - 1 (`hybrid.scattering.filters.angle` gives radians). None
    where the order has no such step.
    """

    order: int
    j1: int | None = None
    theta1: int | None = None
    j2: int | None = None
    theta2: int | None = None


@cache  # asked for at every call of a compiled engine
def scattering_paths(J: int, L: int = 8, max_order: int = 2) -> tuple[Path, ...]:
    """The paths in the order of the output channels, which is kymatio's (0.2 and later).

    First the low-passed image, then order 1 by (j1, theta1), then order 2 by (j1, theta1) and, within it, (j2, theta2).
    There are 1 + L·J of them up to order 1, and L²·J·(J - 1)/2 more of order 2.
    """
    first = [(j, theta) for j in range(J) for theta in range(L)]
    paths = [Path(0)] + [Path(1, j1, theta1) for j1, theta1 in first]
    if max_order == 2:
        paths += [Path(2, *outer, *inner) for outer in first for inner in first if inner[0] > outer[0]]
    return tuple(paths)


def pyscatwave_order(J: int, L: int = 8, max_order: int = 2) -> tuple[int, ...]:
    """For each channel of pyscatwave's output, the number of the same path in `scattering_paths`.

    There each path of order 1 is followed by the paths of order 2 that begin with it. With coefficients S (N, C, paths, h, w)
    of this package, S[:, :, order] are pyscatwave's. The networks of 2017 were trained on those (Oyallon, Belilovsky,
    Zagoruyko, ICCV 2017, released code).
    """
    paths = scattering_paths(J, L, max_order)

    def place(number: int) -> tuple[int, ...]:
        return tuple(-1 if step is None else step for step in paths[number][1:])  # a path before those that it begins

    return tuple(sorted(range(len(paths)), key=place))
