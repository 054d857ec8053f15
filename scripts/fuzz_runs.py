"""The tries of `fuzz.py` at the folder of a finished run: flipped bytes, hostile class paths, kills."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from fuzz_judge import ALWAYS_RIGHT, TRACEBACK, WRONG, Fuzzer, caught, numbers_in
from omegaconf import OmegaConf

import hybrid
from hybrid.commands.evaluate import evaluate
from hybrid.commands.export import export
from hybrid.commands.inspect import inspect
from hybrid.commands.report import report
from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded
from hybrid.configuration.hydra_arguments import read_whole
from hybrid.training import checkpoint
from hybrid.training import run as training

PROCESSES = multiprocessing.get_context("forkserver")  # a process that has imported all, and has no thread yet
PROCESSES.set_forkserver_preload(["hybrid.training.run", "hybrid.training.restore", "sklearn.datasets"])
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
