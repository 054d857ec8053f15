"""Whether the compiled or the torch engine is faster here: measured once per machine and size, kept beside the compiled code."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch.utils._python_dispatch import _disable_current_modes

from hybrid.cache_folder import NoCacheFolder
from hybrid.scattering.compiled.cache import cached_file, sources
from hybrid.scattering.compiled.cpu.compiler import find_compiler, identity
from hybrid.scattering.compiled.operator import apply
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import TorchEngine
from hybrid.version import __version__

# Of the batch that is measured, at most. It takes the torch engine half a second on one core.
_IMAGES, _PIXELS = 64, 64 * 112 * 112
_ROUNDS, _ENOUGH = 3, 1.0  # rounds at most; and seconds after which no other begins, for large images


@cache
def speedup(settings: Settings, device: str, index: int) -> float:
    """How many times as fast as the torch engine the compiled one is here, forward, on 64 small images or a few large ones.

    Measured at the first use of a size on a machine with this many threads, then read from the cache folder: runs that go on
    later, and other processes, decide alike. Where that folder cannot be written it is measured in every process.
    """
    height, width = settings.shape

    def write(path: Path) -> None:
        path.write_text(json.dumps(measure(settings, device, index)))

    try:
        name = f"speed-{device}-{height}x{width}-J{settings.J}"
        seconds = json.loads(cached_file(name, _conditions(settings, device, index), "json", write).read_text())
    except NoCacheFolder:
        seconds = measure(settings, device, index)
    return seconds["torch"] / seconds["compiled"]


def _conditions(settings: Settings, device: str, index: int) -> str:
    """All that the measurement depends on."""
    if device == "cuda":
        machine = f"{torch.cuda.get_device_name(index)} {torch.version.cuda}"
    else:
        machine = f"{identity(tuple(find_compiler()))} {torch.get_num_threads()}"
    boundary = " periodic" * settings.periodic  # which the words of the settings do not say
    return f"{settings}{boundary} {machine} {torch.__version__} {__version__} {sources()}"


@_disable_current_modes()  # a compiler that traces the caller would see these tensors
@torch.no_grad()
def measure(settings: Settings, device: str, index: int) -> dict[str, float]:
    """Seconds of one call with each engine, the least of a few alternating calls."""
    where = torch.device(device, index if device == "cuda" else None)
    engine = TorchEngine(settings).to(where)
    count = min(_IMAGES, max(1, _PIXELS // math.prod(settings.padded)))
    images = torch.rand(count, *settings.input_shape, generator=torch.Generator().manual_seed(0)).to(where)
    calls = {"torch": lambda: engine(images), "compiled": lambda: apply(images, settings)}
    seconds = dict.fromkeys(calls, math.inf)
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            seconds[name] = min(seconds[name], _seconds(call, where))
        if time.perf_counter() - started > _ENOUGH:
            break
    return seconds


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """The time of one call, until the device has finished."""
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started
