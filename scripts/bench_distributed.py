"""Training speed on 1, 2, … processes of this machine, and what the exchange of gradients costs of it.

    python scripts/bench_distributed.py
    python scripts/bench_distributed.py ranks=[1,2] model=scat_wrn size=32 channels=3 batch=64 json=scaling.json

Each row starts that many processes with torchrun, one thread each (or one GPU each), on random images that lie in memory:
nothing is read or augmented. The batch is the global one, so a row with twice the ranks has half the images per rank (as many
with `weak=true`). The rows run one after the other, `repeats` times in turn, and the fastest of each counts: other work on the
machine only adds time. Columns: images/s over all ranks; its ratio to the first row; ms per step; ms of these in the sum of
gradients, waiting for the slowest rank included; MB that each rank puts into that sum.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybrid import distributed
from hybrid.configuration import build_record, instantiate
from hybrid.configuration.arguments import check_at_least, check_not_empty, command, option
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.configuration.output_paths import check_file, writing
from hybrid.data import Batch
from hybrid.distributed.gradients import GradientSum
from hybrid.distributed.launch import Launch
from hybrid.distributed.sync_batch_norm import synchronize_batch_norm
from hybrid.errors import UserError
from hybrid.files import write_json
from hybrid.seeding import seed_everything
from hybrid.training.device import rank_device
from hybrid.training.settings import TrainerSettings
from hybrid.training.step import Meter, train_step

_RESULT = "HYBRID_BENCH_RESULT"  # where rank 0 leaves its row


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    ranks: tuple[int, ...] = option(
        "numbers of processes; the first row is what the others are compared with", default=(1, 2)
    )
    model: str = option("a name of configs/model", default="scat_resnet")
    size: int = option("side of the images", default=32)
    channels: int = option("of the images", default=1)
    classes: int = option("to tell apart", default=10)
    batch: int = option("images per step, of all ranks together", default=64)
    weak: bool = option("the batch is that of one rank, and grows with their number", default=False)
    sync_batch_norm: bool = option("batch norm over all ranks' images", default=False)
    steps: int = option("that are timed, after three that are not", default=10)
    repeats: int = option("of the whole table; the fastest of each row counts", default=3)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "size", "channels", "classes", "batch", "steps", "repeats")
        check_not_empty(self, "ranks")
        for count in self.ranks:
            if count < 1 or (not self.weak and self.batch % count):
                raise UserError(f"ranks={list(self.ranks)}: each must be at least 1 and divide batch={self.batch}.")
        check_file("json", self.json)


@command(Options)
def bench_distributed(options: Options) -> None:
    """Start the processes of each row, or be one of them."""
    if Launch.read().manner == "torchrun":
        measure(options)
        return
    rows: dict[int, dict[str, float]] = {}
    for _ in range(options.repeats):
        for count in options.ranks:
            row = start(count)
            if count not in rows or row["step"] < rows[count]["step"]:
                rows[count] = row
    print(f"{'ranks':>5} {'images/s':>9} {'ratio':>6} {'ms/step':>8} {'ms in the sum':>13} {'MB':>7}")
    for count, row in rows.items():
        ratio = row["images_per_second"] / rows[options.ranks[0]]["images_per_second"]
        print(
            f"{count:>5} {row['images_per_second']:>9.1f} {ratio:>6.2f} {1000 * row['step']:>8.1f} "
            f"{1000 * row['sum']:>13.1f} {row['bytes'] / 1e6:>7.2f}"
        )
    if options.json:
        with writing("json", options.json):
            write_json(Path(options.json), [{"ranks": count, **row} for count, row in rows.items()])
        print(f"{len(rows)} rows written: {options.json}")


def start(count: int) -> dict[str, float]:
    """One row, measured by `count` new processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "row.json"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", _RESULT: str(result)}
        paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        done = subprocess.run([*torchrun, __file__, *sys.argv[1:]], env=environment, capture_output=True, text=True)
        if not result.exists():
            raise UserError(f"{count} processes: torchrun ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return json.loads(result.read_text())


def measure(options: Options) -> None:
    """The work of one rank."""
    with distributed.session(timeout=60):
        count = distributed.size()
        cfg = compose([f"model={options.model}", f"trainer.sync_batch_norm={str(options.sync_batch_norm).lower()}"])
        settings = build_record(TrainerSettings, cfg.trainer, path="trainer")
        device = rank_device(settings.device, Launch.read())
        seed_everything(0)
        shape = (options.channels, options.size, options.size)
        model = model_from(cfg.model, image_shape=shape, num_classes=options.classes)
        if settings.sync_batch_norm:
            synchronize_batch_norm(model, device)
        model.to(device, memory_format=torch.channels_last).train()
        total = options.batch * (count if options.weak else 1)
        row = time_steps(model, settings, cfg, shape, total, options, device)
        if distributed.is_main():
            write_json(Path(os.environ[_RESULT]), row)


def time_steps(
    model: torch.nn.Module,
    settings: TrainerSettings,
    cfg: Any,
    shape: tuple[int, int, int],
    total: int,
    options: Options,
    device: torch.device,
) -> dict[str, float]:
    """Seconds of a step and of its sum of gradients, images per second, bytes of the sum."""
    optimizer = instantiate(cfg.optimizer, path="optimizer", model=model)
    scaler, meter = torch.amp.GradScaler(device.type, enabled=False), Meter(device)
    sum_gradients = TimedSum(GradientSum(model), device)
    share = distributed.own_shares(accumulation=1).of(total)
    labels = torch.randint(0, options.classes, (sum(share.sizes),), device=device)
    batch = Batch(torch.randn(len(labels), *shape, device=device), labels, labels, labels)
    for number in range(3 + options.steps):
        if number == 3:
            sum_gradients.seconds, began = 0.0, now(device)
        train_step(
            model, optimizer, scaler, batch, meter,
            settings=settings, step=number + 1, share=share, sum_gradients=sum_gradients,
        )  # fmt: skip
    seconds = (now(device) - began) / options.steps
    return {
        "step": seconds,
        "images_per_second": total / seconds,
        "sum": sum_gradients.seconds / options.steps,
        "bytes": sum_gradients.inner.bytes_per_step,
    }


class TimedSum:
    """A GradientSum and the seconds that it has taken."""

    def __init__(self, inner: GradientSum, device: torch.device) -> None:
        self.inner, self.device, self.seconds = inner, device, 0.0

    def __call__(self, weight: float) -> None:
        began = now(self.device)
        self.inner(weight)
        self.seconds += now(self.device) - began


def now(device: torch.device) -> float:
    """The time when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    bench_distributed()
