"""scripts/measure_gpu.py: all of it on a CPU, with tiny sizes; and what it says without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch


@pytest.fixture
def measure(root):
    def do(*arguments, **environment):
        command = [sys.executable, root / "scripts" / "measure_gpu.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root, env={**os.environ, **environment})

    return do


def test_every_section_is_written(measure, tmp_path):
    pytest.importorskip("kymatio")
    result = measure(f"to={tmp_path}", "device=cpu", "seconds=0.01")
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "measurements.json").read_text())
    assert [row["engine"] for row in content["errors"]] == ["kymatio", "torch", "cpu"]
    assert all(0 < row["gradient"] < 1e-5 and 0 < row["l2"] < 1e-6 for row in content["errors"])
    assert [(row["case"], row["engine"]) for row in content["speed"]][3:5] == [
        ("tiny-gradient", "kymatio"),
        ("tiny-gradient", "torch"),
    ]
    assert all(row["ms"] > 0 for row in content["speed"]) and content["speed"][0]["ratio"] == 1
    assert all("not run" in content[name][0]["result"] for name in ("graphs", "pieces"))
    text = (tmp_path / "measurements.md").read_text()
    assert all(f"## {name}" in text for name in ("errors", "graphs", "speed", "pieces"))


def test_without_a_compiler_one_line_and_nothing_is_written(measure, tmp_path):
    wrong = measure(f"to={tmp_path / 'new'}", "device=cpu", CXX="no-such-compiler")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "tiny: the cpu engine cannot be used here: no C++ compiler found" in wrong.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("argument", ["seconds=0", "seconds=.inf", "to=/dev/null/gpu"])
def test_mistakes_are_one_line(measure, argument):
    wrong = measure("device=cpu", argument, *[] if argument.startswith("to") else ["to=."])
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert argument.split("=")[0] in wrong.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line(measure, tmp_path):
    wrong = measure(f"to={tmp_path}")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "torch finds no CUDA device" in wrong.stderr
