"""How fast the scattering engines are, each beside kymatio's in the same process, and how exact.

    python scripts/bench_scattering.py
    python scripts/bench_scattering.py cases=[cifar-128,cifar-gradient] engines=[kymatio,cpu] rounds=15 json=speed.json
    python scripts/bench_scattering.py device=cuda

The engines of a case take turns, after two calls each to warm up; times are medians over the rounds. wall is what a clock
shows until the device has finished, and suffers from whatever else the machine does; cpu is the processor time of the process,
divided by the threads, and suffers less. × is kymatio's median divided by the engine's. MB is by how much one call raises a
process's peak memory (Linux), or what torch has given out of a GPU's, results included. l2 and worst are the relative errors
over all coefficients and of the worst channel, against kymatio's code in float64. cifar-learned trains the wavelets: filters
made, transform, gradients to their parameters. There kymatio is its transform under autograd, torch and cpu are those engines
of LearnedScattering2D, and fixed is the compiled transform that learns nothing, forward and backward to the images. The exit
code is 1 if an engine of this package misses l2 ≤ 3e-7 or worst ≤ 1e-6. Where pytorch_wavelets is installed, two of its layers
(dtcwt) are measured beside J=2.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from measured_rows import check_cases, measured
from scattering_cases import (
    Case,
    call,
    errors,
    exact,
    has_peer,
    make,
    make_images,
    memory_of_gpu,
    require_engine,
    wait,
)

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError

CHECKED = 2  # images; kymatio in float64 is slow


CASES = {
    **{f"cifar-{batch}": Case(32, 2, batch) for batch in (1, 16, 128, 512)},
    "cifar-order1": Case(32, 2, 128, order=1),
    "cifar-gradient": Case(32, 2, 128, gradient=True),
    "cifar-learned": Case(32, 2, 128, learned=True),
    "stl-J2": Case(96, 2, 32),
    "stl-J3": Case(96, 3, 32),
    "stl-gradient": Case(96, 2, 32, gradient=True),
    "imagenet-1": Case(224, 3, 1),
    "imagenet-J3": Case(224, 3, 8),
    "imagenet-J4": Case(224, 4, 8),
    "imagenet-gradient": Case(224, 3, 4, gradient=True),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=tuple(CASES))
    device: Literal["cpu", "cuda"] = option("where the images are", default="cpu")
    engines: tuple[Literal["kymatio", "torch", "cpu", "cuda", "fixed", "dtcwt"], ...] | None = option(
        "which; null: all that the device has, and dtcwt if it is installed", default=None
    )
    rounds: int = option("calls of each engine in a case", default=9)
    seconds: float = option("a case ends after this time, but not before three rounds", default=60.0)
    threads: int = option("of each engine", default=torch.get_num_threads())
    memory: bool = option("measure memory too, each engine in a new process", default=True)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "rounds", "threads")
        check_at_least(self, 0, "seconds")
        check_file("json", self.json)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch finds no CUDA device here.")
        other = {"cpu": "cuda", "cuda": "cpu"}[self.device]
        if other in self.chosen:
            raise UserError(
                f"engines={other} computes nothing with device={self.device}. Valid: kymatio, torch, {self.device}, fixed, dtcwt."
            )
        if "dtcwt" in self.chosen and not has_peer():
            raise UserError("engines=dtcwt needs pytorch_wavelets: pip install pytorch_wavelets 'setuptools<81'")
        if "kymatio" not in self.chosen:
            raise UserError("engines must contain kymatio, which the others are compared with.")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The engines to measure."""
        if self.engines is not None:
            return self.engines
        return ("kymatio", "torch", self.device, "fixed", *["dtcwt"] * has_peer())


@command(Options)
def bench_scattering(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    if options.device in options.chosen:
        require_engine(options.device, {name: CASES[name] for name in options.cases})
    print(f"{'case':>17} {'engine':>8} {'wall ms':>9} {'×':>6} {'cpu ms':>9} {'×':>6} {'MB':>6} {'l2':>8} {'worst':>8}")
    rows = measured(options, measure, line)
    missed = [row for row in rows if row["engine"] not in ("kymatio", "dtcwt") and not exact(row)]
    if missed:
        print(f"not exact enough: {', '.join(row['case'] + ' ' + row['engine'] for row in missed)}", file=sys.stderr)
        sys.exit(1)


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """One row per engine."""
    case = CASES[name]
    images = make_images(case).to(options.device)
    engines = [engine for engine in options.chosen if _has(case, engine)]
    modules = {engine: make(case, engine).to(options.device) for engine in engines}
    functions = {engine: call(module, case, images) for engine, module in modules.items()}
    times = alternate(functions, options)
    reference = modules["kymatio"](images[:CHECKED].double())
    slowest = times["kymatio"]
    rows = []
    for engine, module in modules.items():
        wall, cpu = times[engine]
        row = {"case": name, "engine": engine, "wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3}
        row |= {"wall_ratio": slowest[0] / wall, "cpu_ratio": slowest[1] / cpu}
        row |= errors(module(images)[:CHECKED], reference) if engine != "dtcwt" else {"l2": None, "worst": None}
        row["memory_mb"] = None
        if options.memory and options.device == "cuda":
            row["memory_mb"] = memory_of_gpu(functions[engine])
        elif options.memory:
            row["memory_mb"] = memory_in_new_process(name, engine, options.threads)
        rows.append(row)
    return rows


def _has(case: Case, engine: str) -> bool:
    """Whether an engine computes a case as no other engine does."""
    if engine == "dtcwt":
        return (case.J, case.order, case.learned) == (2, 2, False)
    return engine != ("cuda" if case.learned else "fixed")


def alternate(functions: dict[str, Callable[[], object]], options: Options) -> dict[str, tuple[float, float]]:
    """Medians of wall and processor seconds. Each call's result is dropped before the next one starts."""
    for function in functions.values():
        function()
        function()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    start = time.perf_counter()
    for done in range(options.rounds):
        if done >= 3 and time.perf_counter() - start > options.seconds:
            break
        for name, function in functions.items():
            wait(options.device)
            wall, cpu = time.perf_counter(), time.process_time()
            result = function()
            wait(options.device)
            times[name].append((time.perf_counter() - wall, (time.process_time() - cpu) / options.threads))
            del result
    return {
        name: tuple(statistics.median(column) for column in zip(*pairs, strict=True)) for name, pairs in times.items()
    }  # type: ignore[misc]


def memory_in_new_process(name: str, engine: str, threads: int) -> float | None:
    """Megabytes by which one call raises the peak memory of a process that has called the engine with one image only."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_growth, (name, engine, threads))


def _peak_growth(name: str, engine: str, threads: int) -> float:
    torch.set_num_threads(threads)
    case = CASES[name]
    images, module = make_images(case), make(case, engine)
    call(module, case, images[:1])()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = _status("VmRSS")
    result = call(module, case, images)()
    growth = _status("VmHWM") - before
    del result
    return growth / 1000


def _status(field: str) -> int:
    """Kilobytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) for text in lines if text.startswith(f"{field}:"))


def line(row: dict[str, Any]) -> str:
    memory = "-" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}"
    l2, worst = ("-" if row[name] is None else f"{row[name]:.1e}" for name in ("l2", "worst"))
    return (
        f"{row['case']:>17} {row['engine']:>8} {row['wall_ms']:>9.2f} {row['wall_ratio']:>6.1f} {row['cpu_ms']:>9.2f} "
        f"{row['cpu_ratio']:>6.1f} {memory:>6} {l2:>8} {worst:>8}"
    )


if __name__ == "__main__":
    bench_scattering()
