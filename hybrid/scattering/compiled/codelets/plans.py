"""The plan of a transform: one straight-line codelet, or two passes of shorter ones.

A codelet of n has somewhat under 5 n log2 n operations. Beyond some 50 complex numbers it outgrows the registers and the
instruction cache. There a size N = first · second is a grid: `second` codelets of length `first`, a turn by twiddle factors
unless the two are coprime, then `first` codelets of length `second`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybrid.scattering.compiled.codelets.fourier import coprime_factor, good_thomas_indices, unit
from hybrid.scattering.compiled.codelets.programs import Kind, transform_program

LONGEST_STRAIGHT = 48
_LONGEST_PART = 64
_MOST_OPERATIONS = 5000  # of one codelet: a prime of 64 or less


@dataclass(frozen=True)
class TwoPasses:
    """Codelets of `first` over inputs[j], then of `second` to outputs[k1], after the factors twiddles[k1] (None: all are 1).

    kind "real": the first pass takes real numbers, only k1 ≤ first/2 is computed, and a frequency beyond size/2 is stored as
    its conjugate: conjugate[k1][k2] is -1 there.
    """

    kind: Kind
    first: int
    second: int
    inputs: list[list[int]]
    outputs: list[list[int]]
    twiddles: list[list[complex]] | None
    conjugate: list[list[int]]

    @property
    def first_kind(self) -> Kind:
        return self.kind

    @property
    def second_kind(self) -> Kind:
        return "inverse" if self.kind == "inverse" else "forward"


def is_supported(size: int) -> bool:
    """Whether codelets serve this size. They do not serve large prime factors, which need other algorithms."""
    if size > LONGEST_STRAIGHT and _split(size) is None:
        return False
    parts = _split(size) if size > LONGEST_STRAIGHT else (size,)
    return all(transform_program("forward", part).operations <= _MOST_OPERATIONS for part in parts or ())


def two_passes(kind: Kind, size: int) -> TwoPasses | None:
    """The plan of a size that is too long for one codelet; None where one codelet does it."""
    if size <= LONGEST_STRAIGHT:
        return None
    assert kind != "real_inverse", "a long one is printed as a complex transform"
    split = _split(size)
    assert split is not None, f"size {size} is not supported"
    first, second = split
    if coprime_factor(size) in split:
        inputs, outputs = good_thomas_indices(first, second)
        twiddles = None
    else:
        inputs = [[start + second * n for n in range(first)] for start in range(second)]
        outputs = [[k1 + first * k2 for k2 in range(second)] for k1 in range(first)]
        sign = 1 if kind == "inverse" else -1
        twiddles = [[unit(size, sign * k1 * start) for start in range(second)] for k1 in range(first)]
    conjugate = [[1] * second for _ in range(first)]
    if kind == "real":
        kept = first // 2 + 1
        outputs, twiddles = outputs[:kept], twiddles and twiddles[:kept]
        conjugate = [[1 if k <= size // 2 else -1 for k in line] for line in outputs]
        outputs = [[min(k, size - k) for k in line] for line in outputs]
    return TwoPasses(kind, first, second, inputs, outputs, twiddles, conjugate)


def operations(kind: Kind, size: int) -> int:
    """Return the number of operations of the whole transform, without twiddle factors."""
    if size <= LONGEST_STRAIGHT:
        return transform_program(kind, size).operations
    if kind == "real_inverse":  # done as a complex one
        return operations("inverse", size)
    plan = two_passes(kind, size)
    assert plan is not None
    first = transform_program(plan.first_kind, plan.first).operations
    return plan.second * first + len(plan.outputs) * transform_program(plan.second_kind, plan.second).operations


def _split(size: int) -> tuple[int, int] | None:
    """Two factors of at most 64, coprime if that is possible, as even as possible, the longer one first."""
    pairs = [(size // small, small) for small in range(2, int(size**0.5) + 1) if size % small == 0]
    pairs = [pair for pair in pairs if max(pair) <= _LONGEST_PART]
    coprime = coprime_factor(size)
    good = [pair for pair in pairs if coprime in pair]
    return max(good or pairs, key=lambda pair: pair[1], default=None)
