"""One transform on one device: its tables there, its workspace, and its launches, a piece of the batch at a time."""

from __future__ import annotations

import ctypes
from functools import cache, cached_property
from typing import Protocol

import torch
from torch import Tensor

from hybrid.scattering.cpu.source import Direction
from hybrid.scattering.cuda.schedule import Launch, Schedule, make_schedule
from hybrid.scattering.cuda.source import LANES
from hybrid.scattering.cuda.tables import make_memory
from hybrid.scattering.tables import Plan, Settings

# Workspace of one piece of the batch. It should stay in the second-level cache (H100 and H200: 50 MB), and a piece should still fill
# the device. A guess: scripts/measure_gpu.py tries several.
WORKSPACE_BYTES = 64 * 2**20
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
    """What runs one kernel: a GPU's driver, or the CPU in tests."""

    def __call__(self, launch: Launch, grid: int, parameters: int) -> None:
        """parameters: the address of an array of two pointers, to a Plan and to a Job. They are read before this returns."""


class Transform:
    """One direction of the transform of one `Settings` on one device. Its functions return before the device has finished."""

    def __init__(self, settings: Settings, direction: Direction, device: torch.device, launcher: Launcher) -> None:
        self.settings, self.direction, self.device, self._launcher = settings, direction, device, launcher
        memory = make_memory(settings, direction)
        self._tables = torch.empty(len(memory.contents), dtype=torch.uint8, device=device)
        address = self._tables.data_ptr()
        self._tables.copy_(torch.from_numpy(memory.at(address)))
        self._plan: Plan = memory.plan(address)
        self._begins = {name: address + begin for name, begin in memory.begins.items()}

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
        pieces = -(-blocks // most)
        step = -(-blocks // pieces)  # pieces of one size
        workspace = torch.empty(step * schedule.bytes_per_block // _FLOAT, device=self.device)
        addresses = _places(schedule, workspace, step)
        strides = {name: tensor[0].numel() * _FLOAT for name, tensor in tensors.items()}
        for first in range(0, blocks, step):
            images = min(count - first * LANES, step * LANES)
            for name, tensor in tensors.items():
                addresses[name] = tensor.data_ptr() + first * LANES * strides[name]
            self._launch(self._jobs(schedule), addresses, images)

    def _launch(self, jobs: list[tuple[Launch, Job]], addresses: dict[str, int], images: int) -> None:
        job = Job()
        parameters = (ctypes.c_void_p * 2)(ctypes.addressof(self._plan), ctypes.addressof(job))
        blocks = -(-images // LANES)
        for launch, template in jobs:
            ctypes.memmove(ctypes.addressof(job), ctypes.addressof(template), ctypes.sizeof(Job))
            job.images, job.blocks = images, blocks
            for field, array in launch.arrays.items():
                setattr(job, field, addresses[array])
            self._launcher(launch, launch.grid(blocks), ctypes.addressof(parameters))

    @cached_property
    def _prepared(self) -> dict[int, list[tuple[Launch, Job]]]:
        return {}

    def _jobs(self, schedule: Schedule) -> list[tuple[Launch, Job]]:
        """The launches with what is the same in every call."""
        key = id(schedule)  # schedules are kept for ever
        if key not in self._prepared:
            self._prepared[key] = [(launch, self._template(launch)) for launch in schedule.launches]
        return self._prepared[key]

    def _template(self, launch: Launch) -> Job:
        job = Job(outer=launch.outer, inner=launch.inner, lines=launch.lines)
        for name, number in launch.numbers.items():
            setattr(job, name, number)
        if launch.table:
            name, entry = launch.table
            job.table = self._begins[name] + entry * ENTRY_BYTES[name]
        return job


# Of the tables whose entries are structures of pointers.
ENTRY_BYTES = {"first": 40, "second": 40, "first_weights": 16, "second_weights": 16, "positions": 32}


def _places(schedule: Schedule, workspace: Tensor, blocks: int) -> dict[str, int]:
    """Addresses of the workspace arrays for so many blocks."""
    places, address = {}, workspace.data_ptr()
    for name, numbers in schedule.sizes.items():
        places[name] = address
        address += numbers * LANES * _FLOAT * blocks
    return places


@cache
def choose_schedule(settings: Settings, direction: Direction, budget: int) -> tuple[Schedule, int]:
    """The schedule and how many blocks of images to take at once, so that the workspace stays within `budget` bytes if it can."""
    groups = sorted({-(-settings.L // parts) for parts in range(1, settings.L + 1)}, reverse=True)
    schedules = [make_schedule(settings, direction, group) for group in groups]
    chosen = next((schedule for schedule in schedules if schedule.bytes_per_block <= budget), schedules[-1])
    return chosen, max(1, budget // chosen.bytes_per_block)
