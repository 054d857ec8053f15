"""The printer for a GPU: the same codelets, and two passes that the warps of a team share.

A `Vector` is one number of one thread, and a thread is one image, so a codelet is printed as for a CPU. In two passes every
warp takes some of the codelets, and what goes from one pass to the other stands in the team's shared memory:

    template <> struct Inverse<240> { template <class In, class Out> static void run(const Team& team, In in, Out out); };

The text relies on `Team`, `Complex`, `load_complex` and `store_complex` of hybrid/scattering/compiled/cuda/device.cu.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hybrid.scattering.compiled.codelets.cplusplus import STRUCTS, needed_codelets, print_codelet
from hybrid.scattering.compiled.codelets.plans import TwoPasses, two_passes
from hybrid.scattering.compiled.codelets.programs import Kind


def print_device_transforms(wanted: Iterable[tuple[Kind, int]]) -> str:
    """CUDA C++ for these transforms and the shorter codelets that they are made of."""
    printed: dict[tuple[Kind, int], str] = {}
    for kind, size in wanted:
        plan = two_passes(kind, size)
        for need in needed_codelets(kind, size, plan):
            if need not in printed:
                printed[need] = print_codelet(*need, qualifiers="__device__ __forceinline__")
        if plan and (kind, size) not in printed:
            printed[kind, size] = _two_passes(size, plan)
    declarations = "".join(f"template <int> struct {name};\n" for name in STRUCTS.values())
    return declarations + "\n".join(printed.values())


def scratch_numbers(size: int) -> int:
    """How many numbers of each image a transform of this size keeps in shared memory between its two passes."""
    plan = two_passes("forward", size)
    return 2 * plan.first * plan.second if plan else 0


def _two_passes(size: int, plan: TwoPasses) -> str:
    name = f"{STRUCTS[plan.kind]}{size}".upper()
    tables = [_table("short", f"{name}_IN", plan.inputs), _table("short", f"{name}_OUT", plan.outputs)]
    turn, result = "z", "out(to, re, im);"
    if plan.twiddles:
        values = [[complex(z) for z in row] for row in plan.twiddles]
        tables += [
            _table("float", f"{name}_RE", [[f"{z.real:.9e}f" for z in row] for row in values]),
            _table("float", f"{name}_IM", [[f"{z.imag:.9e}f" for z in row] for row in values]),
        ]
        turn = f"turned(z, {name}_RE[k1 * SECOND + j], {name}_IM[k1 * SECOND + j])"
    if plan.kind == "real":
        tables.append(_table("float", f"{name}_SIGN", [[f"{sign}.f" for sign in row] for row in plan.conjugate]))
        result = f"out(to, re, im * {name}_SIGN[k1 * SECOND + k2]);"
    return f"""{"".join(tables)}template <> struct {STRUCTS[plan.kind]}<{size}> {{
  static constexpr int FIRST = {plan.first}, SECOND = {plan.second}, LINES = {len(plan.outputs)};
  template <class In, class Out> static __device__ __forceinline__ void run(const Team& team, const In& in, const Out& out) {{
    for (int j = team.warp; j < SECOND; j += team.warps)
      {STRUCTS[plan.first_kind]}<FIRST>::run([&](int i) {{ return in({name}_IN[j * FIRST + i]); }},
        [&](int k1, Vector re, Vector im) {{ store_complex(team.scratch, k1 * SECOND + j, Complex{{re, im}}); }});
    team.meet();
    for (int k1 = team.warp; k1 < LINES; k1 += team.warps)
      {STRUCTS[plan.second_kind]}<SECOND>::run([&](int j) {{
          const Complex z = load_complex(team.scratch, k1 * SECOND + j);
          return {turn}; }},
        [&](int k2, Vector re, Vector im) {{ const int to = {name}_OUT[k1 * SECOND + k2]; {result} }});
    team.meet();
  }}
}};
"""


def _table(kind: str, name: str, rows: Sequence[Sequence[object]]) -> str:
    values = ", ".join(str(value) for row in rows for value in row)
    return f"__constant__ {kind} {name}[] = {{{values}}};\n"
