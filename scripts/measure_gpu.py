"""Everything about the scattering engines on one GPU, in some ten minutes: exactness, CUDA graphs, speed, size of the pieces.

    python scripts/measure_gpu.py to=gpu
    python scripts/measure_gpu.py to=try device=cpu          # the same on a CPU, with tiny sizes: whether the script works

Writes measurements.json and measurements.md into the folder `to`. Times are medians over repeated groups of calls, each group
ended by waiting for the device; ratios are kymatio's time divided by the engine's. The exit code is 1 if an engine of this
package is less exact than it should be: l2 ≤ 3e-7 and worst channel ≤ 1e-6 for values, 1e-5 for gradients.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from scattering_cases import Case, call, capture, errors, exact, make, make_images, memory_of_gpu, require_engine, wait

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import check_folder, writing
from hybrid.errors import UserError
from hybrid.files import write_json, write_text
from hybrid.runs.environment import describe_environment
from hybrid.scattering.compiled.cuda import kernels

LARGEST_GRADIENT = 1e-5
PIECES_MB = (8, 16, 32, 64, 128, 256, 512, 1024)

CASES = {
    "cifar-128": Case(32, 2, 128),
    "cifar-1024": Case(32, 2, 1024),
    "cifar-4096": Case(32, 2, 4096),
    "cifar-order1-1024": Case(32, 2, 1024, order=1),
    "stl-J2-128": Case(96, 2, 128),
    "stl-J3-128": Case(96, 3, 128),
    "imagenet-J3-32": Case(224, 3, 32),
    "cifar-gradient-128": Case(32, 2, 128, gradient=True),
    "cifar-gradient-1024": Case(32, 2, 1024, gradient=True),
    "stl-J3-gradient-32": Case(96, 3, 32, gradient=True),
    "imagenet-J3-gradient-8": Case(224, 3, 8, gradient=True),
}
SWEPT = ("cifar-1024", "stl-J3-128", "imagenet-J3-32", "cifar-gradient-1024")
TINY = {"tiny": Case(8, 1, 2), "tiny-gradient": Case(8, 1, 2, gradient=True)}

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    to: str = option("folder for the results, made if it is not there")
    device: Literal["cuda", "cpu"] = option("cpu: tiny sizes, to try the script", default="cuda")
    seconds: float = option("of measuring for each engine and case", default=2.0)

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("torch finds no CUDA device here; device=cpu tries the script with tiny sizes.")
        if not 0 < self.seconds < float("inf"):
            raise UserError(f"seconds={self.seconds} is not valid: it must be above 0.")
        check_folder("to", self.to)

    @property
    def cases(self) -> dict[str, Case]:
        return CASES if self.device == "cuda" else TINY

    @property
    def engines(self) -> tuple[str, ...]:
        return "kymatio", "torch", self.device


@command(Options)
def measure_gpu(options: Options) -> None:
    """Measure, print section by section, write both files."""
    require_engine(options.device, options.cases)
    results: dict[str, list[Row]] = {}
    for name, measure in (("errors", exactness), ("graphs", graphs), ("speed", speed), ("pieces", pieces)):
        results[name] = []
        print(f"\n{name}", flush=True)
        for row in measure(options):
            results[name].append(row)
            print("  " + "  ".join(f"{key} {shown(value)}" for key, value in row.items()), flush=True)
        write(options, results)  # what is measured is kept, whatever comes next
    print(f"\nwritten: {options.to}/measurements.md, measurements.json")
    missed = [row for row in results["errors"] if not row["exact"]]
    if missed:
        print(f"not exact enough: {', '.join(row['case'] + ' ' + row['engine'] for row in missed)}", file=sys.stderr)
        sys.exit(1)


def exactness(options: Options) -> Iterable[Row]:
    """Values and gradients of each engine against kymatio's and the torch engine's in float64, on two images of each size."""
    distinct = {(case.side, case.J, case.order): name for name, case in options.cases.items() if not case.gradient}
    for name in distinct.values():
        case = replace(options.cases[name], batch=2)
        images = make_images(case).to(options.device)
        reference = make(case, "kymatio").to(options.device)(images.double())
        expected = gradient(make(case, "torch").to(options.device), images.double())
        for engine in options.engines:
            module = make(case, engine).to(options.device)
            row = {"case": name, "engine": engine, **errors(module(images), reference)}
            row["gradient"] = ((gradient(module, images) - expected).norm() / expected.norm()).item()
            small = exact(row) and row["gradient"] <= LARGEST_GRADIENT
            yield row | {"exact": small or engine == "kymatio"}


def gradient(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Of a sum of coefficients with weights that are the same for every engine."""
    leaf = images.clone().requires_grad_()
    values = module(leaf)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1)).to(values)
    return torch.autograd.grad((values * weights).sum(), leaf)[0]


def graphs(options: Options) -> Iterable[Row]:
    """Each case captured as a CUDA graph: whether a replay gives what a call gives, and the time of both."""
    if options.device != "cuda":
        yield {"case": "all", "result": "not run: only a GPU has CUDA graphs"}
        return
    for name, case in options.cases.items():
        images = make_images(case).cuda()
        module = make(case, "cuda").cuda()
        function = call(module, case, images)
        graph, captured = capture(function)
        for tensor in tensors(captured):
            tensor.zero_()
        plain, replayed = (seconds_per_call(f, options) for f in (function, graph.replay))
        same = all(torch.equal(a, b) for a, b in zip(tensors(captured), tensors(function()), strict=True))
        yield {"case": name, "same": same, "call_ms": plain * 1e3, "replay_ms": replayed * 1e3}


def tensors(result: object) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)  # type: ignore[return-value]


def speed(options: Options) -> Iterable[Row]:
    """Every engine on every case."""
    for name, case in options.cases.items():
        images, kymatio = make_images(case).to(options.device), None
        for engine in options.engines:
            row: Row = {"case": name, "engine": engine, "ms": None, "images_per_s": None, "ratio": None, "mb": None}
            function = call(make(case, engine).to(options.device), case, images)
            try:
                seconds = seconds_per_call(function, options)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                yield row
                continue
            kymatio = seconds if engine == "kymatio" else kymatio
            row |= {"ms": seconds * 1e3, "images_per_s": case.batch / seconds, "ratio": kymatio and kymatio / seconds}
            row["mb"] = memory_of_gpu(function) if options.device == "cuda" else None
            yield row


def pieces(options: Options) -> Iterable[Row]:
    """The cuda engine with workspaces of different sizes (`hybrid.scattering.compiled.cuda.kernels.WORKSPACE_BYTES`)."""
    if options.device != "cuda":
        yield {"case": "all", "result": "not run: they are the cuda engine's"}
        return
    for name in SWEPT:
        case = options.cases[name]
        function = call(make(case, "cuda").cuda(), case, make_images(case).cuda())
        for megabytes in PIECES_MB:
            with workspace(megabytes * 2**20):
                seconds = seconds_per_call(function, options)
            default = megabytes * 2**20 == kernels.WORKSPACE_BYTES
            yield {"case": name, "workspace_mb": megabytes, "ms": seconds * 1e3, "default": default}


@contextmanager
def workspace(size: int) -> Iterable[None]:
    before = kernels.WORKSPACE_BYTES
    kernels.WORKSPACE_BYTES = size
    try:
        yield
    finally:
        kernels.WORKSPACE_BYTES = before


def seconds_per_call(function: Callable[[], object], options: Options, groups: int = 5) -> float:
    """The median over groups of calls of the time of one; the device works through a group without waiting for the host."""
    function()
    wait(options.device)
    once = timed(function, 1, options)
    calls = max(1, int(options.seconds / groups / max(once, 1e-6)))
    return statistics.median(timed(function, min(calls, 1000), options) for _ in range(groups))


def timed(function: Callable[[], object], calls: int, options: Options) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    wait(options.device)
    return (time.perf_counter() - start) / calls


def write(options: Options, results: dict[str, list[Row]]) -> None:
    environment = describe_environment()
    parts = [f"# Scattering engines on {', '.join(environment['gpus']) or environment['processor']}", ""]
    parts += [f"commit {environment['commit']}, torch {environment['packages']['torch']}, CUDA {environment['cuda']}"]
    for name, rows in results.items():
        parts += ["", f"## {name}", "", *table(rows)]
    with writing("to", options.to):
        write_json(Path(options.to, "measurements.json"), {"environment": environment, **results})
        write_text(Path(options.to, "measurements.md"), "\n".join(parts) + "\n")


def table(rows: list[Row]) -> list[str]:
    """Markdown."""
    head = list(rows[0]) if rows else []
    lines = [[*head], ["---"] * len(head), *[[shown(row[key]) for key in head] for row in rows]]
    return [f"| {' | '.join(line)} |" for line in lines]


def shown(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if value < 1e-3 else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    measure_gpu()
