"""Fast Fourier transforms of any size, as formulas over `Complex` numbers.

X[k] = sum over n of x[n] exp(sign · 2πi·n·k/N), not normalised; sign -1 is the forward transform, +1 the inverse times N.

Sources: I. J. Good (1958) and L. H. Thomas (1963) for coprime factors, without twiddle factors; J. W. Cooley and J. W. Tukey
(1965) for powers of one prime; the symmetry of cosine and sine for the primes themselves.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

from hybrid.scattering.compiled.codelets.expressions import Complex


def dft(values: Sequence[Complex], sign: int) -> list[Complex]:
    """The transform of a sequence of any length ≥ 1."""
    size = len(values)
    if size == 1:
        return list(values)
    if size == 2:
        return [values[0] + values[1], values[0] - values[1]]
    first = coprime_factor(size)
    if first:
        return _good_thomas(values, sign, first)
    if is_prime(size):
        return _odd_prime(values, sign)
    return _cooley_tukey(values, sign, _radix(size))


def unit(size: int, power: int) -> complex:
    """exp(2πi·power/size), with exact zeros, ones and halves of the circle."""
    power %= size
    if (4 * power) % size == 0:
        return (1, 1j, -1, -1j)[4 * power // size]
    return cmath.exp(2j * math.pi * power / size)


def is_prime(size: int) -> bool:
    """Whether no smaller number from 2 on divides `size`; 1 and below are not prime."""
    return size > 1 and all(size % divisor for divisor in range(2, math.isqrt(size) + 1))


def coprime_factor(size: int) -> int | None:
    """Return the power of the smallest prime in `size`, or None if there is no other prime."""
    prime = next(divisor for divisor in range(2, size + 1) if size % divisor == 0)
    power = prime
    while size % (power * prime) == 0:
        power *= prime
    return power if power < size else None


def good_thomas_indices(first: int, second: int) -> tuple[list[list[int]], list[list[int]]]:
    """Where a transform of coprime size first·second is one over a (first × second) grid.

    Returns inputs[j][i], the element at (i, j), and outputs[k1][k2], the frequency at (k1, k2).
    """
    size = first * second
    inputs = [[(second * i + first * j) % size for i in range(first)] for j in range(second)]
    row, column = second * pow(second, -1, first), first * pow(first, -1, second)
    outputs = [[(row * k1 + column * k2) % size for k2 in range(second)] for k1 in range(first)]
    return inputs, outputs


def _good_thomas(values: Sequence[Complex], sign: int, first: int) -> list[Complex]:
    inputs, outputs = good_thomas_indices(first, len(values) // first)
    rows = [dft([values[n] for n in line], sign) for line in inputs]
    result: dict[int, Complex] = {}
    for k1, frequencies in enumerate(outputs):
        column = dft([row[k1] for row in rows], sign)
        result.update(zip(frequencies, column, strict=True))
    return [result[k] for k in range(len(values))]


def _radix(size: int) -> int:
    """The first factor of a prime power: 4 leaves the fewest multiplications among powers of two."""
    return 4 if size % 4 == 0 and size > 4 else next(divisor for divisor in range(2, size) if size % divisor == 0)


def _cooley_tukey(values: Sequence[Complex], sign: int, radix: int) -> list[Complex]:
    size, rest = len(values), len(values) // radix
    inner = [dft(values[start::radix], sign) for start in range(radix)]
    result: dict[int, Complex] = {}
    for k in range(rest):
        turned = [row[k] * unit(size, sign * start * k) for start, row in enumerate(inner)]
        for block, value in enumerate(dft(turned, sign)):
            result[k + rest * block] = value
    return [result[k] for k in range(size)]


def _odd_prime(values: Sequence[Complex], sign: int) -> list[Complex]:
    """Take elements n and N - n together: their sum is multiplied by cosines only, their difference by sines only."""
    size = len(values)
    half = range(1, (size + 1) // 2)
    sums = [values[n] + values[size - n] for n in half]
    differences = [values[n] - values[size - n] for n in half]
    total = values[0]
    for pair in sums:
        total = total + pair
    result = {0: total}
    for k in half:
        even, odd = values[0], Complex(0.0, 0.0)
        for n, (plus, minus) in enumerate(zip(sums, differences, strict=True), start=1):
            turn = unit(size, n * k)
            even = even + plus * turn.real
            odd = odd + minus * turn.imag
        quarter = Complex(odd.im * -sign, odd.re * sign)  # odd · i · sign
        result[k], result[size - k] = even + quarter, even - quarter
    return [result[k] for k in range(size)]
