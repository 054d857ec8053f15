"""The printer for a CPU: transforms as class templates over how an element is loaded and stored.

    template <> struct Inverse<20> { template <class In, class Out> static void run(In in, Out out); };

in(k) gives a `Complex` (for Real<n> a `Vector`), out(k, re, im) takes one; of RealInverse<n> only re means something. What
the lanes of a Vector are is up to the caller. The text relies on those two types and on ALWAYS_INLINE, which
hybrid/scattering/compiled/cpu/vectors.cpp defines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hybrid.scattering.compiled.codelets.expressions import Expression, Scalar
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT, TwoPasses, two_passes
from hybrid.scattering.compiled.codelets.programs import Kind, Program, transform_program

STRUCTS: dict[Kind, str] = {"forward": "Forward", "inverse": "Inverse", "real": "Real", "real_inverse": "RealInverse"}
_OPERATORS = {"add": "+", "sub": "-"}


def print_transforms(wanted: Iterable[tuple[Kind, int]]) -> str:
    """C++ for these transforms and the shorter codelets that they are made of."""
    printed: dict[tuple[Kind, int], str] = {}
    for kind, size in _expanded(wanted):
        if kind == "real_inverse" and size > LONGEST_STRAIGHT:
            printed[kind, size] = _real_of_complex(size)
            continue
        plan = two_passes(kind, size)
        for need in needed_codelets(kind, size, plan):
            if need not in printed:
                printed[need] = print_codelet(*need, qualifiers="ALWAYS_INLINE")
        if plan and (kind, size) not in printed:
            printed[kind, size] = _two_passes(size, plan)
    declarations = "".join(f"template <int> struct {name};\n" for name in STRUCTS.values())
    return declarations + "\n".join(printed.values())


def _expanded(wanted: Iterable[tuple[Kind, int]]) -> Iterator[tuple[Kind, int]]:
    """Put the complex transform before each long real inverse, which is made of it."""
    for kind, size in wanted:
        if kind == "real_inverse" and size > LONGEST_STRAIGHT:
            yield "inverse", size
        yield kind, size


def needed_codelets(kind: Kind, size: int, plan: TwoPasses | None) -> list[tuple[Kind, int]]:
    """The straight-line transforms that a transform is made of: itself, without a plan."""
    return [(plan.first_kind, plan.first), (plan.second_kind, plan.second)] if plan else [(kind, size)]


def print_codelet(kind: Kind, size: int, *, qualifiers: str) -> str:
    """A straight-line transform; `qualifiers` go before its function's type."""
    body = "\n".join(f"    {line}" for line in print_program(transform_program(kind, size)))
    return (
        f"template <> struct {STRUCTS[kind]}<{size}> {{\n"
        f"  template <class In, class Out> static {qualifiers} void run(const In& in, const Out& out) {{\n{body}\n  }}\n}};\n"
    )


def print_program(program: Program) -> Iterable[str]:
    """One C++ statement per statement of the program."""
    kind = "Vector" if program.real_input else "Complex"
    for statement in program.statements:
        if statement[0] == "load":
            yield f"const {kind} x{statement[1]} = in({statement[1]});"
        elif statement[0] == "compute":
            expression = statement[1]
            yield f"const Vector t{expression.number} = {_formula(expression, program.real_input)};"
        else:
            parts = ", ".join(_name(part, program.real_input) for part in statement[2])
            yield f"out({statement[1]}, {parts});"


def _formula(expression: Expression, real_input: bool) -> str:
    names = [_name(operand, real_input) for operand in expression.operands]
    if expression.kind == "neg":
        return f"-{names[0]}"
    if expression.kind == "mul":
        return f"{names[0]} * {expression.constant:.9e}f"
    return f"{names[0]} {_OPERATORS[expression.kind]} {names[1]}"


def _name(scalar: Scalar, real_input: bool) -> str:
    if not isinstance(scalar, Expression):
        assert scalar == 0, "the only constant output of a transform is 0"
        return "Vector{}"
    if scalar.kind == "input":
        return f"x{int(scalar.constant)}" + ("" if real_input else f".{scalar.part}")
    return f"t{scalar.number}"


def _real_of_complex(size: int) -> str:
    return f"""template <> struct RealInverse<{size}> {{
  template <class In, class Out> static ALWAYS_INLINE void run(const In& in, const Out& out) {{
    Inverse<{size}>::run([&](int k) ALWAYS_INLINE {{
      const Complex z = in(2 * k > {size} ? {size} - k : k);
      return 2 * k > {size} ? Complex{{z.re, -z.im}} : z; }}, out);
  }}
}};
"""


def _two_passes(size: int, plan: TwoPasses) -> str:
    lines = len(plan.outputs)  # fewer than plan.first for real input
    turn = "const Complex z = buffer[k1 * SECOND + j];"
    tables = [_table("short", "inputs", plan.inputs), _table("short", "outputs", plan.outputs)]
    if plan.twiddles:
        tables.append(
            _table("float", "turn_re", [[f"{z.real:.9e}f" for z in map(complex, row)] for row in plan.twiddles])
        )
        tables.append(
            _table("float", "turn_im", [[f"{z.imag:.9e}f" for z in map(complex, row)] for row in plan.twiddles])
        )
        turn += "\n      const float c = turn_re[k1 * SECOND + j], s = turn_im[k1 * SECOND + j];"
        turn += "\n      return Complex{z.re * c - z.im * s, z.re * s + z.im * c};"
    else:
        turn += "\n      return z;"
    store = "out(outputs[k1 * SECOND + k2], re, im);"
    if plan.kind == "real":
        tables.append(_table("float", "sign", [[f"{sign}.f" for sign in row] for row in plan.conjugate]))
        store = "out(outputs[k1 * SECOND + k2], re, im * sign[k1 * SECOND + k2]);"
    return f"""template <> struct {STRUCTS[plan.kind]}<{size}> {{
  static constexpr int FIRST = {plan.first}, SECOND = {plan.second}, LINES = {lines};
  template <class In, class Out> static ALWAYS_INLINE void run(const In& in, const Out& out) {{
{"".join(tables)}    Complex buffer[LINES * SECOND];
    for (int j = 0; j < SECOND; j++) {{
      {STRUCTS[plan.first_kind]}<FIRST>::run([&](int i) ALWAYS_INLINE {{ return in(inputs[j * FIRST + i]); }},
        [&](int k1, Vector re, Vector im) ALWAYS_INLINE {{ buffer[k1 * SECOND + j] = Complex{{re, im}}; }});
    }}
    for (int k1 = 0; k1 < LINES; k1++) {{
      {STRUCTS[plan.second_kind]}<SECOND>::run([&](int j) ALWAYS_INLINE {{
      {turn} }},
        [&](int k2, Vector re, Vector im) ALWAYS_INLINE {{ {store} }});
    }}
  }}
}};
"""


def _table(kind: str, name: str, rows: Sequence[Sequence[object]]) -> str:
    values = ", ".join(str(value) for row in rows for value in row)
    return f"    static const {kind} {name}[] = {{{values}}};\n"
