"""scripts/bench_rotation.py measures, checks the error, and writes what it prints."""

import json

import bench_rotation as program
import pytest

from hybrid.errors import UserError


def test_rows(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(program.CASES, "digits", program.Case(8, 2, 2))
    monkeypatch.setattr(program.torch, "set_num_threads", lambda count: None)
    options = program.Options(cases=("digits",), rounds=1, threads=1, json=str(tmp_path / "rows.json"))
    rows = program.measured(options, program.measure, program.line)
    assert [row["program"] for row in rows] == list(program.PROGRAMS)
    assert rows[0]["wall_ratio"] == rows[0]["cpu_ratio"] == 1 and 0 < rows[1]["l2"] <= program.LARGEST_ERROR
    assert rows[1]["wall_ratio"] == pytest.approx(rows[0]["wall_ms"] / rows[1]["wall_ms"])
    printed = capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())["rows"] == rows and "5 rows" in printed
    assert printed.splitlines()[1].split()[:2] == ["digits", "roto-translation"]


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="unknown case: textrues"):
        program.Options(cases=("textrues",))
