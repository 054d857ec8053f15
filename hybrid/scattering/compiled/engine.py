"""The engine that is compiled for this machine's CPU, or for its GPUs, and that asks the torch engine for the rest."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from hybrid.scattering.compiled import CompilerError, selftest
from hybrid.scattering.compiled.codelets.plans import is_supported
from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.compiled.fastest_engine import speedup
from hybrid.scattering.compiled.operator import apply, apply_learned
from hybrid.scattering.empty import is_exporting
from hybrid.scattering.geometry import Settings, map_sizes
from hybrid.scattering.spectral import is_transformed
from hybrid.scattering.torch_engine import Filters, FourierEngine, TorchEngine, keep_precision, records_gradients

_log = logging.getLogger(__name__)
# Pixels of the largest padded images whose gradient is compiled: it keeps some 100 bytes per pixel and thread. The torch engine
# takes a larger one by a few angles at a time.
_LARGEST_GRADIENT = 1100 * 1100


class CompiledEngine(nn.Module):
    """(B, H, W) images, B ≥ 1 -> (B, P, h, w) coefficients of the same type: C++ on a CPU, CUDA C++ on an NVIDIA GPU.

    The code is generated for these sizes and compiled at the first call. The torch engine computes what compiled code does
    not do: float64, other devices, exported programs (they must run where no compiler is), the transforms of torch.func,
    forward-mode and second derivatives. It computes everything where there is no compiler, or where a padded side is not a
    product of two factors of at most 64. A log line says which of the two computes.

    A CUDA graph may hold it, if it was called once before the capture, its gradient too if that is captured. The machine code
    is kept in a folder of the user's (`hybrid.scattering.compiled.cache`), where later processes find it.

    devices: the types of device that get compiled code. measured: compiled code must also be the faster one here, and a GPU must
    have passed its self-test (`fastest_engine`, `selftest`).
    """

    def __init__(self, settings: Settings, *, devices: tuple[str, ...], measured: bool) -> None:
        super().__init__()
        self.settings, self.devices, self.measured = settings, devices, measured
        self.torch_engine = TorchEngine(settings)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        if _suits(self.settings, images) and is_usable(
            self.settings, images.device.type, images.device.index or 0, self.devices, measured=self.measured
        ):
            return apply(images, self.settings)
        return self.torch_engine.forward(images)

    def words(self, device: torch.device) -> str:
        """Which engine computes float32 images on this device, and why."""
        if device.type not in ("cpu", "cuda"):
            return self.torch_engine.words(device)
        return _choose(self.settings, device.type, device.index or 0, self.devices, self.measured).words

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CompiledEngine:
        return super()._apply(keep_precision(fn), recurse)


class LearnedEngine(FourierEngine):
    """`FourierEngine` in compiled code on a CPU: the code of `CompiledEngine`, with filters that come with each call.

    It gives the gradients of the images and of the filters. Torch operations compute what they compute for `CompiledEngine`,
    and everything on other devices than a CPU.

    measured: compiled code must also be the faster one here.
    """

    def __init__(self, settings: Settings, *, measured: bool) -> None:
        super().__init__(settings)
        # the fixed engine's words, so that both are asked once
        self.devices, self.measured = ("cpu", "cuda") if measured else ("cpu",), measured

    def transform(self, images: Tensor, filters: Filters) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        if (
            images.device.type == "cpu"
            and _suits(self.settings, images, *filters.values())
            and is_usable(self.settings, "cpu", 0, self.devices, measured=self.measured)
        ):
            return apply_learned(images, filters, self.settings)
        return super().transform(images, filters)

    def words(self, device: torch.device) -> str:
        """Which engine computes float32 images on this device, and why."""
        if device.type != "cpu":
            return f"torch engine (learned wavelets on a device of type {device.type})"
        return _choose(self.settings, "cpu", 0, self.devices, self.measured).words


def _suits(settings: Settings, images: Tensor, *filters: Tensor) -> bool:
    """Whether compiled code computes such a call at all."""
    if images.dtype != torch.float32 or images.device.type not in ("cpu", "cuda"):
        return False
    if math.prod(settings.padded) > _LARGEST_GRADIENT and any(map(records_gradients, (images, *filters))):
        return False
    # An exported program must run where no compiler is. An operator of torch.library has no forward derivative.
    return not is_exporting() and not is_transformed()


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
    return _choose(settings, device, index, devices, measured).compiled


# A compiler that traces the caller asks once and takes the answer as constant. torch.compiler.assume_constant_result does the
# same, but imports torch._dynamo, which takes as long as torch itself.
is_usable._dynamo_marked_constant = True  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Choice:
    """Whether the compiled engine computes, the same in words, and the level at which to log them."""

    compiled: bool
    words: str
    level: int = logging.INFO


@cache
def _choose(settings: Settings, device: str, index: int, devices: tuple[str, ...], measured: bool) -> Choice:
    height, width = settings.shape
    choice = _decide(settings, device, index, devices, measured)
    _log.log(choice.level, f"scattering of {height}x{width} images, J={settings.J}: {choice.words}")
    return choice


def _decide(settings: Settings, device: str, index: int, devices: tuple[str, ...], measured: bool) -> Choice:
    # Who asks for one engine by name is warned when it is another.
    level = logging.INFO if len(devices) > 1 else logging.WARNING
    if device not in devices:
        return Choice(False, f"torch engine (images on a device of type {device}, engine={'|'.join(devices)})", level)
    if not all(map(is_supported, map_sizes(settings.padded, settings.J))):
        height, width = settings.padded
        return Choice(False, f"torch engine (padded to {height}x{width}, which codelets do not serve)", level)
    try:
        if measured and device == "cuda":
            verdict = selftest.verdict(index)
            if not verdict.passed:
                return Choice(False, f"torch engine; {verdict.line}", logging.WARNING)
        engine = _build(settings, device, index)
    except CompilerError as error:
        slower = "torch engine, several times slower than the compiled one"
        return Choice(False, f"{slower}: {error}", logging.WARNING)
    return _measured(settings, device, index, engine) if measured else Choice(True, engine)


def _measured(settings: Settings, device: str, index: int, engine: str) -> Choice:
    """The faster one of the compiled engine, here called `engine`, and the torch engine."""
    ratio = speedup(settings, device, index)
    # No number: a few calls on a machine that does other work tell which one is faster, and not by how much.
    if ratio > 1:
        return Choice(True, f"{engine}; measured here, it is faster than the torch engine")
    return Choice(False, f"torch engine; measured here, it is faster than {engine}")


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
