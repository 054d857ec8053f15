"""Scattering on rotations and translations together (Sifre & Mallat, CVPR 2013). Its door is here.

Read in this order: `paths` (which channel is which), `angular` (the wavelets along the angle), `parameters` (which values fit),
`engine` (the transform on torch operations), `scatnet` (the factors of the original code), `module`
(`RotoTranslationScattering2D`). Compiled code for it is in `hybrid.scattering.compiled.rotation_engine`.
"""

from hybrid.scattering.rotation.module import RotationEngineName, RotoTranslationScattering2D
from hybrid.scattering.rotation.parameters import Normalization, Output
from hybrid.scattering.rotation.paths import RotationPath, rotation_paths

__all__ = [
    "Normalization",
    "Output",
    "RotationEngineName",
    "RotationPath",
    "RotoTranslationScattering2D",
    "rotation_paths",
]
