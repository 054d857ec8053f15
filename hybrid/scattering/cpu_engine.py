"""The scattering transform compiled for this machine's CPU."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from hybrid.scattering.cpu.compiler import CompilerError
from hybrid.scattering.cpu.kernels import kernel_for
from hybrid.scattering.cpu.operator import apply
from hybrid.scattering.cpu.source import supports
from hybrid.scattering.tables import Settings
from hybrid.scattering.transform import Scattering2D

_log = logging.getLogger(__name__)


class CpuScattering2D(Scattering2D):
    """`Scattering2D` with C++ that is generated for these sizes and compiled at first use: several times faster on a CPU.

    Parameters, shapes, values and errors are those of `hybrid.scattering.Scattering2D`. Its torch engine is asked for what this
    one does not do: float64, other devices, exported programs (they must run where no compiler is), the transforms of
    torch.func, second derivatives; and for everything where there is no compiler, or where a padded side is not a product of
    two factors of at most 64. A log line says which of the two computes.

    The machine code is kept in a folder of the user's (`hybrid.scattering.cpu.cache`); a second process finds it there.
    """

    def __init__(
        self, J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, pre_pad: bool = False
    ) -> None:
        super().__init__(J, shape, L, max_order, pre_pad=pre_pad)
        self._settings = Settings(J, self.shape, L, max_order, pre_pad)

    def _transform(self, images: Tensor) -> Tensor:
        if _suits(images) and is_usable(self._settings):
            return apply(images, self._settings)
        return super()._transform(images)


def _suits(images: Tensor) -> bool:
    if images.dtype != torch.float32 or images.device.type != "cpu":
        return False
    # An exported program must run where no compiler is. torch.func cannot differentiate an operator of torch.library.
    return not torch.compiler.is_exporting() and not torch._C._are_functorch_transforms_active()


@torch.compiler.assume_constant_result
def is_usable(settings: Settings) -> bool:
    """Whether compiled code for these settings is there, or could be made now. The first answer is logged, and kept."""
    return _is_usable(settings)


@cache
def _is_usable(settings: Settings) -> bool:
    height, width = settings.shape
    what = f"scattering of {height}x{width} images, J={settings.J}"
    if not supports(settings.padded, settings.J):
        _log.info("%s: torch engine (padded to %dx%d, which codelets do not serve)", what, *settings.padded)
        return False
    try:
        kernel_for(settings, batch=128)
    except CompilerError as error:
        _log.warning("%s: torch engine, several times slower than the compiled one: %s", what, error)
        return False
    _log.info("%s: cpu engine, %d threads", what, torch.get_num_threads())
    return True
