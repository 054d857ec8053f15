"""One transform on one device: it keeps the tables there, and launches kernels on a piece of the batch at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from hybrid.scattering.compiled.cuda.launches import Launch, Schedule
from hybrid.scattering.compiled.cuda.memory import make_memory
from hybrid.scattering.compiled.cuda.schedule import make_schedule
from hybrid.scattering.compiled.cuda.source import LANES
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.compiled.tables import Plan
from hybrid.scattering.geometry import Settings

# Workspace of one piece of the batch. Less of it would stay in the second-level cache (H100 and H200: 50 MB), but pieces must
# fill the device, and every piece costs the host a few microseconds per launch: 128 colour images of 32x32 pixels are one piece
# here, 128 of 96x96 four. A guess: scripts/measure_gpu.py tries several.
WORKSPACE_BYTES = 256 * 2**20
ALIGNMENT = 16  # bytes: coefficients and their gradients are written and read as words of this size
_FLOAT = 4  # bytes


class Job(ctypes.Structure):
    """See device.cu."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("in", "other", "out", "also", "table")],
        *[(name, ctypes.c_int) for name in ("images", "blocks", "outer", "inner", "lines", "keeps", "from")],
        *[(name, ctypes.c_int) for name in ("channel", "channel_step", "columns", "filters", "add")],
    ]


class Launcher(Protocol):
    """An object that runs kernels: on a GPU (`hybrid.scattering.compiled.cuda.driver.Kernels`), or on the CPU in tests."""

    def begin(self) -> Callable[[Launch, int, int], None]:
        """Return a function (launch, grid, parameters) for the launches of one call.

        parameters: the address of an array of two pointers, to a Plan and to a Job, which it reads before it returns.
        """


class Transform:
    """One direction of the transform of one `Settings` on one device. Its functions return before the device has finished."""

    def __init__(self, settings: Settings, direction: Direction, device: torch.device, launcher: Launcher) -> None:
        self.settings, self.direction, self.device, self._launcher = settings, direction, device, launcher
        memory = make_memory(settings, direction)
        self._tables = torch.empty(len(memory.contents), dtype=torch.uint8, device=device)
        address = self._tables.data_ptr()
        self._tables.copy_(torch.from_numpy(memory.at(address)))
        self._plan: Plan = memory.plan(address)
        self._places = {name: (address + begin, size) for name, (begin, size) in memory.begins.items()}
        self._prepared: dict[int, list[tuple[Launch, Job]]] = {}

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) float32 -> (B, P, h, w)."""
        coefficients = images.new_empty(len(images), *self.settings.output_shape)
        self._run({"images": images.contiguous(), "coefficients": coefficients})
        return coefficients

    def backward(self, images: Tensor, gradients: Tensor) -> Tensor:
        """Gradients (B, P, h, w) with respect to the coefficients -> (B, H, W) with respect to the images."""
        result = torch.empty_like(images, memory_format=torch.contiguous_format)
        gradients = gradients.contiguous()
        if gradients.data_ptr() % ALIGNMENT:  # a view that begins in the middle of something
            gradients = gradients.clone()
        self._run({"images": images.contiguous(), "gradients": gradients, "of_images": result})
        return result

    def _run(self, tensors: dict[str, Tensor]) -> None:
        count = len(tensors["images"])
        if not count:
            return
        blocks = -(-count // LANES)
        schedule, most = choose_schedule(self.settings, self.direction, WORKSPACE_BYTES)
        step = -(-blocks // -(-blocks // most))  # pieces of one size
        numbers = step * LANES * sum(schedule.sizes.values())
        workspace = torch.empty(numbers, dtype=torch.float32, device=self.device)
        addresses, strides = _places(schedule, workspace, step), {n: t[0].numel() * _FLOAT for n, t in tensors.items()}
        for first in range(0, count, step * LANES):
            for name, tensor in tensors.items():
                addresses[name] = tensor.data_ptr() + first * strides[name]
            self._launch(schedule, addresses, min(count - first, step * LANES))

    def _launch(self, schedule: Schedule, addresses: dict[str, int], images: int) -> None:
        """Run all launches on one piece of the batch."""
        run, job, blocks = self._launcher.begin(), Job(), -(-images // LANES)
        parameters = (ctypes.c_void_p * 2)(ctypes.addressof(self._plan), ctypes.addressof(job))
        for launch, template in self._jobs(schedule):
            ctypes.memmove(ctypes.addressof(job), ctypes.addressof(template), ctypes.sizeof(Job))
            job.images, job.blocks = images, blocks
            for field, array in launch.arrays.items():
                setattr(job, field, addresses[array])
            run(launch, launch.grid(blocks), ctypes.addressof(parameters))

    def _jobs(self, schedule: Schedule) -> list[tuple[Launch, Job]]:
        """Return the launches, each with the parts of its Job that are the same in every call."""
        key = id(schedule)  # choose_schedule keeps its schedules for ever
        if key not in self._prepared:
            self._prepared[key] = [(launch, self._template(launch)) for launch in schedule.launches]
        return self._prepared[key]

    def _template(self, launch: Launch) -> Job:
        job = Job(outer=launch.outer, inner=launch.inner, lines=launch.lines)
        for name, number in launch.numbers.items():
            setattr(job, name, number)
        if launch.table:
            name, entry = launch.table
            place, size = self._places[name]
            job.table = place + entry * size
        return job


def _places(schedule: Schedule, workspace: Tensor, blocks: int) -> dict[str, int]:
    """Return the address of each workspace array for this number of blocks."""
    places, address = {}, workspace.data_ptr()
    for name, numbers in schedule.sizes.items():
        places[name] = address
        address += numbers * LANES * _FLOAT * blocks
    return places


@cache
def choose_schedule(settings: Settings, direction: Direction, budget: int) -> tuple[Schedule, int]:
    """Return a schedule, and how many blocks of images to take at once for a workspace of `budget` bytes, if possible."""
    groups = sorted({-(-settings.L // parts) for parts in range(1, settings.L + 1)}, reverse=True)
    schedules = [make_schedule(settings, direction, group) for group in groups]
    chosen = next((schedule for schedule in schedules if schedule.bytes_per_block <= budget), schedules[-1])
    return chosen, max(1, budget // chosen.bytes_per_block)
