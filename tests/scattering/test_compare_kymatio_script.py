"""scripts/compare_kymatio.py runs offline and writes what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_kymatio.py"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, cwd=SCRIPT.parents[1])


def test_table_and_json(tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "errors.json"
    result = run("--sizes", "28x28", "8x9", "--scales", "2", "4", "--angles", "4", "--json", str(path))
    assert result.returncode == 0, result.stderr
    rows = json.loads(path.read_text())
    assert {(row["size"], row["J"]) for row in rows} == {("28x28", 2), ("28x28", 4), ("8x9", 2)}
    assert len(rows) == 3 * 2 * 4 and all(0 < row["ours_kymatio"]["worst"] < 2e-6 for row in rows)
    assert "worst channel of kymatio_float64" in result.stdout


def test_help_and_mistakes():
    assert "--json" in run("--help").stdout
    wrong = run("--sizes", "32")
    assert wrong.returncode == 2 and "'32' is not a size" in wrong.stderr
