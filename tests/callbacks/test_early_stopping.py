from __future__ import annotations

import pytest
from fixtures.training import power_cut

from hybrid.callbacks.early_stopping import EarlyStopping
from hybrid.runs.jsonl import read_metrics


class FakeState:
    step = 0


class FakeSession:
    """What early stopping needs of a session."""

    def __init__(self, plan=None) -> None:
        self.state, self.plan, self.reason = FakeState(), plan, None

    def end_run(self, reason):
        self.reason = self.reason or (self.state.step, reason)


def ends(values, **settings):
    """The evaluation, from 1, after which it ends a run with these values; None: never."""
    watcher, session = EarlyStopping(metric="m", **settings), FakeSession()
    for step, value in enumerate(values, start=1):
        session.state.step = step
        watcher.on_evaluation(session, "validation", {"m": value})
        watcher.on_evaluation(session, "test", {"m": 1000.0})  # is not looked at
    return session.reason and session.reason[0]


def test_it_waits_for_as_many_evaluations_without_a_better_one():
    assert ends([1, 2, 3, 3, 3], patience="2 evaluations") == 5
    assert ends([3, 2, 4, 3, 5], patience="2 evaluations") is None
    assert ends([3, 2, 1, 1.5, 1], mode="min", patience="2 evaluations") == 5
    assert ends([1, 1.5, 2], min_delta=0.7, patience="1 evaluation") == 2
    assert ends([float("nan"), 1, 0.5], patience="1 evaluation") == 3


# the accuracy of the tiny run's 50 validation images gets no better than an improvement of 90 points would be
NEVER_BETTER = "callbacks=[{early_stopping: {patience: 6 steps, min_delta: 90}}]"
RUN = ["trainer.duration=30 steps", "trainer.checkpoint_every=4 steps", "trainer.progress=lines", NEVER_BETTER]


def test_a_run_ends_early_at_the_same_step_after_a_resume_and_says_so(train, tmp_path, capsys):
    whole = train(*RUN, root=tmp_path / "whole")
    said = capsys.readouterr().out
    assert "early stopping: after 6 steps without a better validation/top1; the schedule is that of 10 epochs" in said
    last = [line for line in said.splitlines() if line.startswith("epoch") and "  loss " in line][-1]
    assert last.endswith("left 0:00:00") and " 0 images/s" not in last
    speeds = [r["speed/images_per_second"] for r in read_metrics(whole.metrics) if "speed/images_per_second" in r]
    assert all(speed > 0 for speed in speeds)
    assert "ended at step 9 of 30: validation/top1 was best at step 3" in said and "the whole 10 epochs" in said
    for crash in (5, 8):
        with pytest.raises(RuntimeError, match="power"):
            train(*RUN, root=tmp_path / str(crash), callbacks=[power_cut(crash)])
        parts = train(*RUN, root=tmp_path / str(crash))
        assert parts.read_summary()["ended"] == whole.read_summary()["ended"]
        assert [r["step"] for r in read_metrics(parts.metrics)] == [r["step"] for r in read_metrics(whole.metrics)]
    assert whole.read_summary()["steps"] == 9


def test_two_ranks_end_at_the_same_step(tiny, ranks):
    from hybrid.training.run import run

    cfg = tiny(*RUN)
    assert [summary["ended"]["step"] for summary in ranks(2, lambda: run(cfg)).results()] == [9, 9]
