"""The launch of a kernel, and the list of launches that makes up one direction of the transform."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from hybrid.scattering.compiled.codelets.cuda import scratch_numbers
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT
from hybrid.scattering.compiled.cuda.source import LANES, LARGEST_TEAM
from hybrid.scattering.geometry import Settings

_LINES_TOGETHER = 4  # short lines that one block of the grid takes, a warp each
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Launch:
    """The launch of one kernel on every line of outer · inner maps of every block of LANES images.

    size: numbers of a line; a short one is one warp's, a longer one a team's. arrays: by field of the Job (device.cu).
    table: which table of the Memory, and from which entry on. numbers: other fields of the Job.
    """

    kernel: str
    size: int
    lines: int
    outer: int
    inner: int
    arrays: dict[str, str]
    table: tuple[str, int] | None
    numbers: dict[str, int]

    @cached_property
    def warps(self) -> int:
        """The number of warps of a block of the grid."""
        return _LINES_TOGETHER if self.size <= LONGEST_STRAIGHT else LARGEST_TEAM

    def grid(self, blocks: int) -> int:
        """Return the number of the grid's blocks for this number of blocks of images."""
        lines = self.lines * self.outer * self.inner * blocks
        return -(-lines // _LINES_TOGETHER) if self.size <= LONGEST_STRAIGHT else lines

    @cached_property
    def shared_bytes(self) -> int:
        """The shared memory of a block of the grid, in bytes."""
        if self.size <= LONGEST_STRAIGHT:
            return 0
        return (self.numbers.get("keeps", 0) + scratch_numbers(self.size)) * LANES * _FLOAT


@dataclass
class Schedule:
    """The launches of one direction. sizes: how many numbers each workspace array has for one image."""

    settings: Settings
    sizes: dict[str, int] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)

    @property
    def bytes_per_block(self) -> int:
        """The workspace for LANES images, in bytes."""
        return sum(self.sizes.values()) * LANES * _FLOAT

    def reserve(self, array: str, numbers: int) -> None:
        self.sizes[array] = max(self.sizes.get(array, 0), numbers)
