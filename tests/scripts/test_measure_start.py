"""scripts/measure_start.py prints a row of times for each case."""

from __future__ import annotations

import sys

import measure_start


def test_a_row_for_each_case(monkeypatch, capsys):
    monkeypatch.setattr(measure_start, "CASES", {"nothing": ("-c", "pass"), "work": ("-c", "sum(range(3_000_000))")})
    measure_start.measure_start.__wrapped__(measure_start.Options(repeats=3))
    head, nothing, work = capsys.readouterr().out.splitlines()
    assert head.split()[-3:] == ["median", "least", "most"]
    median, least, most = map(float, work.split()[-3:])
    assert 0 < least <= median <= most
    assert nothing.startswith("nothing ")


def test_a_command_that_fails_is_measured_too():
    assert measure_start.processor_seconds([sys.executable, "-c", "raise SystemExit(2)"]) > 0
