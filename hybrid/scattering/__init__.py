"""The 2-D scattering transform as a torch module. It needs torch and NumPy alone.

Read in this order: `paths` (which channel is which), `geometry` (which sizes fit, padding), `filters` (the Morlet bank, NumPy
in float64), `torch_engine` with its operations in `spectral` (the transform and its gradient), `transform` (what all modules
take), `module` (`Scattering2D`, which chooses an engine), `kymatio_interface` (kymatio's names and formats). `learned` has the
transform whose wavelets are parameters, `rotation` the one of rotations and translations together. `compiled` is a wing of its
own, and `kymatio_engine` and `sklearn_transformer` are for those who have these packages.
"""

from __future__ import annotations

from typing import Any

from hybrid.scattering.geometry import ScatteringError
from hybrid.scattering.learned import LearnedScattering2D
from hybrid.scattering.module import Engine, Scattering2D, TorchScattering2D, engines_of
from hybrid.scattering.paths import Path, pyscatwave_order, scattering_paths
from hybrid.scattering.rotation import RotoTranslationScattering2D
from hybrid.scattering.transform import ImageTransform

__all__ = [
    "Engine",
    "ImageTransform",
    "LearnedScattering2D",
    "Path",
    "RotoTranslationScattering2D",
    "Scattering2D",
    "ScatteringError",
    "TorchScattering2D",
    "engines_of",
    "pyscatwave_order",
    "scattering_paths",
]


def __getattr__(name: str) -> Any:
    if name == "ScatteringTransformer2D":  # it needs scikit-learn
        from hybrid.scattering.sklearn_transformer import ScatteringTransformer2D

        return ScatteringTransformer2D
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
