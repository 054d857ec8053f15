"""The engine of rotations and translations that is compiled for this machine's CPU; the torch engine does the rest."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.codelets.plans import is_supported
from hybrid.scattering.compiled.cpu.rotation_kernels import rotation_kernel_for
from hybrid.scattering.compiled.cpu.rotation_source import LARGEST_L
from hybrid.scattering.compiled.engine import Choice
from hybrid.scattering.compiled.rotation_operator import apply
from hybrid.scattering.empty import is_exporting
from hybrid.scattering.geometry import map_sizes
from hybrid.scattering.rotation.engine import RotationEngine
from hybrid.scattering.rotation.parameters import RotationSettings
from hybrid.scattering.spectral import is_transformed
from hybrid.scattering.torch_engine import keep_precision

_log = logging.getLogger(__name__)
# Pixels of the largest padded images whose gradient is compiled: it keeps some 700 bytes per pixel and thread.
_LARGEST_GRADIENT = 600 * 600


class CompiledRotationEngine(nn.Module):
    """(B, H, W) images, B ≥ 1 -> (B, P, h, w) coefficients of the same type: C++ on a CPU, for averaged angles.

    The code is generated for these sizes and compiled at the first call, as that of `CompiledEngine`. The torch engine computes
    what compiled code does not do: other devices, float64, angles that are kept, exported programs, the transforms of
    torch.func, forward-mode and second derivatives. It computes everything where there is no compiler, where a padded side is
    not a product of two factors of at most 64, or where L is above 24. A log line says which of the two computes.

    named: the user asked for compiled code, and is warned where it cannot be had.
    """

    def __init__(self, settings: RotationSettings, *, named: bool) -> None:
        super().__init__()
        self.settings, self.named = settings, named
        self.torch_engine = RotationEngine(settings)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        if self._suits(images) and is_usable(self.settings, named=self.named):
            return apply(images, self.settings)
        return self.torch_engine.forward(images)

    def words(self, device: torch.device) -> str:
        """Which engine computes float32 images on this device, and why."""
        if device.type != "cpu":
            return self.torch_engine.words(device)
        return _choose(self.settings, self.named).words

    def _suits(self, images: Tensor) -> bool:
        if images.dtype != torch.float32 or images.device.type != "cpu":
            return False
        if (
            images.requires_grad
            and torch.is_grad_enabled()
            and math.prod(self.settings.plane.padded) > _LARGEST_GRADIENT
        ):
            return False
        # An exported program must run where no compiler is. An operator of torch.library has no forward derivative.
        return not is_exporting() and not is_transformed()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CompiledRotationEngine:
        return super()._apply(keep_precision(fn), recurse)


def is_usable(settings: RotationSettings, *, named: bool) -> bool:
    """Whether compiled code for these settings is there, or could be made now. The first answer is logged, and kept."""
    return _choose(settings, named).compiled


is_usable._dynamo_marked_constant = True  # type: ignore[attr-defined]  # as in `engine`


@cache
def _choose(settings: RotationSettings, named: bool) -> Choice:
    height, width = settings.plane.shape
    choice = _decide(settings, named)
    _log.log(
        choice.level, f"roto-translation scattering of {height}x{width} images, J={settings.plane.J}: {choice.words}"
    )
    return choice


def _decide(settings: RotationSettings, named: bool) -> Choice:
    level, plane = logging.WARNING if named else logging.INFO, settings.plane
    height, width = plane.padded
    if not settings.average_angles:
        return Choice(False, "torch engine (average_angles=False)", level)
    if plane.L > LARGEST_L:
        return Choice(False, f"torch engine (L={plane.L}; compiled code has at most {LARGEST_L} angles)", level)
    if not all(map(is_supported, map_sizes(plane.padded, plane.J))):
        return Choice(False, f"torch engine (padded to {height}x{width}, which codelets do not serve)", level)
    try:
        rotation_kernel_for(settings, batch=128)
    except CompilerError as error:
        return Choice(False, f"torch engine, several times slower than the compiled one: {error}", logging.WARNING)
    threads = torch.get_num_threads()
    return Choice(True, f"cpu engine, {threads} thread{'s' * (threads > 1)}")
