"""Tries to break hybrid at random: odd words and numbers, odd yaml, flipped bytes, hostile class paths, kills.

    python scripts/fuzz.py                       # some three minutes; before a release
    python scripts/fuzz.py seconds=600 seed=7 kinds=numbers,bytes

Every try must end well or with one line. The program prints counts: tries, tries that were right, tries that were answered in
one line, tracebacks, wrong results. It exits with 1 where there is a traceback or a wrong result, and names the tries.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "configuration")]

import test_fuzz as words  # noqa: E402
from fuzz_judge import ALWAYS_RIGHT, LINE, TRACEBACK, WRONG, Fuzzer, caught  # noqa: E402
from fuzz_runs import try_bytes, try_kills, try_targets  # noqa: E402

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


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    seconds: float = option("for all kinds together", default=180.0)
    seed: int = option("of all random choices", default=0)
    kinds: tuple[str, ...] = option(f"of {', '.join(KINDS)}", default=KINDS)


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


# The parts of the time; a try that kills a training twice takes some twenty times as long as one of odd yaml.
SHARES = {"words": 1, "numbers": 1, "yaml": 1, "bytes": 2, "targets": 1, "kills": 4}
HOW = {
    "words": functools.partial(untrained, once=True),
    "numbers": functools.partial(untrained, once=True),
    "yaml": functools.partial(untrained, once=False),  # its file is another at each try
}


def fuzz(*, seconds: float, seed: int, kinds: tuple[str, ...] = KINDS) -> Fuzzer:
    """Try each kind for its share of the seconds, at least once."""
    whole = sum(SHARES[kind] for kind in kinds)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), random.Random(seed))
        for kind in kinds:
            until = time.monotonic() + seconds * SHARES[kind] / whole
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
