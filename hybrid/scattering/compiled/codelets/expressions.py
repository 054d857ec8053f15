"""Formulas written with + - * become a graph of expressions, which is simplified while it grows.

Python floats are constants. What is zero, or multiplied by one, never becomes an operation; what was computed once is not
computed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

_TINY = 1e-15  # of a constant: cos(pi/2) is 6e-17 and means 0


@dataclass
class Graph:
    """The expressions of one codelet, in the order in which they were first written."""

    known: dict[Any, Expression] = field(default_factory=dict)

    def input(self, index: int, part: str) -> Expression:
        """The real ("re") or imaginary ("im") part of the codelet's input number `index`."""
        return self.make("input", (), float(index), part)

    def make(self, kind: str, operands: tuple[Expression, ...], constant: float = 0.0, part: str = "") -> Expression:
        key = (kind, tuple(operand.number for operand in operands), constant, part)
        if key not in self.known:
            self.known[key] = Expression(self, len(self.known), kind, operands, constant, part)
        return self.known[key]


@dataclass(frozen=True, eq=False)
class Expression:
    """One node. kind: input, add, sub, mul (by `constant`) or neg."""

    graph: Graph
    number: int
    kind: str
    operands: tuple[Expression, ...]
    constant: float
    part: str

    def __add__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Expression):
            assert other == 0, "a linear codelet adds no constants"
            return self
        if other.kind == "neg":
            return self - other.operands[0]
        if self.kind == "neg":
            return other - self.operands[0]
        return self.graph.make("add", (self, other) if self.number <= other.number else (other, self))

    __radd__ = __add__

    def __sub__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Expression):
            return self + other
        if other.kind == "neg":
            return self + other.operands[0]
        if self.kind == "neg":
            return -(self.operands[0] + other)
        if other is self:
            return 0.0
        if ("sub", (other.number, self.number), 0.0, "") in self.graph.known:
            return -(other - self)
        return self.graph.make("sub", (self, other))

    def __rsub__(self, other: float) -> Scalar:
        return -self + other

    def __neg__(self) -> Scalar:
        return self.operands[0] if self.kind == "neg" else self.graph.make("neg", (self,))

    def __mul__(self, constant: float) -> Scalar:
        if abs(constant) < _TINY:
            return 0.0
        if abs(abs(constant) - 1) < _TINY:
            return self if constant > 0 else -self
        if self.kind == "neg":
            return self.operands[0] * -constant
        if constant < 0:  # one product serves both signs
            return -(self * -constant)
        return self.graph.make("mul", (self,), constant)

    __rmul__ = __mul__


Scalar = Expression | float


class Complex(NamedTuple):
    """A complex number whose parts are expressions or constants. It is no tuple to + - *: those are arithmetic."""

    re: Scalar
    im: Scalar

    def __add__(self, other: Complex) -> Complex:  # type: ignore[override]
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, factor: complex) -> Complex:  # type: ignore[override]
        factor = complex(factor)
        return Complex(
            self.re * factor.real - self.im * factor.imag,
            self.re * factor.imag + self.im * factor.real,
        )

    def conjugate(self) -> Complex:
        return Complex(self.re, 0.0 - self.im)
