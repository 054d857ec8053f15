from __future__ import annotations

import pytest

from hybrid.errors import UserError
from hybrid.training.durations import in_steps, interval, run_length


@pytest.mark.parametrize(
    ("text", "steps"),
    [("2 epochs", 20), ("1 epoch", 10), ("0.5 ep", 5), ("7 steps", 7), ("1 step", 1), ("30%", 60), ("20epochs", 200)],
)
def test_units(text, steps):
    assert in_steps(text, path="x", steps_per_epoch=10, total_steps=200) == steps


@pytest.mark.parametrize("text", ["20", "twenty epochs", "-1 epochs", "5 minutes", "", "120%", "nan epochs"])
def test_what_is_not_a_duration_is_refused_with_its_place(text):
    with pytest.raises(UserError, match="trainer.warmup"):
        in_steps(text, path="trainer.warmup", steps_per_epoch=10, total_steps=200)


def test_a_run_has_no_length_in_percent_and_is_not_empty():
    for text in ("50%", "0 epochs"):
        with pytest.raises(UserError, match="trainer.duration"):
            run_length(text, path="trainer.duration", steps_per_epoch=10)


def test_an_interval_is_at_least_one_step():
    assert interval("0.01 epochs", path="x", steps_per_epoch=10, total_steps=20) == 1
