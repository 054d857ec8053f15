"""scripts/compare_kymatio.py runs offline and writes what it prints."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def compare(root):
    def do(*arguments, **environment):
        command = [sys.executable, root / "scripts" / "compare_kymatio.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root, env={**os.environ, **environment})

    return do


def test_table_and_json(compare, tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "errors.json"
    result = compare("sizes=[28x28,8x9]", "J=[2,4]", "L=[4]", "engines=[torch]", f"json={path}")
    assert result.returncode == 0, result.stderr
    rows = json.loads(path.read_text())["rows"]
    assert {(row["size"], row["J"]) for row in rows} == {("28x28", 2), ("28x28", 4), ("8x9", 2)}
    assert len(rows) == 3 * 2 * 4 and all(0 < row["ours_kymatio"]["worst"] < 2e-6 for row in rows)
    assert "worst channel of kymatio_float64" in result.stdout and f"24 rows written: {path}" in result.stdout


def test_a_row_per_engine_and_each_is_its_own(compare, tmp_path):
    pytest.importorskip("kymatio")
    if shutil.which("c++") is None:
        pytest.skip("no compiler")
    path = tmp_path / "errors.json"
    result = compare("sizes=[16x16]", "J=[2]", "L=[4]", "inputs=[noise]", f"json={path}")
    assert (result.returncode, result.stderr) == (0, "")
    rows = json.loads(path.read_text())["rows"]
    assert [(row["order"], row["engine"]) for row in rows] == [(1, "torch"), (1, "cpu"), (2, "torch"), (2, "cpu")]
    assert all(0 < row["ours_float64"]["worst"] < 2e-6 for row in rows)
    assert rows[2]["ours_float64"] != rows[3]["ours_float64"]
    assert rows[2]["kymatio_float64"] == rows[3]["kymatio_float64"]
    assert "worst channel of ours_float64, cpu: " in result.stdout


def test_ctrl_c_leaves_the_summary_of_the_rows_that_are_there(root, tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "errors.json"
    options = ["sizes=[16x16,1024x1024]", "J=[2]", "L=[4]", "orders=[1]", "inputs=[noise]", "engines=[torch]"]
    command = [sys.executable, root / "scripts" / "compare_kymatio.py", *options, f"json={path}"]
    heard = functools.partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # also where a shell started these tests with &
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, preexec_fn=heard, **pipes) as process:
        assert process.stdout.readline().startswith("2 rows; ")
        assert "size" in process.stdout.readline() and "16x16" in process.stdout.readline()
        process.send_signal(signal.SIGINT)  # while the filters of the large images are made
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert out.startswith("not the whole table: 1 of 2 rows\nworst channel of ours_kymatio, torch: ")
    written = json.loads(path.read_text())
    assert (len(written["rows"]), written["whole_table"]) == (1, False)


def test_without_a_compiler_cpu_is_left_out_and_refused_where_it_is_asked_for(compare):
    pytest.importorskip("kymatio")
    small = ["sizes=[8x8]", "J=[1]", "L=[2]", "orders=[1]", "inputs=[noise]"]
    result = compare(*small, CXX="no-such-compiler")
    assert result.returncode == 0 and " cpu " not in result.stdout and "noise  torch" in result.stdout
    assert "8x8, J=1: the cpu engine is left out: no C++ compiler found" in result.stderr
    wrong = compare(*small, "engines=[cpu]", CXX="no-such-compiler")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "the cpu engine cannot be used here: no C++ compiler found" in wrong.stderr


def test_help(compare):
    assert "json=null" in compare("--help").stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sizes=[32x]", "32x is not a size"),
        ("sizes=32", "sizes: 32 is not a size: write HEIGHTxWIDTH, like 32x32"),
        ("sizes=[]", "sizes=[] is not valid"),
        ("inputs=[]", "inputs=[] is not valid"),
        ("engines=[cuda]", "engines: 'cuda' is not torch or cpu."),
        ("json=/nonexistent/errors.json", "there is no folder /nonexistent"),
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
