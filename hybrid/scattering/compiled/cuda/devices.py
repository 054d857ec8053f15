"""Transforms on GPUs. Each is compiled, loaded and checked once for each device."""

from __future__ import annotations

import threading
from functools import cache

import torch

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.check import check
from hybrid.scattering.compiled.cuda.compiler import load_code
from hybrid.scattering.compiled.cuda.driver import Kernels
from hybrid.scattering.compiled.cuda.kernels import Transform
from hybrid.scattering.compiled.cuda.schedule import make_schedule
from hybrid.scattering.compiled.cuda.source import cuda_source, kernel_names
from hybrid.scattering.compiled.source_parts import DIRECTIONS, Direction
from hybrid.scattering.geometry import Settings

_building = threading.Lock()


def transform_for(settings: Settings, direction: Direction, device: torch.device) -> Transform:
    """Return the transform on this CUDA device, which has an index. Raises CompilerError where it cannot be built."""
    with _building:
        return _transform(settings, direction, device)


@cache
def _transform(settings: Settings, direction: Direction, device: torch.device) -> Transform:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "call the scattering, and its gradient, once before a CUDA graph is captured: they must be loaded"
        )
    properties = torch.cuda.get_device_properties(device)
    height, width = settings.padded
    needed = shared_bytes(settings)
    if needed > getattr(properties, "shared_memory_per_block_optin", 48 * 1024):  # torch 2.6 may not know
        raise CompilerError(f"{properties.name} has too little shared memory for images padded to {height}x{width}")
    source, names = (
        cuda_source(settings.padded, settings.J, direction, dropped=settings.dropped),
        kernel_names(settings.J, direction),
    )
    name = f"cuda-{direction}-{height}x{width}-J{settings.J}"
    code = load_code(source, name, (properties.major, properties.minor))
    kernels = Kernels(code, [f"{kernel}_{level}" for kernel, level in names], needed, device)
    transform = Transform(settings, direction, device, kernels)
    check(transform)
    torch.cuda.synchronize(device)  # the tables are there, whatever stream comes next
    return transform


def shared_bytes(settings: Settings) -> int:
    """Return the most shared memory, in bytes, that a block of the grid needs, in either direction."""
    return max(launch.shared_bytes for way in DIRECTIONS for launch in make_schedule(settings, way, 1).launches)
