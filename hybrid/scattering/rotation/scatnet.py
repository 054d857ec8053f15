"""By which factors ScatNet's coefficients of rotations and translations differ from ours.

They undo nothing else: borders, the direction of the angles and the sampling inside the transform stay ours. They matter where
a constant is added before a logarithm.
"""

from __future__ import annotations

import math

import numpy as np

from hybrid.scattering.filters import morlet_bank
from hybrid.scattering.rotation.parameters import RotationSettings


def factors(settings: RotationSettings) -> dict[str, np.ndarray]:
    """Name -> (P,), the factors of every path; their product times our coefficients is ScatNet's.

    wavelets: each spatial wavelet is multiplied by √(2 / max_ω Σ |ψ̂|²), the sum over all of one half plane.
    sampling: keeping every 2^d-th sample multiplies by 2^d, so 2^J in all.
    angles: the average is the sum of the 2L samples divided by 2^((K + 1) / 2), so 2L / 2^((K + 1) / 2) in place of 1. Of
    order 1 and the paths with φ, whose L samples are copied to make 2L, it is divided by √2. Order 0 has no angle: 1.
    """
    plane, paths = settings.plane, settings.paths
    wavelet = wavelet_factor(settings)
    average = 2 * plane.L / 2 ** ((settings.K + 1) / 2)
    spatial = np.array([(path.j1 is not None) + (path.j2 is not None) for path in paths])
    copied = np.array([path.order > 0 and path.j2 is None for path in paths])
    of_angles = np.where(copied, average / math.sqrt(2), average)
    of_angles[0] = 1.0
    return {"wavelets": wavelet**spatial, "sampling": np.full(len(paths), 2.0**plane.J), "angles": of_angles}


def wavelet_factor(settings: RotationSettings) -> float:
    """√(2 / max_ω Σ |ψ̂(ω)|²), the sum over the scales and the L angles."""
    plane = settings.plane
    bank = morlet_bank(plane.J, plane.padded, plane.L)
    energy = sum(np.square(bank.psi[j, 0]).sum(0) for j in range(plane.J))
    return math.sqrt(2 / float(np.max(energy)))
