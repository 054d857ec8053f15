"""How fast a training step of a network of wavelets is, beside a plain loop around the released arrangement.

    python scripts/bench_wavelets.py
    python scripts/bench_wavelets.py cases=[quarter] rounds=5 json=wavelets.json

Both train phase collapse with real mixtures on random images of 3x32x32, 10 classes: forward, cross-entropy, backward and a step
of SGD. released is `released_wavelet_block.py`, a complex Fourier transform and a concatenation in each block; hybrid is
model=phase_collapse_real. Both begin with the same weights. The programs take turns, after a step each to warm up; times are
medians over the rounds. wall is what a clock shows, and suffers from whatever else the machine does; cpu is the processor time
of the process, divided by the threads. × is the time of released divided by the program's. error is the largest difference of
the first step's logits, relative to their largest; the exit code is 1 where it is over 1e-3.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from measured_rows import check_cases, measured
from released_wavelet_block import ReleasedBlock
from torch import Tensor, nn

import hybrid
from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file

CASES = {"eighth": 0.125, "quarter": 0.25, "half": 0.5}  # widths
_LARGEST_ERROR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}: widths", default=("eighth",))
    batch: int = option("images in a step", default=128)
    side: int = option("pixels a side, a multiple of 16, 32 or more", default=32)
    rounds: int = option("steps of each program in a case", default=5)
    threads: int = option("of each program", default=1)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "batch", "rounds", "threads")
        check_at_least(self, 32, "side")
        check_file("json", self.json)


class Released(nn.Module):
    """The network of released blocks, with the weights of ours."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        blocks = []
        for block in network.blocks:
            bank, weight = block.wavelets.bank, block.projection.weight.detach().clone()
            blocks.append(ReleasedBlock(weight, bank=bank, L=block.wavelets.L, side=side))
            side //= blocks[-1].stride
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(network.norm.num_features, affine=False)
        self.classifier = nn.Linear(network.classifier.in_features, network.classifier.out_features, bias=False)
        self.classifier.load_state_dict(network.classifier.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(torch.complex(images, torch.zeros_like(images)))
        pairs = torch.view_as_real(maps).movedim(-1, 2).flatten(1, 2)
        return self.classifier(self.norm(pairs).flatten(1))


@command(Options)
def bench_wavelets(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    print(f"{'case':>9} {'program':>9} {'wall ms':>9} {'×':>6} {'cpu ms':>9} {'×':>6} {'error':>8}")
    rows = measured(options, measure, line)
    if any(row["error"] > _LARGEST_ERROR for row in rows):
        print("the two networks are not the same", file=sys.stderr)
        sys.exit(1)


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """One row per program."""
    torch.manual_seed(0)
    shape = (3, options.side, options.side)
    model = hybrid.build_model("phase_collapse_real", image_shape=shape, num_classes=10, head={"width": CASES[name]})
    networks = {"released": Released(model.head, options.side), "hybrid": model}
    images, labels = torch.randn(options.batch, *shape), torch.arange(options.batch) % 10
    logits = {program: network(images).detach() for program, network in networks.items()}
    error = ((logits["hybrid"] - logits["released"]).abs().max() / logits["released"].abs().max()).item()
    steps = {
        program: partial(_step, network, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9), images, labels)
        for program, network in networks.items()
    }
    times: dict[str, list[tuple[float, float]]] = {program: [] for program in steps}
    for number in range(options.rounds + 1):
        for program, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if number:
                times[program].append((time.perf_counter() - wall, (time.process_time() - cpu) / options.threads))
    middle = {program: [statistics.median(each) for each in zip(*times[program], strict=True)] for program in steps}
    return [
        {
            "case": name, "program": program, "wall_ms": wall * 1e3, "wall_ratio": middle["released"][0] / wall,
            "cpu_ms": cpu * 1e3, "cpu_ratio": middle["released"][1] / cpu, "error": error,
        }
        for program, (wall, cpu) in middle.items()
    ]  # fmt: skip


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    return (
        f"{row['case']:>9} {row['program']:>9} {row['wall_ms']:>9.1f} {row['wall_ratio']:>6.2f} {row['cpu_ms']:>9.1f} "
        f"{row['cpu_ratio']:>6.2f} {row['error']:>8.1e}"
    )


if __name__ == "__main__":
    bench_wavelets()
