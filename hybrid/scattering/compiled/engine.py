"""The scattering transform compiled for this machine's CPU, or for its GPUs."""

from __future__ import annotations

import logging
import math
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from hybrid.scattering.compiled.cache import CompilerError
from hybrid.scattering.compiled.choice import speedup
from hybrid.scattering.compiled.codelets.plans import is_supported
from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cpu.source import map_sizes
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.compiled.operator import apply
from hybrid.scattering.compiled.tables import Settings
from hybrid.scattering.transform import Scattering2D

_log = logging.getLogger(__name__)
# Pixels of the largest padded images whose gradient is compiled: it keeps some 100 bytes per pixel and thread. The torch engine
# takes a larger one by a few angles at a time.
_LARGEST_GRADIENT = 1100 * 1100


class CompiledScattering2D(Scattering2D):
    """`Scattering2D` with code generated for these sizes and compiled at first use: C++ on a CPU, CUDA C++ on an NVIDIA GPU.

    Parameters, shapes, values and errors are those of `hybrid.scattering.Scattering2D`. Its torch engine is asked for what this
    one does not do: float64, other devices, exported programs (they must run where no compiler is), the transforms of
    torch.func, second derivatives; and for everything where there is no compiler, or where a padded side is not a product of
    two factors of at most 64. A log line says which of the two computes.

    A CUDA graph may hold it, if it was called once before the capture, its gradient too if that is captured. The machine code
    is kept in a folder of the user's (`hybrid.scattering.compiled.cache`); a second process finds it there.
    """

    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")  # which have compiled code
    measured: ClassVar[bool] = False  # whether it must be the faster one, too

    def __init__(
        self, J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, pre_pad: bool = False
    ) -> None:
        super().__init__(J, shape, L, max_order, pre_pad=pre_pad)
        self._settings = Settings(J, self.shape, L, max_order, pre_pad)

    def _transform(self, images: Tensor) -> Tensor:
        if self._suits(images) and is_usable(
            self._settings, images.device.type, images.device.index or 0, self.devices, measured=self.measured
        ):
            return apply(images, self._settings)
        return super()._transform(images)

    def engine_on(self, device: torch.device | str) -> str:
        device = torch.device(device)
        if device.type not in ("cpu", "cuda"):
            return super().engine_on(device)
        return _choose(self._settings, device.type, device.index or 0, self.devices, self.measured)[1]

    def _suits(self, images: Tensor) -> bool:
        if images.dtype != torch.float32 or images.device.type not in ("cpu", "cuda"):
            return False
        if images.requires_grad and torch.is_grad_enabled() and math.prod(self.padded_shape) > _LARGEST_GRADIENT:
            return False
        # An exported program must run where no compiler is. torch.func cannot differentiate an operator of torch.library.
        return not torch.compiler.is_exporting() and not torch._C._are_functorch_transforms_active()


class AutoScattering2D(CompiledScattering2D):
    """The faster of the compiled and the torch engine, measured once per size and machine (`choice`)."""

    measured = True


class CpuScattering2D(CompiledScattering2D):
    """Compiled for CPUs only: on other devices it is the torch engine."""

    devices = ("cpu",)


class CudaScattering2D(CompiledScattering2D):
    """Compiled for GPUs only: on other devices it is the torch engine."""

    devices = ("cuda",)


@torch.compiler.assume_constant_result
def is_usable(
    settings: Settings,
    device: str,
    index: int,
    devices: tuple[str, ...] = ("cpu", "cuda"),
    *,
    measured: bool = False,
) -> bool:
    """Whether compiled code for these settings is there, or could be made now. The first answer is logged, and kept.

    measured: whether it must be faster than the torch engine, too.
    """
    return _choose(settings, device, index, devices, measured)[0]


@cache
def _choose(settings: Settings, device: str, index: int, devices: tuple[str, ...], measured: bool) -> tuple[bool, str]:
    """Whether the compiled engine computes, and that in words."""
    height, width = settings.shape
    usable, words, level = _decide(settings, device, index, devices, measured)
    words = f"scattering of {height}x{width} images, J={settings.J}: {words}"
    _log.log(level, words)
    return usable, words


def _decide(
    settings: Settings, device: str, index: int, devices: tuple[str, ...], measured: bool
) -> tuple[bool, str, int]:
    """Whether the compiled engine computes, which one does and why, and how loud to say it."""
    # Who asks for one engine by name is warned when it is another.
    level = logging.INFO if len(devices) > 1 else logging.WARNING
    if device not in devices:
        return False, f"torch engine (images on a device of type {device}, engine={'|'.join(devices)})", level
    if not all(map(is_supported, map_sizes(settings.padded, settings.J))):
        height, width = settings.padded
        return False, f"torch engine (padded to {height}x{width}, which codelets do not serve)", level
    try:
        engine = _build(settings, device, index)
    except CompilerError as error:
        return False, f"torch engine, several times slower than the compiled one: {error}", logging.WARNING
    if not measured:
        return True, engine, logging.INFO
    ratio = speedup(settings, device, index)
    chosen = engine if ratio > 1 else "torch engine"
    return (
        ratio > 1,
        f"{chosen}; measured here, {engine} is {ratio:.1f} times as fast as the torch engine",
        logging.INFO,
    )


def _build(settings: Settings, device: str, index: int) -> str:
    """What to call the engine that computes. Raises CompilerError if it cannot be built."""
    if device == "cpu":
        kernel_for(settings, batch=128)
        threads = torch.get_num_threads()
        return f"cpu engine, {threads} thread{'s' * (threads > 1)}"
    if torch.version.hip:
        raise CompilerError("there is no compiled code for AMD's GPUs")
    with torch.cuda.device(index):
        transform_for(settings, "forward", torch.device(device, index))
    return f"cuda engine, {torch.cuda.get_device_name(index)}"
