"""Whether several seeds of one configuration train faster as one network with stacked weights than as processes of their own.

    python scripts/bench_stacked_seeds.py
    python scripts/bench_stacked_seeds.py seeds=4 rounds=7 models=[scat_linear] dropout=0.1

The prototype is `torch.func.vmap` over `stack_module_state`: normalization and head have weights (seeds, …), the front-end takes
the images of all seeds as one batch, and one optimizer updates all. Each seed has images, batch norm and dropout of its own.
Both sides train on ready batches of 100 images of 32x32, the plain loop without a trainer, from the same weights. `apart` is two
processes with one thread each, every one with half of the seeds, one after the other. `stacked` is one process with two threads,
and `one thread` the same with one. Printed: ms a step and seed, of processor time (all threads) and of the clock, as medians
over the rounds, in which the sides take turns; and the largest difference of a weight after the steps, where nothing is dropped.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from

_IMAGES, _BATCHES = 100, 4
_MODELS = {"scat_linear": (), "scat_wrn": ("model.head.k=2",)}
_RATE, _MOMENTUM = 0.01, 0.9


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    models: tuple[str, ...] = option("of scat_linear, scat_wrn (k=2)", default=tuple(_MODELS))
    seeds: int = option("an even number", default=2)
    steps: int = option("of every seed in a round", default=10)
    rounds: int = option("in which each side has its turn", default=5)
    dropout: float = option("of the head", default=0.0)
    side: str | None = option("apart, stacked, one thread or equal: what a process of this program does", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "steps", "rounds")
        check_at_least(self, 1, "seeds")


class Stack(nn.Module):
    """Normalization and head."""

    def __init__(self, normalization: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.normalization, self.head = normalization, head

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.normalization(features))


def build(name: str, seed: int, dropout: float) -> tuple[nn.Module, Stack]:
    """The front-end, and the rest in training mode, with the weights of a seed."""
    torch.manual_seed(seed)
    cfg = compose([f"model={name}", *_MODELS[name], f"model.head.dropout={dropout}"])
    model = model_from(cfg.model, image_shape=(3, 32, 32), num_classes=10)
    return model.frontend, Stack(model.normalization, model.head).train()


def batches(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Images and labels of a seed."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(_IMAGES) % 10
    return [(torch.randn(_IMAGES, 3, 32, 32, generator=generator), labels) for _ in range(_BATCHES)]


def apart(name: str, seed: int, dropout: float) -> tuple[Callable[[int], None], Stack]:
    """A step of one seed, and what it trains."""
    front, rest = build(name, seed, dropout)
    optimizer, ready = torch.optim.SGD(rest.parameters(), lr=_RATE, momentum=_MOMENTUM), batches(seed)

    def step(number: int) -> None:
        images, labels = ready[number % _BATCHES]
        optimizer.zero_grad()
        F.cross_entropy(rest(front(images)), labels).backward()
        optimizer.step()

    return step, rest


def stacked(name: str, seeds: list[int], dropout: float) -> tuple[Callable[[int], None], dict[str, Tensor]]:
    """A step of all seeds, and their stacked weights."""
    built = [build(name, seed, dropout) for seed in seeds]
    front, base = built[0][0], deepcopy(built[0][1]).to("meta")
    weights, buffers = stack_module_state([rest for _, rest in built])
    each = [batches(seed) for seed in seeds]
    ready = [tuple(torch.stack(parts) for parts in zip(*own, strict=True)) for own in zip(*each, strict=True)]
    optimizer = torch.optim.SGD(list(weights.values()), lr=_RATE, momentum=_MOMENTUM)

    def loss(own: dict[str, Tensor], statistics: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, statistics), (features,)), labels)

    losses = vmap(loss, randomness="different")

    def step(number: int) -> None:
        images, labels = ready[number % _BATCHES]
        optimizer.zero_grad()
        features = front(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        losses(weights, buffers, features, labels).sum().backward()
        optimizer.step()

    return step, weights


def measured(options: Options) -> dict[str, Any]:
    """What a process does: (processor, wall) seconds of all steps of one round; or the difference of the weights."""
    (name,), seeds = options.models, list(range(options.seeds))
    torch.set_num_threads(2 if options.side == "stacked" else 1)
    if options.side in ("stacked", "one thread"):
        steps = [stacked(name, seeds, options.dropout)[0]]
    else:
        steps = [apart(name, seed, options.dropout)[0] for seed in seeds]
    if options.side == "equal":
        return {"difference": difference(name, seeds, options.steps)}
    for step in steps:
        step(0)
    processor, wall = time.process_time(), time.perf_counter()
    for step in steps:
        for number in range(options.steps):
            step(number)
    return {"processor": time.process_time() - processor, "wall": time.perf_counter() - wall}


def difference(name: str, seeds: list[int], steps: int) -> float:
    """The largest difference of a weight after some steps."""
    together, weights = stacked(name, seeds, 0.0)
    alone = [apart(name, seed, 0.0) for seed in seeds]
    for number in range(steps):
        together(number)
        for step, _ in alone:
            step(number)
    pairs = [(weights[key][k], tensor) for k, (_, rest) in enumerate(alone) for key, tensor in rest.named_parameters()]
    return max(float((one - other).detach().abs().max()) for one, other in pairs)


@command(Options)
def bench_stacked_seeds(options: Options) -> None:
    """Print a line for each network and side."""
    if options.side is not None:
        print(json.dumps(measured(options)))
        return
    print(f"{'ms a step and seed':>20} {'side':>10} {'processor':>10} {'wall':>8}")
    for name in options.models:
        rounds: dict[str, list[tuple[float, float]]] = {"apart": [], "stacked": [], "one thread": []}
        for _ in range(options.rounds):
            for side, found in rounds.items():
                found.append(_turn(name, side, options))
        for side, found in rounds.items():
            processor, wall = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"{name:>20} {side:>10} {processor:10.2f} {wall:8.2f}", flush=True)
        (equal,) = _processes(name, "equal", options.seeds, options, count=1)
        print(
            f"{name:>20}: weights differ by {equal['difference']:.1e} at most after {options.steps} steps", flush=True
        )


def _turn(name: str, side: str, options: Options) -> tuple[float, float]:
    """ms of a step and seed: of processor time, and of the clock."""
    count = 2 if side == "apart" else 1
    found = _processes(name, side, options.seeds // count, options, count=count)
    scale = 1000 / (options.seeds * options.steps)
    return scale * sum(each["processor"] for each in found), scale * max(each["wall"] for each in found)


def _processes(name: str, side: str, seeds: int, options: Options, *, count: int) -> list[dict[str, Any]]:
    arguments = [f"models=[{name}]", f"side={side}", f"seeds={max(2, seeds) if side != 'apart' else seeds}"]
    arguments += [f"steps={options.steps}", f"dropout={options.dropout}"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    started = [
        subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(count)
    ]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


if __name__ == "__main__":
    bench_stacked_seeds()
