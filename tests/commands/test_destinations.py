"""Every command that writes what it found says before it begins that it could not."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("bench_boundary", ["json=new/x.json"]),
        ("bench_distributed", ["json=new/x.json"]),
        ("bench_scattering", ["json=new/x.json"]),
        ("bench_training", ["json=new/x.json"]),
        ("bench_training", ["figure=new/x.png"]),
        ("compare_kymatio", ["json=new/x.json"]),
        ("profile_scattering", ["json=new/x.json"]),
        ("profile_scattering", ["figure=new/x.png"]),
        ("evaluate", ["json=new/x.json", "run=nowhere"]),
        ("predict", ["out=new/x.csv", "run=nowhere", "x.png"]),
        ("report", ["out=new/x.txt"]),
        ("report", ["curves=new/x.png"]),
        ("report", ["figure=new/x.png", "over=optimizer.lr"]),
        ("analyze", ["to=/dev/null/x", "run=nowhere"]),
        ("export", ["to=/dev/null/x", "run=nowhere"]),
        ("measure_gpu", ["to=/dev/null/x", "device=cpu"]),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_first(call, script, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, error = call(script, *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"error: {arguments[0]} cannot be written: ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("bench_distributed", ["ranks=[]"], "ranks=[] is not valid"),
        ("bench_boundary", ["samples=[]"], "nothing to measure"),
        ("bench_boundary", ["repeats=0"], "repeats=0 is not valid"),
    ],
)
def test_a_benchmark_of_nothing_is_one_line(call, script, arguments, message):
    code, said, error = call(script, *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1) and message in error
