"""The page "Measure a network that I have" runs from its first line to its last, and prints what it shows."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

_BLOCKS = re.compile(r"```python\n(.*?)```(?:\s*``` \{ \.text \.output \}\n(.*?)```)?", re.DOTALL)


def words(text):
    """The words and how many numbers each line has: digits differ from machine to machine."""
    return [(re.findall(r"[^\d\s.-][^\s]*", line), len(re.findall(r"-?\d+\.\d+", line))) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_runs_and_prints_what_it_shows(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCKS.findall((root / "docs" / "guide" / "measure-a-network.md").read_text())
    names: dict = {}
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert words(printed.getvalue().rstrip()) == words(shown.rstrip()), code
    assert len(blocks) > 8 and sum(bool(shown) for _, shown in blocks) == 5
    assert {path.name for path in tmp_path.iterdir()} == {"boundary.png", "within_between.png", "resnet18.npz"}
    assert names["after"].table.loc["logits", "classes.ratio"] < names["before"].table.loc["logits", "classes.ratio"]
    assert names["again"].layers == names["after"].layers


def test_the_functions_of_the_page_on_the_analysis_run(root, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "guide" / "analysis.md").read_text(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.count("\n") == 2
