"""The 2-D scattering transform as a torch module.

Read in this order: `geometry` (which sizes fit, padding), `filters` (the Morlet bank, NumPy in float64), `paths` (which
channel is which), `interface` (what every engine does alike), `transform` and `gradient` (the torch engine),
`compiled_engine` (made of `codelets`, `tables`, `cpu` and `cuda`), `kymatio_engine`.
"""

from __future__ import annotations

from typing import Literal

from hybrid.scattering.compiled_engine import CompiledScattering2D, CpuScattering2D, CudaScattering2D
from hybrid.scattering.interface import ScatteringModule
from hybrid.scattering.kymatio_engine import KymatioScattering2D
from hybrid.scattering.paths import Path, scattering_paths
from hybrid.scattering.transform import Scattering2D

__all__ = [
    "CompiledScattering2D",
    "CpuScattering2D",
    "CudaScattering2D",
    "Engine",
    "KymatioScattering2D",
    "Path",
    "Scattering2D",
    "ScatteringModule",
    "make_scattering",
    "scattering_paths",
]

Engine = Literal["auto", "torch", "cpu", "cuda", "kymatio"]

# auto needs no measurement: where the compiled engine can be used on a CPU it is the fastest, at every size and batch that was
# measured (docs/scattering.md), and for what it does not serve it is the torch engine. On GPUs nothing was measured yet.
_ENGINES: dict[str, type[ScatteringModule]] = {
    "auto": CompiledScattering2D,
    "torch": Scattering2D,
    "cpu": CpuScattering2D,
    "cuda": CudaScattering2D,
    "kymatio": KymatioScattering2D,
}


def make_scattering(
    J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, engine: Engine = "torch"
) -> ScatteringModule:
    """A scattering front-end of the named engine; every engine gives the same values and has the same interface.

    auto: compiled code for images on a CPU or an NVIDIA GPU, the torch engine on other devices or where there is no compiler.
    Raises ValueError for an unknown engine and for parameters that do not fit (see `Scattering2D`), ImportError when
    engine="kymatio" and kymatio is not installed.
    """
    if engine not in _ENGINES:
        raise ValueError(f"unknown scattering engine {engine!r}; valid: {', '.join(_ENGINES)}")
    return _ENGINES[engine](J, shape, L, max_order)
