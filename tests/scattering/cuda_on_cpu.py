"""The CUDA kernels run on the CPU: the same text, compiled as C++ with a shim, called for one thread of a grid after the other.

What this does not show is whether threads of a block meet where they must: a team has one warp here, so it never waits.
"""

from __future__ import annotations

import ctypes

import torch

from hybrid.scattering.cpu.compiler import load_library
from hybrid.scattering.cuda.kernels import Transform
from hybrid.scattering.cuda.schedule import Launch
from hybrid.scattering.cuda.source import cuda_source, kernel_names

_SHIM = """
#include <cmath>
#include <cstddef>
#include <cstring>
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __global__
#define __constant__ static const
#define __shared__
#define __launch_bounds__(n)
struct Three { unsigned x, y, z; };
static Three threadIdx, blockIdx, blockDim;
static void __syncthreads() {}
struct float4 { float x, y, z, w; };
float shared[1 << 16];
"""

_GRID = """
extern "C" void run_NAME(void** parameters, unsigned grid, unsigned warps) {
  blockDim = {32, warps, 1};
  for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
    for (threadIdx.y = 0; threadIdx.y < warps; threadIdx.y++)
      for (threadIdx.x = 0; threadIdx.x < 32; threadIdx.x++) NAME(*(Plan*)parameters[0], *(Job*)parameters[1]);
}
"""


class OnCpu:
    """A `Launcher`."""

    def __init__(self, settings, direction):
        names = [f"{name}_{level}" for name, level in kernel_names(settings.J, direction)]
        source = _SHIM + cuda_source(settings.padded, settings.J, direction)
        source += "".join(_GRID.replace("NAME", name) for name in names)
        self._library = load_library(source, "cuda-on-cpu")

    def begin(self):
        return self._run

    def _run(self, launch: Launch, grid: int, parameters: int) -> None:
        warps = 1 if launch.shared_bytes else launch.warps
        assert launch.shared_bytes <= 4 << 16
        function = getattr(self._library, f"run_{launch.kernel}")
        function(ctypes.c_void_p(parameters), ctypes.c_uint(grid), ctypes.c_uint(warps))


def on_cpu(settings, direction="forward"):
    return Transform(settings, direction, torch.device("cpu"), OnCpu(settings, direction))
