"""scripts/bench_wavelets.py compares two programs of one network, and writes what it prints."""

import bench_wavelets as program
import pytest

from hybrid.errors import UserError


def test_rows(monkeypatch):
    monkeypatch.setitem(program.CASES, "eighth", 0.02)
    options = program.Options(batch=2, rounds=1)
    rows = program.measure("eighth", options)
    assert [row["program"] for row in rows] == ["released", "hybrid"]
    assert rows[0]["cpu_ratio"] == 1 and rows[1]["error"] < 1e-3
    assert rows[1]["wall_ratio"] == pytest.approx(rows[0]["wall_ms"] / rows[1]["wall_ms"])
    assert program.line(rows[1]).split()[:2] == ["eighth", "hybrid"]


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="unknown case: eigth"):
        program.Options(cases=("eigth",))
