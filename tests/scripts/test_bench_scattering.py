"""scripts/bench_scattering.py measures, checks the errors, and writes what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch


@pytest.fixture
def bench(root):
    def do(*arguments, **environment):
        command = [sys.executable, root / "scripts" / "bench_scattering.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root, env={**os.environ, **environment})

    return do


def test_table_and_json(bench, tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "speed.json"
    result = bench(
        "cases=[cifar-1]", "engines=[kymatio,torch]", "rounds=1", "memory=false", "threads=1", f"json={path}"
    )
    assert result.returncode == 0, result.stderr
    content = json.loads(path.read_text())
    assert [row["engine"] for row in content["rows"]] == ["kymatio", "torch"] and content["options"]["threads"] == 1
    ours = content["rows"][1]
    assert ours["wall_ratio"] == pytest.approx(content["rows"][0]["wall_ms"] / ours["wall_ms"])
    assert 0 < ours["l2"] <= 3e-7 and 0 < ours["worst"] <= 1e-6 and ours["memory_mb"] is None
    assert "2 rows written" in result.stdout and "cifar-1    torch" in result.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cases=[cifar]", "unknown case: cifar"),
        ("cases=[]", "cases=[] is not valid"),
        ("rounds=0", "rounds=0 is not valid: it must be at least 1"),
        ("seconds=-1", "seconds=-1.0 is not valid"),
        ("json=/", "json=/ cannot be written: it is a folder"),
        ("engines=[cpu]", "must contain kymatio"),
        (
            "engines=[kymatio,gpu]",
            "engines: 'gpu' is not kymatio or torch or cpu or cuda or fixed or dtcwt (did you mean cpu?).",
        ),
        (
            "engines=[kymatio,cuda]",
            "engines=cuda computes nothing with device=cpu. Valid: kymatio, torch, cpu, fixed, dtcwt.",
        ),
    ],
)
def test_mistakes_are_one_line(bench, argument, message):
    wrong = bench(argument)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert message in wrong.stderr


def test_without_a_compiler_one_line_and_no_row_of_the_engine(bench, tmp_path):
    wrong = bench("cases=[cifar-1]", "engines=[kymatio,cpu]", CXX="no-such-compiler", HYBRID_CACHE=str(tmp_path))
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "cifar-1: the cpu engine cannot be used here: no C++ compiler found" in wrong.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line(bench):
    wrong = bench("device=cuda")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "torch finds no CUDA device" in wrong.stderr
