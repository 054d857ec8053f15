"""scripts/measure_runs.py prints wall and processor time of each case, and says what a failed command printed."""

from __future__ import annotations

import measure_runs
import pytest


def test_each_case_has_a_row_with_its_ratio(monkeypatch, capsys):
    cases = {measure_runs._IMPORT: ["-c", "pass"], "work": ["-c", "sum(range(3_000_000))"]}
    monkeypatch.setattr(measure_runs, "cases", lambda options: cases)
    measure_runs.measure_runs.__wrapped__(measure_runs.Options(repeats=1))
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(measure_runs._IMPORT) and first.endswith(" 1.00")
    assert second.startswith("work") and all(float(value) > 0 for value in second.split()[1:])


def test_the_cases_are_a_run_and_a_sweep_of_runs():
    names = list(measure_runs.cases(measure_runs.Options(sweep=4, cold=True)))
    assert len(names) == 4 and names[2] == "a sweep of 4, 2 at a time"
    assert len(measure_runs.cases(measure_runs.Options(sweep=0))) == 2


def test_a_command_that_fails_is_told():
    with pytest.raises(RuntimeError, match="ended with 3: what was printed"):
        measure_runs.seconds_of(["-c", "print('what was printed'); raise SystemExit(3)"])
