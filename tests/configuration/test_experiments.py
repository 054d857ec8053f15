"""The recipes: each composes, says where its figures come from, and is what its source describes."""

from __future__ import annotations

import pytest

from hybrid.configuration import instantiate
from hybrid.configuration.composition import compose
from hybrid.configuration.paths import CONFIGS
from hybrid.durations import RunLength
from hybrid.training.settings import Settings, analysis_settings

EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_composes_and_every_setting_is_valid(name):
    cfg = compose([f"experiment={name}"])
    trainer = Settings.of(cfg).trainer
    length = RunLength.of(trainer.duration, steps_per_epoch=400)
    instantiate(cfg.schedule, path="schedule", length=length)
    assert all(length.every(each) for each in (trainer.log_every, trainer.evaluate_every, trainer.checkpoint_every))


@pytest.mark.parametrize("debug", [[], ["debug=fast"]], ids=str)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_can_be_run_without_analysis(name, debug):
    assert analysis_settings(compose([f"experiment={name}", "analysis=none", *debug]).analysis) is None


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_head_says_how_to_run_it_what_to_expect_and_the_source(name):
    text = (CONFIGS / "experiment" / f"{name}.yaml").read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert f"experiment={name}" in head
    assert "# Hardware" in head and ("Expected" in head or "to expect" in head)


def test_few_labels_is_the_published_protocol():
    cfg = compose(["experiment=cifar10_few_labels"])
    assert cfg.data.normalize == "none" and cfg.data.validation == 0 and cfg.data.subset.protocol == "published"
    assert (cfg.augmentation.pad, cfg.augmentation.pad_mode, cfg.augmentation.flip) == (4, "symmetric", 0.5)
    optimizer = cfg.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.1, 0.9, False, 5e-4)
    assert optimizer.decay == "all" and cfg.trainer.batch_size == 128
    assert list(cfg.schedule.milestones) == ["30%", "60%", "80%"] and cfg.schedule.factor == 0.2


def test_what_builds_on_the_few_labels_keeps_the_rest():
    whole, tuned = compose(["experiment=cifar10_full"]), compose(["experiment=cifar10_few_labels_tuned"])
    assert whole.data.subset.n is None and whole.data.normalize == "none" and whole.trainer.duration == "200 epochs"
    assert (
        tuned.data.subset.n == 500
        and tuned.data.subset.validate_from == "labels"
        and "cosine" in tuned.choices.schedule
    )
