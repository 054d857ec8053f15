"""A codelet: the straight-line program of one transform, ready for a printer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from hybrid.scattering.compiled.codelets.expressions import Complex, Expression, Graph, Scalar
from hybrid.scattering.compiled.codelets.fourier import dft

Kind = Literal["forward", "inverse", "real", "real_inverse"]


@dataclass(frozen=True)
class Program:
    """Statements in the order in which they run: ("load", k), ("compute", expression) or ("store", k, value).

    real_input: the inputs have no imaginary part. operations: additions and multiplications; a multiplication whose result
    is added counts as one with it, because it becomes one instruction.
    """

    size: int
    real_input: bool
    statements: tuple[tuple[Any, ...], ...]
    operations: int


@cache
def transform_program(kind: Kind, size: int) -> Program:
    """The Fourier transform of `size` complex numbers.

    "real": of real numbers, of which frequencies 0 … size/2 come out. "real_inverse": the other way round, not normalised; the
    imaginary parts of frequencies 0 and size/2 are taken for zero.
    """
    graph, real = Graph(), kind == "real"
    if kind == "real_inverse":
        half = [Complex(graph.input(k, "re"), graph.input(k, "im")) for k in range(size // 2 + 1)]
        inputs = [half[min(k, size - k)] if k <= size // 2 else half[size - k].conjugate() for k in range(size)]
        inputs = [Complex(z.re, 0.0) if 2 * k % size == 0 else z for k, z in enumerate(inputs)]
        outputs = [Complex(value.re, 0.0) for value in dft(inputs, 1)]
        return schedule(size, real, outputs)
    inputs = [Complex(graph.input(k, "re"), 0.0 if real else graph.input(k, "im")) for k in range(size)]
    outputs = dft(inputs, 1 if kind == "inverse" else -1)
    if real:
        outputs = [_cheaper(outputs, k) for k in range(size // 2 + 1)]
    return schedule(size, real, outputs)


def _cheaper(outputs: Sequence[Complex], k: int) -> Complex:
    """X[k] of real numbers, or the conjugate of X[-k] where that was written first: the other is then never computed."""
    other = outputs[-k % len(outputs)]
    return other.conjugate() if _written(other) < _written(outputs[k]) else outputs[k]


def _written(value: Complex) -> int:
    return max((part.number for part in value if isinstance(part, Expression)), default=0)


def schedule(size: int, real: bool, outputs: Sequence[Complex]) -> Program:
    """Compute in the order of creation, which is the algorithm's; load at the first use, store as soon as both parts are known.

    A compiler's registers hold more this way than when following each output down to its inputs.
    """
    waiting: dict[int, list[int]] = {}
    for k, output in enumerate(outputs):
        waiting.setdefault(_written(output), []).append(k)
    statements: list[tuple[Any, ...]] = []
    loaded: set[int] = set()
    products: set[int] = set()
    operations = 0
    live = _live(outputs)
    for expression in live:
        if expression.kind == "input":
            index = int(expression.constant)
            used_directly = expression.number in waiting
            if not used_directly:
                continue
            _load(index, loaded, statements)
        else:
            for operand in expression.operands:
                if operand.kind == "input":
                    _load(int(operand.constant), loaded, statements)
            statements.append(("compute", expression))
            operations += expression.kind != "neg"
            fused = expression.kind in ("add", "sub") and any(o.kind == "mul" for o in expression.operands)
            products |= {o.number for o in expression.operands if o.kind == "mul"} if fused else set()
        for k in waiting.get(expression.number, ()):
            statements.append(("store", k, outputs[k]))
    return Program(size, real, tuple(statements), operations - len(products))


def _load(index: int, loaded: set[int], statements: list[tuple[Any, ...]]) -> None:
    if index not in loaded:
        loaded.add(index)
        statements.append(("load", index))


def _live(outputs: Sequence[Complex]) -> list[Expression]:
    """Every expression that some output needs, in the order of creation."""
    found: dict[int, Expression] = {}
    stack = [part for output in outputs for part in output if isinstance(part, Expression)]
    while stack:
        expression = stack.pop()
        if expression.number not in found:
            found[expression.number] = expression
            stack.extend(expression.operands)
    return [found[number] for number in sorted(found)]


def run(program: Program, load: Callable[[int], Any], store: Callable[[int, Any, Any], None]) -> None:
    """Interpret a program on numbers or arrays: the reference for every printer."""
    values: dict[int, Any] = {}

    def value(scalar: Scalar) -> Any:
        if not isinstance(scalar, Expression):
            return scalar
        if scalar.kind == "input":
            loaded = inputs[int(scalar.constant)]
            return loaded.real if scalar.part == "re" else loaded.imag
        return values[scalar.number]

    inputs: dict[int, Any] = {}
    for statement in program.statements:
        if statement[0] == "load":
            inputs[statement[1]] = load(statement[1])
        elif statement[0] == "compute":
            expression = statement[1]
            operands = [value(operand) for operand in expression.operands]
            values[expression.number] = _APPLY[expression.kind](expression.constant, *operands)
        else:
            store(statement[1], value(statement[2].re), value(statement[2].im))


_APPLY: dict[str, Callable[..., Any]] = {
    "add": lambda _, a, b: a + b,
    "sub": lambda _, a, b: a - b,
    "mul": lambda constant, a: a * constant,
    "neg": lambda _, a: -a,
}
