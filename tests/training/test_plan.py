"""The plan of a run: its real lengths, and what they refuse before anything is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.durations import RunLength
from hybrid.errors import UserError
from hybrid.training.plan import AnalysisPlan, Plan, advice_on_evaluation, table_of_settings
from hybrid.training.run import run
from hybrid.training.settings import LiveSettings, Settings


def planned(cfg) -> Plan:
    return Plan.of(cfg, Settings.of(cfg), data_from(cfg.data, cfg.augmentation, seed=cfg.seed))


def test_every_length_is_that_of_the_data(tiny):
    plan = planned(tiny("trainer.duration=4 epochs", "trainer.evaluate_every=50%", "trainer.log_every=0.4 epochs"))
    assert plan.length == RunLength(steps_per_epoch=3, total_steps=12)  # 100 images in batches of 40
    assert (plan.evaluate_every, plan.log_every, plan.checkpoint_every) == (6, 1, 2)
    assert (plan.model, plan.seed, plan.device) == ("scat_linear", 0, torch.device("cpu"))
    short = planned(tiny("trainer.duration=4 epochs", "trainer.max_train_steps_per_epoch=2"))
    assert short.length == RunLength(2, 8) and planned(tiny("trainer.drop_last=true")).length.steps_per_epoch == 2


@pytest.mark.parametrize(
    ("warmup", "steps"), [("10 epochs", 30), ("1500 steps", 1500), ("50%", 1350), ("0.5 epochs", 2)]
)
def test_a_warm_up_is_measured_by_the_runs_own_length(tiny, warmup, steps):
    plan = planned(tiny("trainer.duration=900 epochs", f"schedule.warmup={warmup}"))
    assert plan.schedule.warmup == steps
    assert plan.schedule(steps - 1).lr_factor < 1 and plan.schedule(steps).lr_factor == 1


def test_ten_epochs_of_warm_up_in_ninety_are_accepted(tiny):
    assert planned(tiny("trainer.duration=90 epochs", "schedule.warmup=10 epochs")).schedule.warmup == 30


@pytest.mark.parametrize("warmup", ["10 epochs", "31 steps", "100%"])
def test_a_warm_up_as_long_as_the_run_is_refused_and_nothing_is_written(tiny, tmp_path, warmup):
    with pytest.raises(UserError, match=rf"^schedule: warmup={warmup} is \d\d steps, but the whole run has only 30$"):
        run(tiny("trainer.duration=10 epochs", f"schedule.warmup={warmup}"))
    assert not (tmp_path / "runs").exists()


class Whole:
    """A schedule of a user's own that refuses a run of another length than this."""

    def __init__(self, *, total_steps: int, steps_per_epoch: int) -> None:
        if (total_steps, steps_per_epoch) != (6, 3):
            raise ValueError(f"{total_steps} steps, {steps_per_epoch} in an epoch")


def test_a_schedule_of_ones_own_gets_the_real_numbers(tiny):
    cfg = tiny()
    cfg.schedule = {"_target_": f"{__name__}.Whole"}
    assert isinstance(planned(cfg).schedule, Whole)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.duration=0 steps", "trainer.duration=0 steps is shorter than one step"),
        ("trainer.log_every=0 epochs", "trainer.log_every=0 epochs: an interval is longer than nothing"),
        ("trainer.duration=30%", "valid only for parts of it"),
        ("schedule.warmup=soon", "schedule.warmup=soon: a duration is a number and a unit"),
        ("optimizer.lr=-1", "optimizer.lr=-1 is not valid"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(tiny, tmp_path, override, words):
    with pytest.raises(UserError, match=words):
        run(tiny(override))
    assert not (tmp_path / "runs").exists()


def advice(train, validation, *, every="1 epoch", epochs=100, batch=128):
    splits = {"train": range(train)} | ({"validation": range(validation)} if validation else {})
    length = RunLength.of(f"{epochs} epochs", steps_per_epoch=-(-train // batch))
    return advice_on_evaluation(length, length.every(every), SimpleNamespace(splits=splits))


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


@pytest.mark.parametrize(("samples", "epochs"), [(45_000, 1), (6_000, 8), (1_300, 22)])
def test_automatic_analyses_keep_to_their_share_of_the_time(samples, epochs):
    """The images of an analysis are at most 5 % of the images trained on in between."""
    live = LiveSettings(every="auto", figures="never", probe_split="validation")
    length = RunLength(steps_per_epoch=samples // 100, total_steps=10**6)
    plan = AnalysisPlan.of(live, AnalysisSettings(), length, batch_size=100)
    assert plan.every == epochs * samples // 100
    assert min(2000, samples) + 128 <= 0.05 * plan.every * 100
    assert plan.due(plan.every) and plan.due(10**6) and not plan.due(plan.every + 1) and not plan.due(0)


def test_runs_that_differ_in_images_or_head_differ_in_tensorboards_table():
    whole = table_of_settings(compose(["model=scat_wrn", "data=cifar10"]))
    some = table_of_settings(compose(["model=scat_wrn", "data=cifar10", "data.subset.n=100", "model.head.k=2"]))
    assert (whole["data.subset.n"], some["data.subset.n"]) == ("all", "100")
    assert "k=8" in whole["model/head"] and "k=2" in some["model/head"] and "_target_" not in some["model/head"]
    assert whole.keys() == some.keys() == table_of_settings(compose(["model=scat_linear"])).keys()


def test_tensorboards_table_has_every_part_that_was_chosen():
    table = table_of_settings(
        compose(["model=scat_wrn", "model/frontend=scattering_j4", "model/normalization=log", "debug=fast"])
    )
    assert table["model/frontend"].startswith("scattering_j4: Scattering(J=4, ") and table[
        "model/normalization"
    ].startswith("log: ")
    assert table["debug"] == "fast" and table["loss"] == "cross_entropy" and "analysis" not in table


def test_every_setting_of_it_is_plain_enough_for_a_table():
    assert all(isinstance(value, (str, int, float)) for value in table_of_settings(compose([])).values())
