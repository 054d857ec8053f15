"""The program that tries to break hybrid tells what is right from what is not."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest


@pytest.fixture
def fuzz(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import fuzz

    yield fuzz
    sys.modules.pop("fuzz")


def test_ends_are_judged(fuzz, tmp_path):
    fuzzer = fuzz.Fuzzer(tmp_path, random.Random(0))
    fuzzer.judged("words", "a", 0, "warning: so\n")
    fuzzer.judged("words", "b", 2, "error: one line\n")
    fuzzer.judged("words", "c", 1, "Traceback\nKeyError: 'x'\n")
    fuzzer.judged("words", "d", 2, "error: two\nlines\n")
    assert fuzzer.counts["words"] == {"right": 1, "one line": 1, "traceback": 2}
    assert [line[:8] for line in fuzzer.odd] == ["words: c", "words: d"]
    assert fuzz.caught(lambda: 1 / 0)[0] == 1


def test_a_few_tries_are_right(root, tmp_path):
    """In a process of its own: the tries choose folders of configurations, as commands do."""
    program = [sys.executable, root / "scripts" / "fuzz.py", "seconds=0.1", "seed=1", "kinds=[words,numbers,yaml]"]
    result = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["kind", "words", "numbers", "yaml"]
