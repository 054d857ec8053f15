"""Codelets for convolutions along the angle, whose filters are known when the code is generated.

They begin after the forward transform, and hold the products with the filter and the inverse transform. What is zero in the
filter costs nothing.

Waves of the joint transform are conjugated after half a turn: y[θ + L] = conj y[θ]. Their 2L frequencies then come from a real
transform of 2L numbers, r[θ] = re + im and r[θ + L] = re - im of L samples: X[n] = R[n] for even n and i·R[n] for odd n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybrid.scattering.compiled.codelets.cplusplus import print_program
from hybrid.scattering.compiled.codelets.expressions import Complex, Graph
from hybrid.scattering.compiled.codelets.fourier import dft
from hybrid.scattering.compiled.codelets.programs import Program, schedule

_NEGLIGIBLE = 1e-9  # of a filter's largest value


def of_waves(gains: Sequence[float]) -> Program:
    """Frequencies X[n] of N complex numbers, times gains[n] -> N samples."""
    graph = Graph()
    inputs = [_input(graph, n) * gain for n, gain in enumerate(significant(gains))]
    return schedule(len(gains), False, dft(inputs, 1))


def of_turning_waves(gains: Sequence[float]) -> Program:
    """Frequencies R[0 … L] of 2L real numbers, as above; X[n] times gains[n] -> 2L samples."""
    graph, size = Graph(), len(gains)
    half = [_input(graph, n) for n in range(size // 2 + 1)]
    half[0], half[-1] = Complex(half[0].re, 0.0), Complex(half[-1].re, 0.0)
    whole = [*half, *(half[size - n].conjugate() for n in range(size // 2 + 1, size))]
    inputs = [
        (z * 1j if n % 2 else z) * gain for n, (z, gain) in enumerate(zip(whole, significant(gains), strict=True))
    ]
    return schedule(size, False, dft(inputs, 1))


def of_turning_averages(gains: Sequence[float]) -> Program:
    """The same with a symmetric filter -> the first L samples; the others are their conjugates."""
    graph, size = Graph(), len(gains)
    kept = significant(gains)
    half = [_input(graph, n) * (kept[n] / 2) for n in range(size // 2 + 1)]
    half[0], half[-1] = Complex(half[0].re, 0.0), Complex(half[-1].re, 0.0)
    whole = dft([*half, *(half[size - n].conjugate() for n in range(size // 2 + 1, size))], 1)
    pairs = [(whole[n].re, whole[n + size // 2].re) for n in range(size // 2)]
    return schedule(size, False, [Complex(first + second, first - second) for first, second in pairs])


def of_moduli(gains: Sequence[float]) -> Program:
    """Frequencies 0 … L/2 of L real numbers, times gains[n] of all L frequencies -> L complex samples."""
    graph, size = Graph(), len(gains)
    half = [_input(graph, n) for n in range(size // 2 + 1)]
    half = [Complex(z.re, 0.0) if 2 * n % size == 0 else z for n, z in enumerate(half)]
    whole = [*half, *(half[size - n].conjugate() for n in range(size // 2 + 1, size))]
    return schedule(size, False, dft([z * gain for z, gain in zip(whole, significant(gains), strict=True)], 1))


def significant(gains: Sequence[float]) -> list[float]:
    """The gains as float32 has them, 0 where they are negligible."""
    values = np.asarray(gains, np.float32).astype(float)
    return np.where(abs(values) < _NEGLIGIBLE * abs(values).max(), 0, values).tolist()


def print_functions(name: str, programs: Sequence[Program]) -> str:
    """C++ for `template <int> struct name`, specialised by the number of each program."""
    printed = [f"template <int> struct {name};"]
    for number, program in enumerate(programs):
        body = "\n".join(f"    {line}" for line in print_program(program))
        printed.append(
            f"template <> struct {name}<{number}> {{\n"
            f"  template <class In, class Out> static ALWAYS_INLINE void run(const In& in, const Out& out) {{\n{body}\n  }}\n}};"
        )
    return "\n".join(printed) + "\n"


def _input(graph: Graph, index: int) -> Complex:
    return Complex(graph.input(index, "re"), graph.input(index, "im"))
