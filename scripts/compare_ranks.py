"""Whether 2, 3 and 4 ranks train what one trains: whole runs over the heads and the settings that concern several ranks.

    python scripts/compare_ranks.py
    python scripts/compare_ranks.py cases=[wrn,mixup] ranks=[2] json=ranks.json

Each case trains a narrow model on some hundred images of 16×16 pixels for a few steps, in whole runs: data, augmentation,
evaluation, checkpoints, test. Each number of ranks is that many processes of this machine with one thread each, which exchange
by gloo on the CPU. What a run leaves is compared with the same run of one rank, in float32 and in float64 (there the model's
weights and images are doubles; the rest of the run is as it is).

Columns: the largest absolute difference, over all ranks, of the weights, running statistics and averaged weights in last.pt,
and of the numbers in metrics.jsonl and of the test (losses, and accuracies in %). In float64 rounding is 2²⁹ = 5·10⁸ times
finer: a difference that shrinks as much is rounding, and is called so up to 1e-9. "one rank" is how far the weights of one rank
in float32 are from its own in float64: what rounding does to the case anyway, which is much where a ReLU or a maximum has
chosen otherwise. The cases that differ by their definition say why. The exit code is the number of cases whose difference in
float64 is larger and has no such reason, or is too small to have one.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401  (the digits are in it: here once, rather than in every process)
import torch
import yaml
from measured_rows import check_cases, write_rows
from omegaconf import DictConfig, OmegaConf
from rank_cases import CASES, Case, make_data, parsed, settings_of

from hybrid import distributed
from hybrid.configuration.arguments import check_not_empty, command, option
from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError
from hybrid.runs.jsonl import read_metrics
from hybrid.training import run as training

ROUNDING = 1e-9  # the largest difference in float64 that is called rounding
_DTYPES = ("float32", "float64")
_PATIENCE = 120  # seconds for a run
_STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option("which, by their names", default=tuple(CASES))
    ranks: tuple[int, ...] = option("numbers of ranks that are compared with one", default=(2, 3, 4))
    dtypes: tuple[str, ...] = option("of float32 and float64", default=_DTYPES)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_cases(self, CASES)
        check_not_empty(self, "ranks", "dtypes")
        if unknown := set(self.dtypes) - set(_DTYPES):
            raise UserError(f"dtypes={sorted(unknown)} is not valid: choose of {', '.join(_DTYPES)}.")
        if bad := [count for count in self.ranks if count < 2 or 24 % count]:
            raise UserError(f"ranks={bad} is not valid: a number of ranks is at least 2 and divides the batch of 24.")
        check_file("json", self.json)


@dataclass(frozen=True)
class Left:
    """What a run has left: its tensors and its numbers by name."""

    tensors: Mapping[str, torch.Tensor]
    numbers: Mapping[str, float]

    def differences(self, other: Left) -> tuple[float, float]:
        """The largest absolute difference of the tensors, and of the numbers. Raises UserError unless both have the same."""
        if self.tensors.keys() != other.tensors.keys() or self.numbers.keys() != other.numbers.keys():
            names = (self.tensors.keys() ^ other.tensors.keys()) | (self.numbers.keys() ^ other.numbers.keys())
            raise UserError(f"only one of two runs has {sorted(names)[0]}: the runs cannot be compared.")
        pairs = ((value.double(), other.tensors[name].double()) for name, value in self.tensors.items())
        weights = max(float((one - two).abs().max()) for one, two in pairs if one.numel())
        return weights, max(abs(value - other.numbers[name]) for name, value in self.numbers.items())


@command(Options)
def compare_ranks(options: Options) -> None:
    """Run every case on one rank and on several, print a line for each; exit code 1 where a difference is unexplained."""
    torch.set_num_threads(1)
    heads = "".join(f" weights, {dtype} | metrics |" for dtype in options.dtypes)
    heads += " one rank |" * (len(options.dtypes) > 1)
    print(f"| case |{heads} |\n| --- |{' ---: |' * (heads.count('|'))} --- |", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder))
        for name in options.cases:
            rows.append(row := compare_case(name, options, Path(folder)))
            values = [value for pair in row["differences"].values() for value in pair] + row["one rank"]
            cells = "".join(f" {value:.1e} |" for value in values)
            print(f"| {name} |{cells} {row['verdict']} |", flush=True)
    write_rows(options, rows)
    if unexplained := [row["case"] for row in rows if row["verdict"].startswith("UNEXPLAINED")]:
        raise SystemExit(len(unexplained))


def compare_case(name: str, options: Options, folder: Path) -> dict[str, Any]:
    """The largest differences of a case in each dtype, over the numbers of ranks, and a word about them."""
    found: dict[str, tuple[float, float]] = {}
    references = []
    for dtype in options.dtypes:
        alone, *several = (train(name, count, folder, dtype=dtype) for count in (1, *options.ranks))
        references.append(alone)
        every = [alone.differences(other) for other in several]
        found[dtype] = tuple(max(values) for values in zip(*every, strict=True))
    own = [one.differences(other)[0] for one, other in itertools.pairwise(references)]
    return {"case": name, "differences": found, "one rank": own, "verdict": verdict(CASES[name], found.get("float64"))}


def verdict(case: Case, found: tuple[float, float] | None) -> str:
    """Whether the differences of float64 are rounding, have the reason that the case names, or are neither."""
    if found is None:
        return "not judged without float64"
    if case.differs:
        return case.differs if max(found) > ROUNDING else f"UNEXPLAINED: no difference, though {case.differs}"
    return "equal" if max(found) == 0 else "rounding" if max(found) <= ROUNDING else "UNEXPLAINED"


def train(name: str, ranks: int, folder: Path, *, dtype: str) -> Left:
    """What the case's run leaves. On one rank it is neither stopped nor continued otherwise: that is the reference."""
    case, root = CASES[name], folder / re.sub(r"\W+", "-", name) / dtype / str(ranks)
    settings = settings_of(case, folder) | {"run.root": str(root)}
    run = Run(root, dtype=dtype)
    if case.then is None or ranks == 1:
        run.start(settings, ranks)
    else:
        run.start(settings, ranks, stop_at=3)
        then = parsed(case.then)
        run.keep(then)
        run.start(settings | then, case.then_ranks or ranks)
    left = run.left()
    shutil.rmtree(root)
    return left


class Run:
    """A run in a folder of its own, as often as it is started, in doubles for dtype="float64"."""

    def __init__(self, root: Path, *, dtype: str) -> None:
        self.root, self.dtype = root, dtype
        self.root.mkdir(parents=True)

    def start(self, settings: Mapping[str, str], ranks: int, *, stop_at: int | None = None) -> None:
        """Train on that many new processes, to the end or to a SIGTERM after step `stop_at`. UserError if one fails."""
        cfg = compose([f"{key}={value}" for key, value in settings.items()])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # forked: a new one would import torch for two seconds
        context = multiprocessing.get_context("fork")
        shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        several = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in range(ranks)] if ranks > 1 else [{}]
        processes = [context.Process(target=self._work, args=(cfg, each, stop_at)) for each in several]
        for process in processes:
            process.start()
        for process in processes:
            process.join(_PATIENCE)
            process.kill()
            process.join()
        codes, expected = [process.exitcode for process in processes], 0 if stop_at is None else _STOPPED
        if codes != [expected] * ranks:
            raise UserError(f"{self.root}: the run of {ranks} ranks ended with {codes}: {self._said()}")

    def keep(self, changed: Mapping[str, str]) -> None:
        """Change settings in the configuration that the run has kept: one of the command line would be another run."""
        path = self.root / "run" / "config.yaml"
        cfg = OmegaConf.load(path)
        for key, value in changed.items():
            OmegaConf.update(cfg, key, yaml.safe_load(value))
        OmegaConf.save(cfg, path)

    def left(self) -> Left:
        """What is in the finished run's folder."""
        content = torch.load(self.root / "run" / "checkpoints" / "last.pt", weights_only=True)
        averages = (content.get("ema") or {}).get("weights", {})
        tensors = {**content["model"], **{f"ema {name}": value for name, value in averages.items()}}
        numbers = {
            f"{key} of step {record['step']}": value
            for record in read_metrics(self.root / "run" / "metrics.jsonl")
            for key, value in record.items()
            if not key.startswith("speed/")
        }
        return Left(tensors, numbers)

    def _work(self, cfg: DictConfig, variables: Mapping[str, Any], stop_at: int | None) -> None:
        os.environ.update({name: str(value) for name, value in variables.items()})
        file = os.open(self.root / f"said{variables.get('RANK', 0)}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        if self.dtype == "float64":
            training.model_from = in_doubles(training.model_from)
        code = guarded(lambda: training.run(cfg, callbacks=[] if stop_at is None else [StopAt(stop_at)]))
        os._exit(code)

    def _said(self) -> str:
        return " ".join("".join(path.read_text() for path in sorted(self.root.glob("said*"))).split())[-500:]


class StopAt:
    """A callback that changes nothing of a run but sends SIGTERM to the first rank after a step."""

    observer = True

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, session: Any) -> None:
        if session.state.step == self.step and distributed.is_main():
            os.kill(os.getpid(), signal.SIGTERM)


def in_doubles(make: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """A function that makes the same model with weights in float64, which takes its images in float64, too."""

    def made(*args: Any, **kwargs: Any) -> torch.nn.Module:
        model = make(*args, **kwargs).double()
        for part in (model, *model.children()):  # kept features, in float32, enter behind the front-end
            part.register_forward_pre_hook(_to_doubles)
        return model

    return made


def _to_doubles(model: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(each.double() for each in given)


if __name__ == "__main__":
    compare_ranks()
