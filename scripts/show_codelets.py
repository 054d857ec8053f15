"""The generated Fourier transforms: how many operations each size takes, or the text of one.

    python scripts/show_codelets.py                                   # the table of docs/lab/codelets.md
    python scripts/show_codelets.py sizes=[36,100]
    python scripts/show_codelets.py text=4 kind=real language=cuda    # what the compiler gets

Operations are sums and products of real numbers; a sign costs nothing. Most processors take a product and the sum that it goes
into as one instruction, so there are fewer of those, about as many as sums. "complex" is sums and products of the forward
transform (the inverse has as many), 5 n log2 n the usual count where n is a power of two; "from real" gives half a spectrum, and
"to real" takes it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from hybrid.configuration.arguments import check_not_empty, command, option
from hybrid.errors import UserError
from hybrid.scattering.compiled.codelets.cplusplus import print_transforms
from hybrid.scattering.compiled.codelets.cuda import print_device_transforms
from hybrid.scattering.compiled.codelets.fourier import coprime_factor, is_prime
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT, is_supported, two_passes
from hybrid.scattering.compiled.codelets.programs import Kind, transform_program

# Sides of padded maps of common images, and some smaller ones.
SHORT = (*range(2, 9), 10, 12, 13, 14, 15, 16, 20, 24, 26, 28, 30, 32, 40, 48)
SIZES = (*SHORT, 52, 56, 60, 64, 104, 112, 120, 128, 240, 256)
COLUMNS = ("size", "made of", "sums", "products", "complex", "5 n log2 n", "from real", "to real")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    sizes: tuple[int, ...] | None = option("of the table; null: those of docs/lab/codelets.md", default=None)
    text: int | None = option("show the text of the transform of this size instead", default=None)
    kind: Kind | None = option("of that transform; null: forward", default=None)
    language: Literal["cpp", "cuda"] | None = option("of that text; null: cpp", default=None)

    def __post_init__(self) -> None:
        check_not_empty(self, "sizes")
        if self.text is not None and self.sizes is not None:
            raise UserError("sizes has no effect with text=SIZE, which shows one transform instead of the table.")
        for name in ("kind", "language") if self.text is None else ():
            if getattr(self, name) is not None:
                raise UserError(f"{name} has no effect without text=SIZE: the table is of all kinds, in no language.")
        for size in (self.sizes or ()) if self.text is None else (self.text,):
            if size < 1 or not is_supported(size):
                raise UserError(
                    f"{size} points: no codelets. Valid: 1 to {LONGEST_STRAIGHT}, products of two factors up to 64."
                )


@command(Options)
def show_codelets(options: Options) -> None:
    """The table in Markdown, or a text."""
    if options.text is not None:
        printer = {"cpp": print_transforms, "cuda": print_device_transforms}[options.language or "cpp"]
        print(printer([(options.kind or "forward", options.text)]), end="")
        return
    print(f"| {' | '.join(COLUMNS)} |\n| ---: | --- |{' ---: |' * (len(COLUMNS) - 2)}")
    for size in options.sizes or SIZES:
        print(f"| {' | '.join(row(size))} |")


def row(size: int) -> tuple[str, ...]:
    """The cells of a size."""
    counts: dict[Kind, Counter[str]] = {kind: operations(kind, size) for kind in ("forward", "real", "real_inverse")}
    forward = counts["forward"]
    numbers = [forward["sums"], forward["products"], forward.total(), round(5 * size * math.log2(size))]
    numbers += [counts["real"].total(), counts["real_inverse"].total()]
    return str(size), made_of(size), *[f"{number:,}" for number in numbers]


def operations(kind: Kind, size: int) -> Counter[str]:
    """Sums and products of a transform as it is printed."""
    if kind == "real_inverse" and size > LONGEST_STRAIGHT:
        return operations("inverse", size)  # with the other half of the spectrum beside it
    plan = two_passes(kind, size)
    if plan is None:
        kinds = [
            statement[1].kind for statement in transform_program(kind, size).statements if statement[0] == "compute"
        ]
        return Counter(sums=kinds.count("add") + kinds.count("sub"), products=kinds.count("mul"))
    turns = len(plan.outputs) * plan.second if plan.twiddles else 0
    count = Counter(sums=2 * turns, products=4 * turns)
    for times, part, length in (
        (plan.second, plan.first_kind, plan.first),
        (len(plan.outputs), plan.second_kind, plan.second),
    ):
        count.update({name: times * number for name, number in operations(part, length).items()})
    return count


def made_of(size: int) -> str:
    """How a size is split first."""
    plan = two_passes("forward", size)
    if plan:
        return f"two passes, {plan.first} {'×' if plan.twiddles else '·'} {plan.second}"
    factor = coprime_factor(size) if size > 1 else None
    if factor:
        return f"{factor} · {size // factor}"
    return "prime" if is_prime(size) else "power of a prime" if size > 1 else "nothing"


if __name__ == "__main__":
    show_codelets()
