"""How many floating-point operations the Fourier transforms of one image take: an estimate for descriptions of models.

A complex transform of n points counts 5 n log2 n, a real one half of that. The algorithm subsamples at every scale (Bruna and
Mallat 2013), on the padded image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hybrid.scattering.geometry import Settings


def translation_flops(settings: Settings) -> int:
    """Of `Scattering2D`."""
    J, L, fourier = settings.J, settings.L, _transform_of(settings)
    low_pass = fourier(J) / 2
    total = fourier(0) / 2 + low_pass
    for j1 in range(J):
        total += L * (1.5 * fourier(j1) + low_pass)
        if settings.max_order == 2:
            total += L**2 * sum(1.5 * fourier(j2) + low_pass for j2 in range(j1 + 1, J))
    return round(total)


def rotation_flops(settings: Settings, K: int) -> int:
    """Of `RotoTranslationScattering2D`, whose low-passes follow the averages over angles."""
    J, L, fourier = settings.J, settings.L, _transform_of(settings)
    low_pass = fourier(J) / 2
    total = fourier(0) / 2 + low_pass
    for j1 in range(J):
        smoothed = L * fourier(j1) / 2 + K * (fourier(j1) / 2 + low_pass)
        total += L * 1.5 * fourier(j1) + low_pass + smoothed
        for j2 in range(j1 + 1, J):
            total += L**2 * fourier(j2) + L * (K + 1) * (fourier(j2) / 2 + low_pass)
    return round(total)


def _transform_of(settings: Settings) -> Callable[[int], float]:
    """Octave -> the operations of a complex transform of a map that is sampled every 2^octave pixels."""
    pixels = math.prod(settings.padded)

    def fourier(octave: int) -> float:
        points = pixels / 4**octave
        return 5 * points * math.log2(max(points, 2))

    return fourier
