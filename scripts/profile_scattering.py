"""Where the time of the scattering transform goes: the engine for CPUs stage by stage, and kymatio's function by function.

    python scripts/profile_scattering.py figure=stages.png
    python scripts/profile_scattering.py cases=[cifar] batch=16 kymatio=false json=stages.json

One thread. Of the engine a second library is compiled, with counters between its stages
(hybrid/scattering/compiled/cpu/stages.cpp); kymatio's functions are timed one by one. Shares are medians over the rounds; ms is
a share of the time that the engine takes without counters, and the first line of a case says how much longer it takes with them.
"filter" is the product and the sum over aliases, "inverse_rows" the modulus too, "input" padding and interleaving, "output" also
what the system needs to hand out the result's memory.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measured_rows import check_cases, write_rows
from scattering_cases import Case, make, make_images
from stage_figure import stage_figure
from torch import Tensor

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import PICTURES, check_file
from hybrid.errors import UserError
from hybrid.reports.style import save_figure
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cpu.stages import StagedKernel

CASES = {"cifar": Case(32, 2, 128), "stl": Case(96, 3, 32), "imagenet": Case(224, 3, 8)}
Ticks = dict[tuple[int | None, str], float]  # by order of the maps (None: not told apart) and stage
KYMATIO = ("rfft", "cdgmm", "subsample_fourier", "ifft", "modulus", "irfft", "concatenate")  # of its backend


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=tuple(CASES))
    batch: int | None = option("colour images; null: 128 of 32×32, 32 of 96×96, 8 of 224×224", default=None)
    rounds: int = option("calls of each engine", default=9)
    kymatio: bool = option("measure kymatio too", default=True)
    json: str | None = option("also write the rows to this file", default=None)
    figure: str | None = option("also draw them: .png, .svg or .pdf", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "rounds", "batch")
        check_file("json", self.json)
        check_file("figure", self.figure, endings=PICTURES)


@command(Options)
def profile_scattering(options: Options) -> None:
    """Measure, print case by case, and write the JSON file and draw the figure if they are wanted."""
    torch.set_num_threads(1)
    rows = [row for name in options.cases for row in profile(name, options)]
    write_rows(options, rows)
    if options.figure:
        save_figure(stage_figure(rows), options.figure)


@torch.no_grad()
def profile(name: str, options: Options) -> list[dict[str, Any]]:
    """The rows of a case, printed."""
    case = CASES[name]
    images = make_images(Case(case.side, case.J, options.batch or case.batch)).flatten(0, 1)
    engines = {"cpu": cpu_engine(case, images)}
    if options.kymatio:
        engines["kymatio"] = kymatio_engine(case, images)
    rows = []
    for engine, (plain, counted, ticks) in alternate(engines, options.rounds).items():
        whole = sum(ticks.values())
        print(
            f"{name}, {engine}: {plain * 1e3:.2f} ms for {len(images)} maps; {counted / plain - 1:+.1%} with counters"
        )
        for (order, stage), count in ticks.items():
            row = {"case": name, "side": case.side, "J": case.J, "engine": engine, "order": order, "stage": stage}
            rows.append(row | {"share": count / whole, "ms": plain * 1e3 * count / whole})
            print(f"  {stage:18}{'' if order is None else f'order {order}':8}{count / whole:7.1%}", flush=True)
    return rows


Engine = tuple[Callable[[], object], Callable[[], Ticks]]  # as it is, and with counters


def alternate(engines: dict[str, Engine], rounds: int) -> dict[str, tuple[float, float, Ticks]]:
    """Medians: seconds as it is, seconds with counters, and what each stage took, in any unit; after one call each."""
    seen: dict[str, list[tuple[float, float, Ticks]]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, (plain, counted) in engines.items():
            began = time.perf_counter()
            plain()
            between = time.perf_counter()
            ticks = counted()
            if number:
                seen[name].append((between - began, time.perf_counter() - between, ticks))
    result = {}
    for name, calls in seen.items():
        plain_times, counted_times, ticks = zip(*calls, strict=True)
        middle = {key: statistics.median(each[key] for each in ticks) for key in ticks[0]}
        result[name] = statistics.median(plain_times), statistics.median(counted_times), middle
    return result


def cpu_engine(case: Case, images: Tensor) -> Engine:
    """The compiled engine. Raises UserError without a compiler."""
    settings = case.settings
    try:
        plain, staged = kernel_for(settings, len(images)), StagedKernel(settings, len(images))
    except CompilerError as error:
        raise UserError(f"The engine for CPUs cannot be built: {error}") from error
    return lambda: plain.forward(images), lambda: staged.ticks(images)


def kymatio_engine(case: Case, images: Tensor) -> Engine:
    """kymatio's. Raises UserError where it is not installed."""
    plain, staged = make(case, "kymatio"), make(case, "kymatio")
    seconds: Counter[str] = Counter()
    inner = staged.engine.kymatio
    methods = {name: staticmethod(timed(getattr(inner.backend, name), name, seconds)) for name in KYMATIO}
    inner.backend = type("Timed", (inner.backend,), methods)
    inner.pad, inner.unpad = timed(inner.pad, "pad", seconds), timed(inner.unpad, "unpad", seconds)

    def counted() -> Ticks:
        seconds.clear()
        began = time.perf_counter()
        staged(images)
        seconds["the rest"] = time.perf_counter() - began - seconds.total()
        return {(None, name): seconds[name] for name in ("pad", *KYMATIO, "unpad", "the rest")}

    return lambda: plain(images), counted


def timed(function: Callable[..., Any], name: str, seconds: Counter[str]) -> Callable[..., Any]:
    """The function, which adds the time that it takes to `seconds`."""

    def run(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = function(*args, **kwargs)
        seconds[name] += time.perf_counter() - began
        return result

    return run


if __name__ == "__main__":
    profile_scattering()
