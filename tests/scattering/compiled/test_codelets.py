"""The generated Fourier transforms against NumPy, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hybrid.scattering.compiled.codelets.cplusplus import print_program, print_transforms
from hybrid.scattering.compiled.codelets.expressions import Graph
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT, is_supported, two_passes
from hybrid.scattering.compiled.codelets.programs import run, transform_program

KINDS = ["forward", "inverse", "real"]
SIZES = [*range(1, LONGEST_STRAIGHT + 1), 53, 59, 61]
LONG = [52, 56, 60, 64, 72, 104, 112, 116, 120, 128, 232, 240, 256, 464, 480, 512, 1024]


def numbers(size, kind):
    rng = np.random.default_rng(size)
    values = rng.standard_normal((size, 3)) + 1j * rng.standard_normal((size, 3))
    return values.real if kind == "real" else values


def expected(values, kind):
    if kind == "real":
        return np.fft.rfft(values, axis=0)
    return np.fft.ifft(values, axis=0) * len(values) if kind == "inverse" else np.fft.fft(values, axis=0)


def evaluate(kind, size, values):
    outputs = {}
    run(transform_program(kind, size), values.__getitem__, lambda k, re, im: outputs.update({k: re + 1j * im}))
    return np.stack([np.broadcast_to(outputs[k], values.shape[1:]) for k in range(len(outputs))])


@pytest.mark.parametrize("kind", KINDS)
def test_every_short_codelet(kind):
    for size in SIZES:
        values = numbers(size, kind)
        np.testing.assert_allclose(evaluate(kind, size, values), expected(values, kind), atol=1e-12, err_msg=str(size))


def test_every_inverse_to_real_numbers():
    for size in SIZES:
        values = numbers(size, "real")
        result = evaluate("real_inverse", size, np.fft.rfft(values, axis=0))
        np.testing.assert_allclose(result, values * size, atol=1e-12, err_msg=str(size))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", LONG)
def test_two_passes(kind, size):
    """What the printer writes as loops, done here in NumPy: indices, twiddle factors, conjugates."""
    plan, values = two_passes(kind, size), numbers(size, kind)
    assert plan.first * plan.second == size
    grid = np.stack([evaluate(plan.first_kind, plan.first, values[line]) for line in plan.inputs], 1)
    result = np.full((size // 2 + 1 if kind == "real" else size, 3), np.nan, complex)
    for k1, (line, signs) in enumerate(zip(plan.outputs, plan.conjugate, strict=True)):
        turned = grid[k1] * (np.array(plan.twiddles[k1])[:, None] if plan.twiddles else 1)
        column = evaluate(plan.second_kind, plan.second, turned)
        result[line] = column.real + 1j * column.imag * np.array(signs)[:, None]
    np.testing.assert_allclose(result, expected(values, kind), atol=1e-11)


@pytest.mark.parametrize("size", [8, 12, 16, 20, 24, 32, 40, 48])
def test_operations_are_fewer_than_those_of_a_textbook_transform(size):
    assert transform_program("forward", size).operations < 5 * size * math.log2(size)
    for kind in ("real", "real_inverse"):
        assert transform_program(kind, size).operations < 0.7 * transform_program("forward", size).operations


def test_coprime_sizes_have_no_twiddle_factors():
    assert two_passes("forward", 240).twiddles is None
    assert two_passes("forward", 256).twiddles is not None


def test_which_sizes_are_supported():
    assert all(map(is_supported, [*SIZES[:LONGEST_STRAIGHT], *LONG, 2 * 61]))
    assert not is_supported(2 * 67) and not is_supported(2 * 127) and not is_supported(8192)


def test_arithmetic_is_simplified():
    graph = Graph()
    x, y = graph.input(0, "re"), graph.input(1, "re")
    assert x + 0.0 is x and x * 1.0 is x and x * 0.0 == 0 and x - x == 0
    assert x + y is y + x and x - y is -(y - x)  # computed once
    assert (x * 2.0).kind == "mul" and x * -2.0 is -(x * 2.0)
    negative = -x
    assert x + -y is x - y and negative + y is y - x and -negative is x and negative - y is -(x + y)


def test_the_printed_statements():
    assert list(print_program(transform_program("forward", 2))) == [
        "const Complex x0 = in(0);",
        "const Complex x1 = in(1);",
        "const Vector t4 = x0.re + x1.re;",
        "const Vector t5 = x0.im + x1.im;",
        "out(0, t4, t5);",
        "const Vector t6 = x0.re - x1.re;",
        "const Vector t7 = x0.im - x1.im;",
        "out(1, t6, t7);",
    ]


def test_a_shared_codelet_is_printed_once():
    text = print_transforms([("inverse", 240), ("inverse", 15), ("inverse", 240), ("real_inverse", 240)])
    assert text.count("struct Inverse<15>") == text.count("struct Inverse<240>") == text.count("RealInverse<240>") == 1
