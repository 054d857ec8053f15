from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from hybrid.configuration import build_record
from hybrid.configuration.composition import compose
from hybrid.training.checks import advice_on_evaluation
from hybrid.training.settings import TrainerSettings


def advice(train, validation, *, every="1 epoch", epochs=100, batch=128):
    settings = build_record(TrainerSettings, compose([]).trainer, path="trainer")
    splits = {"train": range(train)} | ({"validation": range(validation)} if validation else {})
    steps = -(-train // batch)
    return advice_on_evaluation(
        dataclasses.replace(settings, evaluate_every=every),
        SimpleNamespace(splits=splits),
        steps_per_epoch=steps,
        total_steps=epochs * steps,
    )


def test_evaluations_that_take_longer_than_training_are_announced_with_the_way_out():
    words = advice(100, 5000)
    assert words.startswith("500,000 validation images will be evaluated beside 10,000 images of training")
    assert "trainer.evaluate_every='10%'" in words


@pytest.mark.parametrize(
    ("train", "validation", "every"),
    [(45_000, 5000, "1 epoch"), (2000, 5000, "1 epoch"), (100, 0, "1 epoch"), (100, 5000, "10%")],
)
def test_other_evaluations_are_not(train, validation, every):
    assert advice(train, validation, every=every) is None
