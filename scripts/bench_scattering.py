"""How fast the scattering engines are, each beside kymatio's in the same process, and how exact.

    python scripts/bench_scattering.py
    python scripts/bench_scattering.py cases=[cifar-128,cifar-gradient] engines=[kymatio,cpu] rounds=15 json=speed.json

The engines of a case take turns, after two calls each to warm up; times are medians over the rounds. wall is what a clock
shows, and suffers from whatever else the machine does; cpu is the processor time of the process, divided by the threads, and
suffers less. × is kymatio's median divided by the engine's. MB is by how much one call raises a process's peak memory, results
included (Linux). l2 and worst are the relative errors over all coefficients and of the worst channel, against kymatio's code in
float64. The exit code is 1 if an engine of this package misses l2 ≤ 3e-7 or worst ≤ 1e-6.
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
from torch import Tensor

from hybrid.configuration.arguments import command, option
from hybrid.errors import UserError, unknown_name
from hybrid.scattering import ScatteringModule, make_scattering
from hybrid.tracking.environment import describe_environment
from hybrid.tracking.files import write_json

LARGEST_L2, LARGEST_WORST = 3e-7, 1e-6
COLOURS = 3
CHECKED = 2  # images; kymatio in float64 is slow


@dataclass(frozen=True)
class Case:
    """A batch of colour images side × side; gradient: forward, and backward to the images."""

    side: int
    J: int
    batch: int
    order: int = 2
    gradient: bool = False


CASES = {
    **{f"cifar-{batch}": Case(32, 2, batch) for batch in (1, 16, 128, 512)},
    "cifar-order1": Case(32, 2, 128, order=1),
    "cifar-gradient": Case(32, 2, 128, gradient=True),
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
    engines: tuple[Literal["kymatio", "torch", "cpu"], ...] = option("which", default=("kymatio", "torch", "cpu"))
    rounds: int = option("calls of each engine in a case", default=9)
    seconds: float = option("a case ends after this time, but not before three rounds", default=60.0)
    threads: int = option("of each engine", default=torch.get_num_threads())
    memory: bool = option("measure memory too, each engine in a new process", default=True)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        for name in self.cases:
            if name not in CASES:
                raise unknown_name(name, CASES, what="case")
        if min(self.rounds, self.threads) < 1:
            raise UserError("rounds and threads must be at least 1.")
        if "kymatio" not in self.engines:
            raise UserError("engines must contain kymatio, which the others are compared with.")


@command(Options)
def bench_scattering(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    print(f"{'case':>17} {'engine':>8} {'wall ms':>9} {'×':>6} {'cpu ms':>9} {'×':>6} {'MB':>6} {'l2':>8} {'worst':>8}")
    rows = []
    for name in options.cases:
        for row in measure(name, options):
            rows.append(row)
            print(line(row), flush=True)
    if options.json:
        write(options.json, rows, options)
    missed = [row for row in rows if row["engine"] != "kymatio" and not exact(row)]
    if missed:
        print(f"not exact enough: {', '.join(row['case'] + ' ' + row['engine'] for row in missed)}", file=sys.stderr)
        sys.exit(1)


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """One row per engine."""
    case = CASES[name]
    images = make_images(case)
    modules = {engine: make(case, engine) for engine in options.engines}
    times = alternate({engine: call(module, case, images) for engine, module in modules.items()}, options)
    reference = modules["kymatio"](images[:CHECKED].double())
    slowest = times["kymatio"]
    rows = []
    for engine, module in modules.items():
        wall, cpu = times[engine]
        row = {"case": name, "engine": engine, "wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3}
        row |= {"wall_ratio": slowest[0] / wall, "cpu_ratio": slowest[1] / cpu}
        row |= errors(module(images)[:CHECKED], reference)
        row["memory_mb"] = memory_in_new_process(name, engine, options.threads) if options.memory else None
        rows.append(row)
    return rows


def make(case: Case, engine: str) -> ScatteringModule:
    try:
        return make_scattering(case.J, (case.side, case.side), max_order=case.order, engine=engine)
    except ImportError as error:
        raise UserError(str(error)) from error


def make_images(case: Case) -> Tensor:
    """Noise whose amplitude falls as 1 / frequency, as in natural images, between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, COLOURS, case.side, case.side)
    frequencies = torch.fft.fftfreq(case.side)[:, None].hypot(torch.fft.rfftfreq(case.side)[None, :])
    noise = torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequencies.clamp(min=1 / case.side)
    images = torch.fft.irfft2(noise, s=shape[-2:])
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low)


def call(module: ScatteringModule, case: Case, images: Tensor) -> Callable[[], object]:
    """What is timed."""
    if not case.gradient:
        return torch.no_grad()(lambda: module(images))
    leaf = images.clone().requires_grad_()
    return lambda: torch.autograd.grad(module(leaf).sum(), leaf)


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
            wall, cpu = time.perf_counter(), time.process_time()
            result = function()
            times[name].append((time.perf_counter() - wall, (time.process_time() - cpu) / options.threads))
            del result
    return {
        name: tuple(statistics.median(column) for column in zip(*pairs, strict=True)) for name, pairs in times.items()
    }  # type: ignore[misc]


@torch.no_grad()
def errors(values: Tensor, reference: Tensor) -> dict[str, float]:
    """Relative errors of (N, C, P, h, w) coefficients."""
    off, scale = ((t.double()).square().sum((0, 1, 3, 4)).sqrt() for t in (values - reference, reference))
    return {"l2": (off.norm() / scale.norm()).item(), "worst": (off / scale).max().item()}


def exact(row: dict[str, Any]) -> bool:
    return row["l2"] <= LARGEST_L2 and row["worst"] <= LARGEST_WORST


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
    return (
        f"{row['case']:>17} {row['engine']:>8} {row['wall_ms']:>9.2f} {row['wall_ratio']:>6.1f} {row['cpu_ms']:>9.2f} "
        f"{row['cpu_ratio']:>6.1f} {memory:>6} {row['l2']:>8.1e} {row['worst']:>8.1e}"
    )


def write(path: str, rows: list[dict[str, Any]], options: Options) -> None:
    """The rows, and on what they were measured."""
    try:
        write_json(Path(path), {"threads": options.threads, "environment": describe_environment(), "rows": rows})
    except OSError as error:
        raise UserError(f"json={path} cannot be written: {error.strerror}.") from error
    print(f"{len(rows)} rows written: {path}")


if __name__ == "__main__":
    bench_scattering()
