"""Whether this package's training learns what a plain PyTorch loop with kymatio learns, and how long each takes.

    python scripts/compare_loops.py data_root=FOLDER
    python scripts/compare_loops.py seeds=5 settings=[model.head.k=2,"trainer.duration='300 steps'"] set=[trainer.precision=bf16]

Both train the network of `settings` on the same few labels of CIFAR-10 by the published protocol, with the same optimizer and
schedule, once per seed; both are tested on all test images. The plain loop is the one of bench_training.py: a DataLoader over
torchvision's transforms, kymatio's `Scattering2D`, float32, torch's own memory format. Ours is `train.py`'s; "set" is that
with the settings of set=. A seed decides weights, order and augmentation, but the loops draw differently: it is means over seeds
that can agree. Printed: the accuracy (%) and seconds of each run, its test not counted; then mean ± standard deviation, the
difference from the plain loop with its standard error and Welch's p, and how many times faster (medians).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from measured_rows import write_rows
from omegaconf import DictConfig, OmegaConf
from scipy.stats import t
from torch.utils.data import DataLoader
from torchvision import transforms
from training_loops import Photographs, plain_step

from hybrid.configuration import instantiate
from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from, model_from
from hybrid.configuration.output_paths import check_file
from hybrid.data import Data
from hybrid.durations import RunLength
from hybrid.errors import UserError
from hybrid.seeding import seed_everything
from hybrid.training.run import run
from hybrid.training.schedule import apply

_RECIPE = ("experiment=cifar10_few_labels", "data.subset.n=100", "trainer.batch_size=100")
_QUIET = ("analysis=none", "trainer.tensorboard=false", "trainer.progress=none", "trainer.log_every='1000000 steps'")
_SHORT = ("model.head.k=2", "trainer.duration='300 steps'")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    seeds: int = option("how many, from 0", default=5)
    settings: tuple[str, ...] = option("of both, on top of the experiment of 100 labels", default=_SHORT)
    set: tuple[str, ...] = option("a third side: ours with these, [trainer.precision=bf16]", default=())
    data_root: str | None = option("folder of the data; null: as configs/data says", default=None)
    device: Literal["cpu", "cuda"] = option("where both train", default="cpu")
    threads: int = option("of the CPU", default=torch.get_num_threads())
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 2, "seeds")
        check_at_least(self, 1, "threads")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch sees no GPU here. Valid: cpu.")
        check_file("json", self.json)


@dataclass(frozen=True)
class Result:
    """What one training came to: test accuracy in %, seconds."""

    accuracy: float
    seconds: float


@command(Options)
def compare_loops(options: Options) -> None:
    """Train on every side in turn, seed by seed; print; write the JSON file if it is wanted."""
    torch.set_num_threads(options.threads)
    sides: dict[str, Callable[[int], Result]] = {
        "plain": lambda seed: train_plainly(configuration(options, seed, "model.frontend.engine=kymatio")),
        "ours": lambda seed: train_by_the_trainer(configuration(options, seed)),
    }
    if options.set:
        sides["set"] = lambda seed: train_by_the_trainer(configuration(options, seed, *options.set))
    results: dict[str, list[Result]] = {side: [] for side in sides}
    print(f"{'seed':>4}" + "".join(f"{f'{side} %':>9}{f'{side} s':>9}" for side in sides), flush=True)
    for seed in range(options.seeds):
        for side, train in sides.items():
            results[side].append(train(seed))
        last = [results[side][-1] for side in sides]
        print(f"{seed:>4}" + "".join(f"{result.accuracy:>9.2f}{result.seconds:>9.1f}" for result in last), flush=True)
    summary = summarize(results)
    for line in in_words(summary):
        print(line)
    rows = [
        {"side": side, "seed": k, **vars(result)} for side, runs in results.items() for k, result in enumerate(runs)
    ]
    write_rows(options, rows, summary=summary)


def configuration(options: Options, seed: int, *settings: str) -> DictConfig:
    root = [] if options.data_root is None else [f"data.root={options.data_root}"]
    device = f"trainer.device={options.device}"
    cfg = compose([*_RECIPE, *_QUIET, *root, device, *options.settings, *settings, f"seed={seed}"])
    usual = compose([*_RECIPE, *_QUIET])
    for path in ("augmentation", "data.normalize", "trainer.label_smoothing", "trainer.clip_norm", "trainer.ema"):
        if OmegaConf.select(cfg, path) != OmegaConf.select(usual, path):
            raise UserError(f"settings: {path} cannot be changed here: the plain loop has only the experiment's own.")
    return cfg


def train_by_the_trainer(cfg: DictConfig) -> Result:
    """A run of train.py, whose folder is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        cfg.run.root = folder
        summary = run(cfg)
    return Result(summary["test"]["top1"], summary["seconds"])


def train_plainly(cfg: DictConfig) -> Result:
    """The loop of PyTorch's tutorials and kymatio's examples."""
    device = torch.device(cfg.trainer.device)
    data = data_from(cfg.data, cfg.augmentation, seed=cfg.seed)
    seed_everything(cfg.seed)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes).to(device)
    optimizer = instantiate(cfg.optimizer, path="optimizer", model=model)
    loader = DataLoader(plain_images(data, cfg), batch_size=cfg.trainer.batch_size, shuffle=True)
    length = RunLength.of(cfg.trainer.duration, steps_per_epoch=len(loader), path="trainer.duration")
    steps, schedule = length.total_steps, instantiate(cfg.schedule, path="schedule", length=length)
    began, step = time.perf_counter(), 0
    while step < steps:
        for images, labels in loader:
            if step < steps:
                apply(schedule(step), optimizer)
                plain_step(model.train(), optimizer, images.to(device), labels.to(device))
            step += 1
    seconds = time.perf_counter() - began
    return Result(accuracy(model.eval(), data, device), seconds)


def plain_images(data: Data, cfg: DictConfig) -> Photographs:
    """The training images with torchvision's crops and flips."""
    split, size = data.splits["train"], data.image_shape[-1]
    crop = transforms.RandomCrop(size, padding=cfg.augmentation.pad, padding_mode="symmetric")
    flip = transforms.RandomHorizontalFlip(cfg.augmentation.flip)
    return Photographs(split.images, split.labels, transform=transforms.Compose([flip, crop, transforms.ToTensor()]))


@torch.no_grad()
def accuracy(model: torch.nn.Module, data: Data, device: torch.device) -> float:
    """Of the test images, in %."""
    loader = data.loader("test", batch_size=250, device=device)
    hits = sum(int((model(batch.images).argmax(1) == batch.labels).sum()) for batch in loader.epoch(0))
    return 100 * hits / len(data.splits["test"])


def summarize(results: dict[str, list[Result]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each side; of all but the plain loop, how they compare with it."""
    plain, summary = results["plain"], {}
    for side, runs in results.items():
        accuracies = [result.accuracy for result in runs]
        summary[side] = {"mean": statistics.fmean(accuracies), "std": statistics.stdev(accuracies)}
        if side != "plain":
            summary[side] |= compare(summary["plain"], summary[side], runs=len(runs))
            summary[side]["faster"] = median_seconds(plain) / median_seconds(runs)
    return summary


def median_seconds(runs: list[Result]) -> float:
    return statistics.median(result.seconds for result in runs)


def compare(plain: dict[str, float], other: dict[str, float], *, runs: int) -> dict[str, float]:
    """The difference of two means over as many runs, its standard error, and Welch's p."""
    variances = [side["std"] ** 2 / runs for side in (plain, other)]
    difference, error = other["mean"] - plain["mean"], sum(variances) ** 0.5
    p = welch_p(difference / error, variances, runs=runs) if error else float(difference == 0)
    return {"difference": difference, "standard_error": error, "p": p}


def welch_p(quotient: float, variances: list[float], *, runs: int) -> float:
    """Probability of a difference of means at least `quotient` standard errors large, where there is none (Welch 1947)."""
    freedom = sum(variances) ** 2 / sum(variance**2 / (runs - 1) for variance in variances)
    return float(2 * t.sf(abs(quotient), freedom))


def in_words(summary: dict[str, dict[str, float]]) -> list[str]:
    lines = []
    for side, found in summary.items():
        line = f"{side:>5}: {found['mean']:.2f} ± {found['std']:.2f} %"
        if side != "plain":
            line += f", {found['difference']:+.2f} ± {found['standard_error']:.2f} from plain (p = {found['p']:.2f})"
            line += f", {found['faster']:.2f} times as fast"
        lines.append(line)
    return lines


if __name__ == "__main__":
    compare_loops()
