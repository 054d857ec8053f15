"""A kernel whose library counts the time of each stage of the transform."""

from __future__ import annotations

import ctypes
from typing import ClassVar

from torch import Tensor

from hybrid.scattering.compiled.cpu.kernels import Kernel, lanes_and_layout
from hybrid.scattering.compiled.cpu.source import STAGES
from hybrid.scattering.geometry import Settings

ORDERS = 3


class StagedKernel(Kernel):
    """The forward transform that `kernel_for` gives for a batch of this size, compiled with counters, for one thread.

    The counters cost some time themselves, in proportion to the number of lines. Raises CompilerError where it cannot be built.
    """

    stages: ClassVar[bool] = True

    def __init__(self, settings: Settings, batch: int) -> None:
        super().__init__(settings, *lanes_and_layout(settings, batch, "forward"), "forward")

    def ticks(self, images: Tensor) -> dict[tuple[int, str], int]:
        """(B, H, W) float32 on the CPU -> (order of the maps, stage): how many ticks of the CPU's clock it took.

        0 is the order of the images themselves. A stage that a map of some order has not is left out.
        """
        counters = (ctypes.c_uint64 * (ORDERS * len(STAGES))).in_dll(self._library, "stage_ticks")
        ctypes.memset(counters, 0, ctypes.sizeof(counters))
        self.forward(images)
        keys = [(order, stage) for stage in STAGES[1:] for order in range(ORDERS)]
        counts = {(order, stage): counters[order * len(STAGES) + STAGES.index(stage)] for order, stage in keys}
        return {key: count for key, count in counts.items() if count}
