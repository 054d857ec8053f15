"""The CUDA kernels run on the CPU: the same text, compiled as C++ with a shim, called for one thread of a grid after the other.

The warps of a team run as coroutines, each until it waits for the others, in the order of their numbers or the other way round.
So a warp that does not wait where it must reads what is not yet written, or overwrites what is still needed, every time.
"""

from __future__ import annotations

import ctypes

import torch

from hybrid.scattering.compiled.cpu.compiler import load_library
from hybrid.scattering.compiled.cuda.kernels import Transform
from hybrid.scattering.compiled.cuda.launches import Launch
from hybrid.scattering.compiled.cuda.source import cuda_source, kernel_names

_SHIM = """
#include <cmath>
#include <cstddef>
#include <cstring>
#include <ucontext.h>
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __global__
#define __constant__ static const
#define __shared__
#define __launch_bounds__(...)
struct Three { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
static float __int_as_float(int bits) { float value; memcpy(&value, &bits, 4); return value; }
static Three threadIdx, blockIdx, blockDim;
float shared[1 << 16];

static const unsigned WARPS = 8;
static ucontext_t outside, inside[WARPS];
static char stacks[WARPS][1 << 18];
static int waits[WARPS];
static bool done[WARPS];
static void (*to_do)(void**);
static void** given;
static void __syncthreads() {
  const unsigned warp = threadIdx.y;
  waits[warp]++;
  swapcontext(&inside[warp], &outside);
}
static void work() { to_do(given); done[threadIdx.y] = true; }

// One thread of each warp of a team. Returns whether all waited equally often.
static bool run_team(unsigned warps, bool backwards) {
  for (unsigned w = 0; w < warps; w++) {
    getcontext(&inside[w]);
    inside[w].uc_stack.ss_sp = stacks[w];
    inside[w].uc_stack.ss_size = sizeof stacks[w];
    inside[w].uc_link = &outside;
    makecontext(&inside[w], work, 0);
    waits[w] = 0;
    done[w] = false;
  }
  for (bool more = true; more;) {
    more = false;
    for (unsigned n = 0; n < warps; n++) {
      const unsigned w = backwards ? warps - 1 - n : n;
      if (done[w]) continue;
      threadIdx.y = w;
      swapcontext(&outside, &inside[w]);
      more = more || !done[w];
    }
  }
  for (unsigned w = 1; w < warps; w++) if (waits[w] != waits[0]) return false;
  return true;
}

static int run_grid(void (*kernel)(void**), void** parameters, unsigned grid, unsigned warps, bool team, bool backwards) {
  to_do = kernel;
  given = parameters;
  blockDim = {32, warps, 1};
  for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
    for (threadIdx.x = 0; threadIdx.x < 32; threadIdx.x++)
      if (team) {
        if (!run_team(warps, backwards)) return 1;
      } else {
        for (threadIdx.y = 0; threadIdx.y < warps; threadIdx.y++) kernel(parameters);
      }
  return 0;
}
"""
_KERNEL = """
extern "C" int run_NAME(void** parameters, unsigned grid, unsigned warps, bool team, bool backwards) {
  return run_grid([](void** p) { NAME(*(Plan*)p[0], *(Job*)p[1]); }, parameters, grid, warps, team, backwards);
}
"""


class OnCpu:
    """A `hybrid.scattering.compiled.cuda.kernels.Launcher`."""

    def __init__(self, settings, direction, *, backwards=False):
        self.backwards, self.launches = backwards, 0
        names = [f"{name}_{level}" for name, level in kernel_names(settings.J, direction)]
        source = _SHIM + cuda_source(settings.padded, settings.J, direction, dropped=settings.dropped)
        source += "".join(_KERNEL.replace("NAME", name) for name in names)
        self._library = load_library(source, "cuda-on-cpu")

    def begin(self):
        return self._run

    def _run(self, launch: Launch, grid: int, parameters: int) -> None:
        self.launches += 1
        team = launch.shared_bytes > 0
        assert launch.shared_bytes <= 4 << 16
        function = getattr(self._library, f"run_{launch.kernel}")
        unequal = function(
            ctypes.c_void_p(parameters),
            ctypes.c_uint(grid),
            ctypes.c_uint(launch.warps),
            ctypes.c_bool(team),
            ctypes.c_bool(self.backwards),
        )
        assert not unequal, f"the warps of a team of {launch.kernel} do not wait equally often"


def on_cpu(settings, direction="forward", **options):
    return Transform(settings, direction, torch.device("cpu"), OnCpu(settings, direction, **options))
