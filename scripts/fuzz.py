"""Tries to break hybrid at random: odd words and numbers, odd yaml, flipped bytes, hostile class paths, kills.

    python scripts/fuzz.py                       # some three minutes; before a release
    python scripts/fuzz.py seconds=600 seed=7 kinds=numbers,bytes

Every try must end well or with one line. The program prints counts: tries, tries that were right, tries that were answered in
one line, tracebacks, wrong results. It exits with 1 where there is a traceback or a wrong result, and names the tries.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "configuration")]

import test_fuzz as words  # noqa: E402

from hybrid.commands.evaluate import evaluate  # noqa: E402
from hybrid.configuration.arguments import command, option  # noqa: E402
from hybrid.configuration.composition import compose  # noqa: E402
from hybrid.configuration.entry import guarded  # noqa: E402
from hybrid.training import run as training  # noqa: E402

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
]
RUN = ["model=scat_linear", "data.subset.n=100", "trainer.batch_size=10", "analysis=none", "trainer.duration=30 steps",
       "trainer.checkpoint_every=2 steps", "trainer.evaluate_every=30 steps", "trainer.tensorboard=false"]  # fmt: skip
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
    keys = list(words.leaves(compose(base)))
    fuzzer.starts("words", [*base, words.mistake(keys, ["model", "data", "optimizer"], fuzzer.random)])


def try_numbers(fuzzer: Fuzzer) -> None:
    base = fuzzer.random.choice(words.BASES)
    cfg = compose(base)
    keys = [key for key in words.leaves(cfg) if not key.startswith(("choices", "run."))]
    fuzzer.starts("numbers", [*base, f"{fuzzer.random.choice(keys)}={fuzzer.random.choice(NUMBERS)}"])


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
    run, expected = finished(fuzzer)
    copy = fuzzer.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    path = copy / fuzzer.random.choice([name for name in FILES if (run / name).exists()])
    content = bytearray(path.read_bytes())
    places = [fuzzer.random.randrange(len(content)) for _ in range(fuzzer.random.choice([1, 1, 3]))]
    for at in places:
        content[at] ^= fuzzer.random.randrange(1, 256)
    path.write_bytes(content[: fuzzer.random.randrange(len(content))] if fuzzer.random.random() < 0.2 else content)
    fuzzer.evaluated("bytes", f"{path.name} at {places}", copy, expected)


def try_targets(fuzzer: Fuzzer) -> None:
    run, _ = finished(fuzzer)
    copy, owned = fuzzer.folder / "copy", fuzzer.folder / "owned"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    target = fuzzer.random.choice(TARGETS)
    hostile = f"{{_target_: {target}, command: 'touch {owned}', name: {owned}, path: {owned}}}"
    lines = (copy / "config.yaml").read_text().splitlines()
    part = fuzzer.random.choice(["  head:", "  frontend:", "  normalization:"])
    at = next(k for k, line in enumerate(lines) if line == part)
    end = next((k for k in range(at + 1, len(lines)) if not lines[k].startswith("    ")), len(lines))
    (copy / "config.yaml").write_text("\n".join([*lines[:at], f"{part} {hostile}", *lines[end:]]) + "\n")
    code, said = caught(lambda: evaluate([f"run={copy}"]))
    if owned.exists():
        fuzzer.note("targets", f"{part.strip()} {target}", WRONG, "it ran")
        owned.unlink() if owned.is_file() else shutil.rmtree(owned)
    else:
        fuzzer.judged("targets", f"{part.strip()} {target}", code, said)


def try_kills(fuzzer: Fuzzer) -> None:
    run, _ = finished(fuzzer)
    root = fuzzer.folder / "killed"
    shutil.rmtree(root, ignore_errors=True)
    for _ in range(2):
        process = training_process(root)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(fuzzer.random.uniform(2, 9))
        process.send_signal(fuzzer.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.wait(60)
    process = training_process(root)
    said = process.communicate(timeout=180)[1]
    if process.returncode:
        fuzzer.note("kills", "the last start", TRACEBACK, said)
        return
    same = [json.loads(next(place.glob("*/summary.json")).read_text())["test/loss"] for place in (root, run.parent)]
    fuzzer.note("kills", "the result", ALWAYS_RIGHT if same[0] == same[1] else WRONG, str(same))


def training_process(root: Path) -> subprocess.Popen[str]:
    """`hybrid train` in a process of its own."""
    arguments = [sys.executable, "-m", "hybrid", "train", *RUN, f"run.root={root}"]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(fuzzer: Fuzzer) -> tuple[Path, str]:
    """The folder of a finished run, and what its evaluation says."""
    root = fuzzer.folder / "whole"
    if not (told := root / "said").exists():
        process = training_process(root)
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said
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


def fuzz(*, seconds: float, seed: int, kinds: tuple[str, ...] = KINDS) -> Fuzzer:
    """Try each kind for its share of the seconds, at least once."""
    before, training._train = training._train, lambda *_: {}
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), random.Random(seed))
        try:
            for kind in kinds:
                until = time.monotonic() + seconds / len(kinds)
                while True:
                    TRIES[kind](fuzzer)
                    if time.monotonic() > until:
                        break
                shutil.rmtree(fuzzer.folder / "none", ignore_errors=True)
        finally:
            training._train = before
    return fuzzer


@command(Options)
def main(options: Options) -> None:
    """Try, print the counts, and exit with 1 where something was not right."""
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
