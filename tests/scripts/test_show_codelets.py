"""scripts/show_codelets.py prints what docs/lab/codelets.md shows, and counts every operation."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hybrid.scattering.compiled.codelets.programs import run, transform_program

# A command, and the block of C++ or the table below it.
SHOWN = re.compile(
    r"^    python scripts/show_codelets\.py ?(.*)\n\n(?:```cpp\n((?:.*\n)*?)```|((?:\|.*\n)+))", re.MULTILINE
)


class Counted:
    """A real number that counts what is done with it."""

    done = {"sums": 0, "products": 0}

    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        self.done["sums"] += 1
        return Counted(self.value + other.value)

    def __sub__(self, other):
        self.done["sums"] += 1
        return Counted(self.value - other.value)

    def __mul__(self, constant):
        self.done["products"] += 1
        return Counted(self.value * constant)

    def __neg__(self):
        return Counted(-self.value)


class CountedComplex:
    def __init__(self, z):
        self.real, self.imag = Counted(z.real), Counted(z.imag)


def test_the_page_shows_what_is_printed(call, root):
    shown = SHOWN.findall((root / "docs" / "lab" / "codelets.md").read_text())
    assert [bool(table) for _, _, table in shown] == [False, False, False, True]
    for arguments, text, table in shown:
        code, said, _ = call("show_codelets", *arguments.split())
        assert code == 0 and (text or table) in said


def test_counts_are_those_of_the_program(call):
    Counted.done.update(sums=0, products=0)
    values = np.arange(20) + 1j
    run(transform_program("forward", 20), lambda k: CountedComplex(values[k]), lambda k, re, im: None)
    _, said, _ = call("show_codelets", "sizes=[20]")
    sums, products = Counted.done.values()
    assert f"| 20 | 4 · 5 | {sums} | {products} | {sums + products} |" in said


def test_two_passes_count_their_twiddle_factors(call):
    rows = {}
    for size in (8, 16, 64, 112):
        _, said, _ = call("show_codelets", f"sizes=[7,{size}]")
        rows |= {int(line.split("|")[1]): line.split(" | ") for line in said.splitlines()[2:]}
    sums = {size: int(row[2].replace(",", "")) for size, row in rows.items()}
    assert sums[112] == 7 * sums[16] + 16 * sums[7] and sums[64] == 16 * sums[8] + 2 * 64


def test_a_gpus_text_differs_in_one_word(call):
    for kind in ("forward", "real_inverse"):
        _, cpu, _ = call("show_codelets", "text=12", f"kind={kind}")
        _, gpu, _ = call("show_codelets", "text=12", f"kind={kind}", "language=cuda")
        assert cpu.count("ALWAYS_INLINE") == 1
        assert cpu.replace("ALWAYS_INLINE", "__device__ __forceinline__") == gpu


@pytest.mark.parametrize("argument", ["text=67", "sizes=[4,0]", "sizes=[134]", "text=8192"])
def test_sizes_without_codelets_are_one_line(call, argument):
    code, said, error = call("show_codelets", argument)
    assert (code, said, error.count("\n")) == (2, "", 1) and "no codelets. Valid: 1 to 48" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kind=real"], "kind has no effect without text=SIZE"),
        (["language=cpp"], "language has no effect without text=SIZE"),
        (["sizes=[36]", "text=4"], "sizes has no effect with text=SIZE"),
        (["sizes=[]"], "sizes=[] is not valid"),
    ],
)
def test_settings_without_effect_are_one_line(call, arguments, message):
    code, said, error = call("show_codelets", *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1) and message in error
