"""Tries to break hybrid at random: odd words and numbers, odd yaml, flipped bytes, hostile class paths, kills.

    python scripts/fuzz.py                       # some three minutes; before a release
    python scripts/fuzz.py seconds=600 seed=7 kinds=numbers,bytes

Every try must end well or with one line. The program prints counts: tries, tries that were right, tries that were answered in
one line, tracebacks, wrong results. It exits with 1 where there is a traceback or a wrong result, and names the tries.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "configuration")]

import test_fuzz as words  # noqa: E402

import hybrid  # noqa: E402
from hybrid.commands.evaluate import evaluate  # noqa: E402
from hybrid.commands.export import export  # noqa: E402
from hybrid.commands.inspect import inspect  # noqa: E402
from hybrid.commands.report import report  # noqa: E402
from hybrid.configuration.arguments import command, option  # noqa: E402
from hybrid.configuration.composition import compose  # noqa: E402
from hybrid.configuration.entry import guarded  # noqa: E402
from hybrid.configuration.hydra_arguments import read_whole  # noqa: E402
from hybrid.training import checkpoint  # noqa: E402
from hybrid.training import run as training  # noqa: E402

PROCESSES = multiprocessing.get_context("forkserver")  # a process that has imported all, and has no thread yet
PROCESSES.set_forkserver_preload(["hybrid.training.run", "hybrid.training.restore", "sklearn.datasets"])
KINDS = ("words", "numbers", "yaml", "bytes", "targets", "kills")
NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1",
    "2",
    "-0.0",
    "0.5",
    "1e300",
    "1e-300",
    "1e30",
    "1099511627776",
    "3.7",
    str(2**70),
]
YAML = ["a: [", "\t", "x: 1\nx: 2", "trainer: 5", "model: scat_linear", "optimizer:", "&a [*a]", "!!python/object:os.system x",
        "\x00", "- 1", "trainer: {batch_size: nan}", "defaults: nothing", "${nothing}", "data: null", "é: ['"]  # fmt: skip
TARGETS = [
    "os.system",
    "subprocess.call",
    "builtins.exec",
    "builtins.eval",
    "shutil.rmtree",
    "pathlib.Path.touch",
    "os.mkdir",
    "planted.Head",
    "torch.load",
    "hybrid.files.write_text",
    "${oc.env:TARGET}",
]
PLACES = ("model.head", "model.frontend", "data", "loss", "optimizer", "schedule", "callbacks", "metrics", "loggers")
DOORS = ("evaluate", "inspect", "export", "--from", "load_run")
RUN = ["data=digits", "model=scat_linear", "data.subset.n=100", "trainer.batch_size=10", "analysis=none", "loggers=[csv]",
       "trainer.duration=60 steps", "trainer.checkpoint_every=1 steps", "trainer.evaluate_every=60 steps"]  # fmt: skip
FILES = [
    "checkpoints/last.pt",
    "checkpoints/best.pt",
    "metrics.jsonl",
    "config.yaml",
    "summary.json",
    "environment.json",
]
ALWAYS_RIGHT, LINE, TRACEBACK, WRONG = "right", "one line", "traceback", "wrong"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    seconds: float = option("for all kinds together", default=180.0)
    seed: int = option("of all random choices", default=0)
    kinds: tuple[str, ...] = option(f"of {', '.join(KINDS)}", default=KINDS)


@dataclass
class Fuzzer:
    """A folder to work in, a finished run in it, and the counts so far."""

    folder: Path
    random: random.Random
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    def note(self, kind: str, name: str, result: str, said: str = "") -> None:
        self.counts.setdefault(kind, Counter())[result] += 1
        if result in (TRACEBACK, WRONG):
            self.odd.append(f"{kind}: {name}: {result}: {said.strip()[-400:]}")

    def judged(self, kind: str, name: str, code: int, said: str) -> None:
        """Note a command that ended with this code, having said this on stderr."""
        errors = [line for line in said.splitlines() if line and not line.startswith("warning: ")]
        if code == 0:
            self.note(kind, name, ALWAYS_RIGHT)
        elif code == 2 and len(errors) == 1:
            self.note(kind, name, LINE)
        else:
            self.note(kind, name, TRACEBACK, said)

    def starts(self, kind: str, overrides: list[str], folders: tuple[str, ...] = ()) -> None:
        """Start a run of these overrides, which trains not at all."""
        full = [f"run.root={self.folder / 'none'}", *overrides]
        code, said = caught(lambda: guarded(lambda: training.run(compose(full)), overrides=full, folders=folders))
        self.judged(kind, " ".join(overrides), code, said)
        if list((self.folder / "none").rglob("*.pt")):
            self.note(kind, " ".join(overrides), WRONG, "a checkpoint was written")

    def evaluated(self, kind: str, name: str, run: Path, expected: str) -> None:
        """Evaluate a run; a result that differs without a word is wrong."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code, said = caught(lambda: evaluate([f"run={run}"]))
        if code == 0 and numbers_in(out.getvalue()) != expected and not said:
            self.note(kind, name, WRONG, out.getvalue())
        else:
            self.judged(kind, name, code, said)


def caught(action: Callable[[], int | None]) -> tuple[int, str]:
    """The exit code of an action and what it says on stderr; 1 and the error for one that raises."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            return action() or 0, errors.getvalue()
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
        except Exception as error:
            return 1, f"{errors.getvalue()}{type(error).__name__}: {error}"


def numbers_in(text: str) -> str:
    """The words of an evaluation without the place of the run."""
    return " ".join(word for word in text.split() if "/" not in word)


def try_words(fuzzer: Fuzzer) -> None:
    base = fuzzer.random.choice(words.BASES)
    keys = list(words.leaves(base_of(tuple(base))))
    fuzzer.starts("words", [*base, words.mistake(keys, ["model", "data", "optimizer"], fuzzer.random)])


def try_numbers(fuzzer: Fuzzer) -> None:
    base = fuzzer.random.choice(words.BASES)
    keys = [key for key in words.leaves(base_of(tuple(base))) if not key.startswith(("choices", "run."))]
    fuzzer.starts("numbers", [*base, f"{fuzzer.random.choice(keys)}={fuzzer.random.choice(NUMBERS)}"])


@functools.cache
def base_of(base: tuple[str, ...]) -> DictConfig:
    return compose(base)


def try_yaml(fuzzer: Fuzzer) -> None:
    place = fuzzer.folder / "configs" / "experiment"
    place.mkdir(parents=True, exist_ok=True)
    text = "\n".join(fuzzer.random.choices(YAML, k=fuzzer.random.randint(1, 2)))
    (place / "odd.yaml").write_text(f"# @package _global_\n{text}\n")
    full = ["experiment=odd", f"run.root={fuzzer.folder / 'none'}"]
    folders = (str(fuzzer.folder / "configs"),)
    code, said = caught(lambda: guarded(lambda: training.run(compose(full)), overrides=full, folders=folders))
    fuzzer.judged("yaml", repr(text), code, said)


def try_bytes(fuzzer: Fuzzer) -> None:
    """Flip bytes of a file of a finished run, or cut it off; then evaluate it, report it, or give its command again."""
    copy = copied(fuzzer)
    path = copy / fuzzer.random.choice([name for name in FILES if (copy / name).exists()])
    door = fuzzer.random.choice(["evaluate", "report", "again"])
    content = bytearray(path.read_bytes())
    places = [fuzzer.random.randrange(len(content)) for _ in range(fuzzer.random.choice([1, 1, 3]))]
    for at in places:
        content[at] ^= fuzzer.random.randrange(1, 256)
    path.write_bytes(content[: fuzzer.random.randrange(len(content))] if fuzzer.random.random() < 0.2 else content)
    name = f"{door}, {path.name} at {places} of {len(content)}"
    if door == "again":
        if fuzzer.random.random() < 0.5:
            (copy / "summary.json").unlink(missing_ok=True)
        code, said = caught(lambda: trained(copy.parent))
        fuzzer.judged("bytes", name, code, said)
        if code == 0 and loss_of(copy) != loss_of(finished(fuzzer)[0]) and not said:
            fuzzer.note("bytes", name, WRONG, f"another loss: {loss_of(copy)}")
    elif door == "report":
        with contextlib.redirect_stdout(io.StringIO()):
            code, said = caught(lambda: report([f"runs={copy}", "columns=all"]))
        fuzzer.judged("bytes", name, code, said)
    else:
        fuzzer.evaluated("bytes", name, copy, finished(fuzzer)[1])


def try_targets(fuzzer: Fuzzer) -> None:
    """Let a finished run name a hostile class somewhere, and open it: nothing may run, and one line must refuse it."""
    copy, owned = copied(fuzzer), fuzzer.folder / "owned"
    foreign = fuzzer.folder / "foreign"  # no folder that the user has named, unlike that of the odd yaml
    foreign.mkdir(exist_ok=True)
    (foreign / "planted.py").write_text(f"open({str(owned)!r}, 'w')\n\nclass Head:\n    pass\n")
    target, place, door = (fuzzer.random.choice(these) for these in (TARGETS, PLACES, DOORS))
    hostile = {"_target_": target, "command": f"touch {owned}", "name": str(owned), "path": str(owned)}
    nested = fuzzer.random.random() < 0.5
    cfg = OmegaConf.to_container(OmegaConf.load(copy / "config.yaml"), resolve=False)
    *above, last = place.split(".")
    node = functools.reduce(lambda part, key: part[key], above, cfg)
    if last.endswith("s") and last != "loss":
        node[last] = [hostile]
    elif nested:
        node[last] = {**node[last], "more": [{"deep": hostile}]}
    else:
        node[last] = hostile
    (copy / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    name = f"{door}: {'below ' * nested}{place}: {target}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(foreign)])
        with contextlib.redirect_stdout(io.StringIO()):
            code, said = caught(lambda: opened(copy, door, fuzzer.folder))
    if owned.exists() or "planted" in sys.modules:
        fuzzer.note("targets", name, WRONG, "it ran")
        sys.modules.pop("planted", None)
        owned.unlink() if owned.is_file() else shutil.rmtree(owned, ignore_errors=True)
    elif code == 0:
        fuzzer.note("targets", name, WRONG, "it was accepted")
    else:
        fuzzer.judged("targets", name, code, said)


def opened(run: Path, door: str, folder: Path) -> int:
    """Use a run as one of the commands does, or as Python does; return the exit code."""
    if door == "load_run":
        return guarded(lambda: hybrid.load_run(run).model)
    if door == "--from":
        return guarded(lambda: training.run(read_whole([str(run), f"run.root={folder / 'none'}"])))
    if door == "export":
        export([f"run={run}", f"to={folder / 'exported'}"])
    {"evaluate": evaluate, "inspect": inspect}[door]([f"run={run}"])
    return 0


def try_kills(fuzzer: Fuzzer) -> None:
    """Kill a training at random, twice; its third start must end with the very weights of an undisturbed one."""
    run, _ = finished(fuzzer)
    root = fuzzer.folder / "killed"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    sent = []
    for _ in range(2):
        process = PROCESSES.Process(target=trained_apart, args=(root, fuzzer.folder / "said"))
        process.start()
        process.join(fuzzer.random.uniform(0.2, 3.0))
        sent.append(fuzzer.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, sent[-1])
        process.join(60)
        name = f"{[each.name for each in sent]}"
        if process.exitcode is None or process.exitcode not in (0, 128 + sent[-1], -sent[-1]):
            fuzzer.note("kills", name, TRACEBACK, f"{process.exitcode}: {(fuzzer.folder / 'said').read_text()}")
            process.kill()
            return
    code, said = caught(lambda: trained(root))
    if code:
        fuzzer.note("kills", name, TRACEBACK, said)
        return
    again = next(path.parent for path in root.glob("*/summary.json"))
    same = loss_of(again) == loss_of(run) and equal_weights(again, run)
    fuzzer.note("kills", name, ALWAYS_RIGHT if same else WRONG, f"{loss_of(again)}, not {loss_of(run)}")


def trained(root: Path) -> int:
    """Train the small run below this folder; the exit code."""
    overrides = [*RUN, f"run.root={root}"]
    with contextlib.redirect_stdout(io.StringIO()):
        return guarded(lambda: training.run(compose(overrides)), overrides=overrides)


def trained_apart(root: Path, said: Path) -> None:
    """As `trained`, in a process of its own, whose output goes to a file."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 2)
        sys.exit(trained(root))


def loss_of(run: Path) -> float | None:
    """The test loss of a finished run."""
    return json.loads((run / "summary.json").read_text()).get("test/loss")


def equal_weights(one: Path, other: Path) -> bool:
    """Whether the last weights of two runs have the same bits."""
    first, second = (checkpoint.load(run / "checkpoints" / "last.pt")["model"] for run in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def copied(fuzzer: Fuzzer) -> Path:
    """A fresh copy of the finished run."""
    run, _ = finished(fuzzer)
    copy = fuzzer.folder / "copies" / run.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    return Path(shutil.copytree(run, copy))


def finished(fuzzer: Fuzzer) -> tuple[Path, str]:
    """The folder of a finished run, and what its evaluation says. It is trained once."""
    root = fuzzer.folder / "whole"
    if not (told := root / "said").exists():
        code, said = caught(lambda: trained(root))
        assert code == 0, said
        run = next(path.parent for path in root.glob("*/summary.json"))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code, said = caught(lambda: evaluate([f"run={run}"]))
        assert code == 0, said
        told.write_text(numbers_in(out.getvalue()))
    return next(path.parent for path in root.glob("*/summary.json")), told.read_text()


TRIES = {
    "words": try_words, "numbers": try_numbers, "yaml": try_yaml, "bytes": try_bytes, "targets": try_targets,
    "kills": try_kills,
}  # fmt: skip


@contextlib.contextmanager
def untrained(*, once: bool) -> Iterator[None]:
    """A context in which a run is made ready and not trained; with `once` each choice of files is composed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_train", lambda *_: {})
        if once:
            words.compose_files_once(patch.setattr)
        yield


HOW = {
    "words": functools.partial(untrained, once=True),
    "numbers": functools.partial(untrained, once=True),
    "yaml": functools.partial(untrained, once=False),  # its file is another at each try
}


def fuzz(*, seconds: float, seed: int, kinds: tuple[str, ...] = KINDS) -> Fuzzer:
    """Try each kind for its share of the seconds, at least once."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), random.Random(seed))
        for kind in kinds:
            until = time.monotonic() + seconds / len(kinds)
            with HOW.get(kind, contextlib.nullcontext)():
                while True:
                    TRIES[kind](fuzzer)
                    if time.monotonic() > until:
                        break
            shutil.rmtree(fuzzer.folder / "none", ignore_errors=True)
    return fuzzer


@command(Options)
def main(options: Options) -> None:
    """Try, print the counts, and exit with 1 where something was not right."""
    logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))
    fuzzer = fuzz(seconds=options.seconds, seed=options.seed, kinds=options.kinds)
    columns = (ALWAYS_RIGHT, LINE, TRACEBACK, WRONG)
    print(f"{'kind':<10}{'tries':>8}" + "".join(f"{name:>12}" for name in columns))
    for kind, counts in fuzzer.counts.items():
        print(f"{kind:<10}{sum(counts.values()):>8}" + "".join(f"{counts[name]:>12}" for name in columns))
    for line in fuzzer.odd:
        print(f"- {line}")
    if fuzzer.odd:
        sys.exit(1)


if __name__ == "__main__":
    main()
