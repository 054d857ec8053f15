"""scripts/compare_kymatio.py runs offline and writes what it prints."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def compare(root):
    def do(*arguments):
        command = [sys.executable, root / "scripts" / "compare_kymatio.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root)

    return do


def test_table_and_json(compare, tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "errors.json"
    result = compare("sizes=[28x28,8x9]", "J=[2,4]", "L=[4]", f"json={path}")
    assert result.returncode == 0, result.stderr
    rows = json.loads(path.read_text())
    assert {(row["size"], row["J"]) for row in rows} == {("28x28", 2), ("28x28", 4), ("8x9", 2)}
    assert len(rows) == 3 * 2 * 4 and all(0 < row["ours_kymatio"]["worst"] < 2e-6 for row in rows)
    assert "worst channel of kymatio_float64" in result.stdout and f"24 rows written: {path}" in result.stdout


def test_help(compare):
    assert "json=null" in compare("--help").stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sizes=[32x]", "32x is not a size"),
        ("sizes=[900x900]", "900x900 does not fit"),
        ("J=[0]", "at least 1"),
        ("J=[9]", "none fits"),
        ("orders=[3]", "orders: "),
        ("size=[32x32]", "Did you mean sizes?"),
    ],
)
def test_mistakes_are_one_line(compare, argument, message):
    wrong = compare(argument)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert message in wrong.stderr
