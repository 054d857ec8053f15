"""How fast roto-translation scattering is, beside its plain definition and beside the translation transform.

    python scripts/bench_rotation.py
    python scripts/bench_rotation.py cases=[textures] rounds=5 json=rotation.json
    python scripts/bench_rotation.py device=cuda

The programs of a case take turns, after a call each to warm up; times are medians over the rounds. wall is what a clock shows
until the device has finished, and suffers from whatever else the machine does; cpu is the processor time of the process, divided
by the threads, and suffers less. × is the time of the definition (`rotation_by_definition.py`) divided by the program's.
translation is `Scattering2D` with the engine that auto takes, and translation-torch with the torch engine; likewise
roto-translation. l2 is the relative error over all coefficients against the definition in float64; the exit code is 1
where that of either roto-translation is over 3e-7.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from measured_rows import check_cases, measured
from rotation_by_definition import RotationByDefinition
from scattering_cases import wait
from torch import Tensor

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError
from hybrid.scattering import RotoTranslationScattering2D, Scattering2D

CHECKED, LARGEST_ERROR = 1, 3e-7  # images that are checked; the definition in float64 is slow
PROGRAMS = ("definition", "roto-translation", "roto-translation-torch", "translation", "translation-torch")


@dataclass(frozen=True)
class Case:
    """Grey images of side × side pixels, `batch` of them."""

    side: int
    J: int
    batch: int


CASES = {"digits": Case(28, 2, 64), "small": Case(64, 4, 32), "textures": Case(200, 4, 16)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=("small", "textures"))
    device: Literal["cpu", "cuda"] = option("where the images are", default="cpu")
    rounds: int = option("calls of each program in a case", default=3)
    threads: int = option("of each program", default=torch.get_num_threads())
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "rounds", "threads")
        check_file("json", self.json)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch finds no CUDA device here.")


@command(Options)
def bench_rotation(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    print(f"{'case':>9} {'program':>22} {'wall ms':>9} {'×':>6} {'cpu ms':>9} {'×':>6} {'l2':>8}")
    rows = measured(options, measure, line)
    missed = [row["case"] for row in rows if row["program"].startswith("roto") and row["l2"] > LARGEST_ERROR]
    if missed:
        print(f"not exact enough: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


@torch.no_grad()
def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """One row per program."""
    case = CASES[name]
    images = torch.rand(case.batch, case.side, case.side, generator=torch.Generator().manual_seed(0)).to(options.device)
    shape = (case.side, case.side)
    rotation = RotoTranslationScattering2D(case.J, shape).to(options.device)
    functions = {
        "definition": RotationByDefinition(rotation.settings, device=options.device, dtype=torch.float32),
        "roto-translation": rotation,
        "roto-translation-torch": RotoTranslationScattering2D(case.J, shape, engine="torch").to(options.device),
        "translation": Scattering2D(case.J, shape).to(options.device),
        "translation-torch": Scattering2D(case.J, shape, engine="torch").to(options.device),
    }
    times = alternate({program: partial(functions[program], images) for program in PROGRAMS}, options)
    exact = RotationByDefinition(rotation.settings, device=options.device, dtype=torch.float64)
    reference = exact(images[:CHECKED].double())
    rows = []
    for program in PROGRAMS:
        wall, cpu = times[program]
        row = {"case": name, "program": program, "wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3, "l2": None}
        row |= {"wall_ratio": times["definition"][0] / wall, "cpu_ratio": times["definition"][1] / cpu}
        if not program.startswith("translation"):
            error = functions[program](images[:CHECKED]).double() - reference
            row["l2"] = (error.norm() / reference.norm()).item()
        rows.append(row)
    return rows


def alternate(functions: dict[str, Callable[[], Tensor]], options: Options) -> dict[str, tuple[float, float]]:
    """Medians of wall and processor seconds."""
    for function in functions.values():
        function()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for _ in range(options.rounds):
        for name, function in functions.items():
            wait(options.device)
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            wait(options.device)
            times[name].append((time.perf_counter() - wall, (time.process_time() - cpu) / options.threads))
    middle = {name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in times.items()}
    return {name: (wall, cpu) for name, (wall, cpu) in middle.items()}


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    l2 = "-" if row["l2"] is None else f"{row['l2']:.1e}"
    return (
        f"{row['case']:>9} {row['program']:>22} {row['wall_ms']:>9.2f} {row['wall_ratio']:>6.1f} {row['cpu_ms']:>9.2f} "
        f"{row['cpu_ratio']:>6.1f} {l2:>8}"
    )


if __name__ == "__main__":
    bench_rotation()
