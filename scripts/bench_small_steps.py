"""Where the time of a small training step goes, beside the bare arithmetic of it: many runs on few labels are such steps.

    python scripts/bench_small_steps.py data_root=FOLDER
    python scripts/bench_small_steps.py data_root=FOLDER before=COMMIT rounds=3

It trains the cases of `CASES` (100 labels of CIFAR-10 by a published recipe) with the trainer, as `hybrid train` does, in a
temporary folder. Counted is the processor time of one thread from the first step to the last, its records and checkpoints
included. The bare arithmetic is a plain loop on batches that lie ready: forward, cross-entropy, backward, update, of the same
network. Printed: ms a step of both, the rest (their difference), and where the trainer's time goes: data and augmentation,
front-end, the other layers, backward, optimizer, records (with meters, logs and checkpoints), all other Python. Medians over
the rounds. With `before` a commit and the working tree take turns; the last column is a hash of the weights, which must agree.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measured_rows import check_cases

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.composition import compose
from hybrid.training import trainer as trainer_module
from hybrid.training.run import run

_ROOT = Path(__file__).resolve().parents[1]
_FEW = (
    "data.subset.n=100", "trainer.device=cpu", "trainer.progress=none", "loggers=[]", "analysis=none",
    "trainer.max_evaluation_batches=1",
)  # fmt: skip
CASES = {
    "scat_linear-psn": (
        "experiment=cifar10_few_labels_psn", "trainer.batch_size=128", "trainer.duration='200 epochs'", "optimizer.lr=0.06",
    ),
    "scat_linear": (
        "experiment=cifar10_few_labels", "model=scat_linear", "trainer.duration='800 epochs'",
        "trainer.checkpoint_every='400 steps'",
    ),
    "scat_wrn": (
        "experiment=cifar10_few_labels", "model.head.k=2", "trainer.duration='40 epochs'",
        "trainer.checkpoint_every='400 steps'",
    ),
    "scat_wrn-psn": (
        "experiment=cifar10_few_labels_psn", "model=scat_wrn_psn", "model.head.k=2", "trainer.batch_size=128",
        "trainer.duration='40 epochs'", "trainer.log_every='400 steps'", "trainer.checkpoint_every='400 steps'",
    ),
}  # fmt: skip
_PARTS = ("data", "front-end", "layers", "backward", "optimizer", "records", "python")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    cases: tuple[str, ...] = option(f"of {', '.join(CASES)}", default=tuple(CASES))
    data_root: str | None = option("the folder that holds CIFAR-10; null: that of the recipe", default=None)
    before: str | None = option("a commit to compare the working tree with", default=None)
    rounds: int = option("in which each side has its turn", default=3)
    duration: str | None = option("of the training in place of the case's, '20 steps'", default=None)
    alone: bool = option("measure once in this process and print JSON: what each side does", default=False)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_at_least(self, 1, "rounds")


class Clock:
    """Processor time by part. What a part does within another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(_PARTS, 0.0)
        self._open, self._since = ["python"], time.process_time()

    def start(self) -> None:
        """Begin to count."""
        self.seconds = dict.fromkeys(_PARTS, 0.0)
        self._since = time.process_time()

    def switch(self) -> None:
        """Give the time since the last switch to the part that is open."""
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Within it, time counts for this part."""
        self.switch()
        self._open.append(name)
        try:
            yield
        finally:
            self.switch()
            self._open.pop()

    def around(self, place: Any, name: str, part: str) -> None:
        """Count the calls of a function or method for a part."""
        inner = getattr(place, name)

        @functools.wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return inner(*arguments, **named)

        setattr(place, name, timed)


class Watch:
    """A callback that counts the processor time of the steps, by part, and keeps what the bare loop needs."""

    observer = True

    def __init__(self) -> None:
        self.clock, self.batches, self.digest = Clock(), [], ""

    def on_fit_start(self, session: Any) -> None:
        """Time the parts of this model, and begin to count."""
        model, clock = session.state.model, self.clock
        self.model, self.optimizer = model, session.state.optimizer
        model.frontend.forward = self._timed(model.frontend.forward, "front-end")
        for part in (model.normalization, model.head):
            part.forward = self._timed(part.forward, "layers")
        clock.around(session.state.optimizer, "step", "optimizer")
        clock.around(session.state.meter, "add", "records")
        self.began = time.process_time()
        clock.start()

    def on_step(self, session: Any) -> None:
        """Note how many there were."""
        self.steps = session.state.step

    def on_fit_end(self, session: Any) -> None:
        """Stop counting."""
        self.clock.switch()
        self.seconds, self.parts = time.process_time() - self.began, dict(self.clock.seconds)
        digest = hashlib.sha256()
        for tensor in session.state.model.state_dict().values():
            digest.update(tensor.contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()[:10]

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            with self.clock.part(part):
                return function(*arguments)

        return timed


def measure(case: str, options: Options) -> dict[str, Any]:
    """Train a case once, and run its bare arithmetic; ms of a step."""
    torch.set_num_threads(1)
    watch, own = Watch(), [f"trainer.duration='{options.duration}'"] if options.duration else []
    if options.data_root is not None:
        own.append(f"data.root={options.data_root}")
    clock, kept = watch.clock, watch.batches
    batches = trainer_module.Trainer._batches

    def counted(trainer: Any, step: int) -> Iterator[Any]:
        inner = batches(trainer, step)
        while True:
            with clock.part("data"):
                batch = next(inner)
            if len(kept) < 8:
                kept.append(batch)
            yield batch

    trainer_module.Trainer._batches = counted
    for name in ("_report", "save"):
        clock.around(trainer_module.Trainer, name, "records")
    clock.around(torch.Tensor, "backward", "backward")
    with tempfile.TemporaryDirectory() as folder:
        run(compose([*_FEW, *CASES[case], *own, f"run.root={folder}"]), callbacks=[watch])
    parts = {name: 1000 * seconds / watch.steps for name, seconds in watch.parts.items()}
    bare = bare_arithmetic(watch)
    return {"step": 1000 * watch.seconds / watch.steps, "bare": 1000 * bare, **parts, "weights": watch.digest}


def bare_arithmetic(watch: Watch) -> float:
    """Seconds of processor time of a step that does nothing else."""
    model, kind = watch.model.train(), type(watch.optimizer)
    for part in (model.frontend, model.normalization, model.head):
        del part.forward
    groups = [{**group, "params": list(group["params"])} for group in watch.optimizer.param_groups]
    optimizer, ready = kind(groups, lr=0.0), [(batch.images, batch.targets) for batch in watch.batches]
    steps = min(watch.steps, 400)
    for number in range(-2, steps):
        if number == 0:
            began = time.process_time()
        images, labels = ready[number % len(ready)]
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return (time.process_time() - began) / steps


@command(Options)
def bench_small_steps(options: Options) -> None:
    """Print a row for each case and side."""
    if options.alone:
        print(json.dumps({case: measure(case, options) for case in options.cases}))
        return
    columns = ("step", "bare", "rest", *_PARTS)
    print(f"{'ms of processor time':>20} {'side':>6} " + " ".join(f"{name:>9}" for name in columns) + "  weights")
    with _trees(options.before) as trees:
        for case in options.cases:
            rounds: dict[str, list[dict[str, Any]]] = {side: [] for side in trees}
            for _ in range(options.rounds):
                for side, tree in trees.items():
                    rounds[side].append(_in_a_process(case, tree, options))
            for side, found in rounds.items():
                row = {name: statistics.median(each[name] for each in found) for name in ("step", "bare", *_PARTS)}
                row["rest"] = statistics.median(each["step"] - each["bare"] for each in found)
                weights = "/".join(sorted({each["weights"] for each in found}))
                print(
                    f"{case:>20} {side:>6} " + " ".join(f"{row[name]:9.2f}" for name in columns) + f"  {weights}",
                    flush=True,
                )


def _in_a_process(case: str, tree: Path, options: Options) -> dict[str, Any]:
    more = [f"{name}={value}" for name in ("data_root", "duration") if (value := getattr(options, name)) is not None]
    arguments = [sys.executable, __file__, f"cases=[{case}]", "alone=true", *more]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])[case]


@contextlib.contextmanager
def _trees(before: str | None) -> Iterator[dict[str, Path]]:
    """Side -> the folder of its code."""
    if before is None:
        yield {"now": _ROOT}
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "before")
        subprocess.run(["git", "-C", _ROOT, "worktree", "add", "--quiet", "--detach", tree, before], check=True)
        try:
            yield {"before": tree, "now": _ROOT}
        finally:
            subprocess.run(["git", "-C", _ROOT, "worktree", "remove", "--force", tree], check=True)


if __name__ == "__main__":
    bench_small_steps()
