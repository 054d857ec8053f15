"""How fast this package trains, beside the same network in a plain PyTorch loop with kymatio's scattering transform.

    python scripts/bench_training.py
    python scripts/bench_training.py cases=[scat_linear,scat_wrn] rounds=7 threads=1 json=training.json
    python scripts/bench_training.py device=cuda batch=128 workers=8 settings=[trainer.precision=bf16]

Both train on the same random images with the same crops and flips, weights and SGD. The plain loop is what kymatio's examples
do: a DataLoader over torchvision's transforms, kymatio's `Scattering2D`, the head, float32, torch's own memory format. Ours is
what `train.py` does at each step, with the settings of configs/, and once more with those of settings=. They take turns in one
process, `steps` steps each; times are medians over the rounds. Columns: images/s and ms per step; × is how many times faster
than the plain loop; data and front-end are the parts of the step that go into the next batch and into the front-end's forward
pass (timed alone). Files are not read, nor decoded.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from measured_rows import check_cases, measured
from step_figure import step_figure
from training_loops import Case, Ours, Plain, RandomImages, Side

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import PICTURES, check_file
from hybrid.errors import UserError
from hybrid.reports.style import save_figure

CASES = {
    **{name: Case(name, 32, 128, 10) for name in ("scat_linear", "scat_wrn", "scat_resnet", "wrn_16_8")},
    "scat_resnet-224": Case("scat_resnet", 224, 8, 1000),
    "resnet18-224": Case("resnet18", 224, 8, 1000),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=tuple(CASES))
    settings: tuple[str, ...] = option("a third side: ours with these, [trainer.precision=bf16]", default=())
    batch: int | None = option("images per step; null: 128 of 32×32, 8 of 224×224", default=None)
    steps: int = option("of each side in a round", default=2)
    rounds: int = option("in which each side has its turn, after one that is not timed", default=5)
    workers: int = option("processes of the plain loop's DataLoader; 0 is fair where no core is idle", default=0)
    threads: int = option("of the CPU", default=torch.get_num_threads())
    device: Literal["cpu", "cuda"] = option("where both train", default="cpu")
    json: str | None = option("also write the rows to this file", default=None)
    figure: str | None = option("also draw where the time of a step goes: .png, .svg or .pdf", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "steps", "rounds", "threads", "batch")
        check_at_least(self, 0, "workers")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch sees no GPU here. Valid: cpu.")
        check_file("json", self.json)
        check_file("figure", self.figure, endings=PICTURES)


@command(Options)
def bench_training(options: Options) -> None:
    """Measure, print row by row, and write the JSON file and draw the figure if they are wanted."""
    torch.set_num_threads(options.threads)
    print(f"{'case':>16} {'side':>6} {'images/s':>9} {'ms/step':>9} {'×':>6} {'data':>7} {'front-end':>9}")
    rows = measured(options, measure, _line)
    if options.figure:
        save_figure(step_figure(rows, settings=options.settings), options.figure)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:>16} {row['side']:>6} {row['images_per_second']:>9.1f} {row['ms']:>9.1f} "
        f"{row['ratio']:>6.2f} {row['data']:>7.1%} {row['front_end']:>9.1%}"
    )


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """The rows of the plain loop, of ours, and of ours with other settings."""
    case, device = CASES[name], torch.device(options.device)
    batch = options.batch or case.batch
    images = RandomImages(case, count=4 * batch)
    sides: dict[str, Side] = {
        "plain": Plain(case, images, batch, device, workers=options.workers),
        "ours": Ours(case, images, batch, device),
    }
    if options.settings:
        sides["set"] = Ours(case, images, batch, device, settings=options.settings)
    times = alternate(sides, options, device)
    rows = []
    for side, (data, front, step) in times.items():
        row = {"case": name, "side": side, "images_per_second": batch / step, "ms": 1000 * step, "batch": batch}
        rows.append(row | {"ratio": times["plain"][2] / step, "data": data / step, "front_end": front / step})
    return rows


def alternate(sides: dict[str, Side], options: Options, device: torch.device) -> dict[str, tuple[float, float, float]]:
    """Median seconds, per step, of each side: its data, its front-end's forward pass alone, the whole step."""
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, side in sides.items():
            times = [one_step(side, device) for _ in range(options.steps)]
            if number:
                rounds[name].append(tuple(statistics.fmean(column) for column in zip(*times, strict=True)))
    return {name: tuple(map(statistics.median, zip(*times, strict=True))) for name, times in rounds.items()}


def one_step(side: Side, device: torch.device) -> tuple[float, float, float]:
    """Seconds for the data, for the front-end alone (once more, on other images), and for the whole step."""
    batch: list[Any] = []
    data = timed(lambda: batch.append(side.take()), device)
    with torch.no_grad():
        front = timed(lambda: side.front_end(side.images), device)
    return data, front, data + timed(lambda: side.train(batch[0]), device)


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    began = now(device)
    action()
    return now(device) - began


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    bench_training()
