from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hybrid.configuration.paths import CONFIGS
from hybrid.durations import Duration, RunLength, in_one_spelling
from hybrid.errors import UserError


@pytest.mark.parametrize(
    ("text", "steps"),
    [("2 epochs", 20), ("1 epoch", 10), ("0.5 ep", 5), ("7 steps", 7), ("1 step", 1), ("30%", 60), ("20epochs", 200)],
)
def test_units(text, steps):
    assert RunLength(10, 200).steps(text) == steps
    assert RunLength(10, 200).steps(Duration.read(text, path="x")) == steps


@pytest.mark.parametrize("text", ["20", "twenty epochs", "-1 epochs", "5 minutes", "", "120%", "nan epochs"])
def test_what_is_not_a_duration_is_refused_with_its_place(text):
    with pytest.raises(UserError, match="trainer.warmup"):
        RunLength(10, 200).steps(text, path="trainer.warmup")
    with pytest.raises(UserError, match="trainer.warmup"):
        Duration.read(text, path="trainer.warmup")


def test_a_run_has_no_length_in_percent_and_is_not_empty():
    for text in ("50%", "0 epochs"):
        with pytest.raises(UserError, match="trainer.duration"):
            RunLength.of(text, path="trainer.duration", steps_per_epoch=10)
    length = RunLength.of("2.5 epochs", steps_per_epoch=10)
    assert length == RunLength(10, 25) and length.epochs == 2.5


@pytest.mark.parametrize(
    ("spelling", "ways"),
    [
        ("20 epochs", ["20 epoch", "20 ep", "20epochs", " 20  epochs ", "20.0 epochs", "020 ep"]),
        ("1 epoch", ["1 epochs", "1ep"]),
        ("0.5 epochs", ["0.5 epoch", "0.50ep"]),
        ("500 steps", ["500 step", "500steps"]),
        ("0 steps", ["0 step", "00.0 steps"]),
        ("30%", ["30 %", " 30.00%"]),
    ],
)
def test_all_ways_to_write_a_duration_are_one_and_stand_for_the_same_steps(spelling, ways):
    length = RunLength(10, 200)
    assert in_one_spelling(spelling) == spelling
    for way in ways:
        assert in_one_spelling(way) == spelling
        assert length.steps(way) == length.steps(spelling)


@pytest.mark.parametrize("text", ["20", "cosine", "", "5 minutes", "all", "20 epochs of training", "crop_flip"])
def test_what_is_no_duration_keeps_its_spelling(text):
    assert in_one_spelling(text) == text


def test_the_durations_of_configs_are_in_that_spelling_so_that_the_names_of_their_runs_stay():
    texts = [text for path in CONFIGS.rglob("*.yaml") for text in _texts(OmegaConf.to_container(OmegaConf.load(path)))]
    assert "20 epochs" in texts and [text for text in texts if in_one_spelling(text) != text] == []


def _texts(node: object) -> list[str]:
    if isinstance(node, dict | list):
        return [text for part in (node.values() if isinstance(node, dict) else node) for text in _texts(part)]
    return [node] if isinstance(node, str) else []


def test_an_interval_is_at_least_one_step():
    assert RunLength(10, 20).every("0.01 epochs") == 1
    with pytest.raises(UserError, match="trainer.log_every=0 steps: an interval is longer than nothing"):
        RunLength(10, 20).every("0 steps", path="trainer.log_every")
