"""Scattering on rotations and translations together (Sifre & Mallat, CVPR 2013). Its door is here.

Read in this order: `paths` (which channel is which), `angular` (the wavelets along the angle), `parameters` (which values fit),
`engine` (the transform), `scatnet` (the factors of the original code), `module` (`RotoTranslationScattering2D`).
"""

from hybrid.scattering.rotation.module import RotoTranslationScattering2D
from hybrid.scattering.rotation.parameters import Normalization, Output
from hybrid.scattering.rotation.paths import RotationPath, rotation_paths

__all__ = ["Normalization", "Output", "RotationPath", "RotoTranslationScattering2D", "rotation_paths"]
