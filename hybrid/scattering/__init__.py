"""The 2-D scattering transform as a torch module.

Read in this order: `geometry` (which sizes fit, padding), `filters` (the Morlet bank, NumPy in float64), `paths` (which
channel is which), `interface` (what every engine does alike), `transform` and `gradient` (the torch engine),
`compiled_engine` (made of `codelets`, `tables`, `cpu` and `cuda`), `kymatio_engine`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from hybrid.scattering.compiled.engine import (
    AutoScattering2D,
    CompiledScattering2D,
    CpuScattering2D,
    CudaScattering2D,
)
from hybrid.scattering.interface import ScatteringModule
from hybrid.scattering.kymatio_engine import KymatioScattering2D
from hybrid.scattering.paths import Path, pyscatwave_order, scattering_paths
from hybrid.scattering.transform import Scattering2D

__all__ = [
    "AutoScattering2D",
    "CompiledScattering2D",
    "CpuScattering2D",
    "CudaScattering2D",
    "Engine",
    "KymatioScattering2D",
    "Path",
    "Scattering2D",
    "ScatteringModule",
    "engines_of",
    "make_scattering",
    "pyscatwave_order",
    "scattering_paths",
]

Engine = Literal["auto", "torch", "cpu", "cuda", "kymatio"]

_ENGINES: dict[str, type[ScatteringModule]] = {
    "auto": AutoScattering2D,
    "torch": Scattering2D,
    "cpu": CpuScattering2D,
    "cuda": CudaScattering2D,
    "kymatio": KymatioScattering2D,
}


def make_scattering(
    J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, pre_pad: bool = False, engine: Engine = "auto"
) -> ScatteringModule:
    """A scattering front-end of the named engine; every engine gives the same values and has the same interface.

    auto: compiled code for images on a CPU or an NVIDIA GPU, if it can be made and a short measurement at its first use finds it
    the faster one; else the torch engine.
    Raises ValueError for an unknown engine and for parameters that do not fit (see `Scattering2D`), ImportError when
    engine="kymatio" and kymatio is not installed.
    """
    if not isinstance(engine, str) or engine not in _ENGINES:
        raise ValueError(f"unknown scattering engine {engine!r}; valid: {', '.join(_ENGINES)}")
    return _ENGINES[engine](J, shape, L, max_order, pre_pad=pre_pad)


def engines_of(model: nn.Module, device: torch.device) -> list[str]:
    """Which engine computes each scattering transform of a model on this device, in words."""
    modules = (module for module in model.modules() if isinstance(module, ScatteringModule))
    return list(dict.fromkeys(module.engine_on(device) for module in modules))
