"""Scattering whose wavelets are learned (Gauthier et al., "Parametric Scattering Networks", CVPR 2022). Its door is here.

Read in this order: `morlet` (the spectra as functions of the parameters), `bounds` (intervals that no step leaves), `banks`
(the forms of a bank and their parameters), `module` (`LearnedScattering2D`).
"""

from hybrid.scattering.learned.banks import Form, Init
from hybrid.scattering.learned.module import LearnedEngineName, LearnedScattering2D

__all__ = ["Form", "Init", "LearnedEngineName", "LearnedScattering2D"]
