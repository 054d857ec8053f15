"""Runs with every kind of labels: what they leave, that they go on bit for bit, and what uses them afterwards."""

from __future__ import annotations

import csv
import json
import math
import warnings

import pytest
import torch
from fixtures.training import TINY, power_cut
from omegaconf import OmegaConf
from PIL import Image

import hybrid
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.errors import UserError
from hybrid.objective.objective import Best, objective_of
from hybrid.runs import RunFolder
from hybrid.runs.identity import run_name
from hybrid.runs.jsonl import read_metrics
from hybrid.training.run import run

RUNS = {
    "values": ["data._target_=fixtures.tasks.Inked", "loss=mse", "augmentation=mixup"],
    "labels": ["data._target_=fixtures.tasks.Labelled", "loss=bce", "loss.label_weights=balanced", "metrics=[auc]"],
    "classes": [
        "data._target_=fixtures.tasks.Three", "data.subset.n=45", "data.validation=20", "loss=focal",
        "loss.class_weights=balanced", "metrics=[per_class,fixtures.tasks.cost]",
        "trainer.best_metric=balanced_accuracy", "trainer.keep_best=2",
    ],
}  # fmt: skip
NUMBERS = {
    "values": ["loss", "mean_absolute_error", "r2"],
    "labels": ["loss", "average_precision", "auc"],
    "classes": [
        "loss", "top1", "per_class/zero", "per_class/one", "per_class/two", "cost", "balanced_accuracy",
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=list(RUNS))
def made(request, tmp_path_factory):
    """(which, the folder of its run in one go, the folder of the same run after the power went in step 5)."""
    folders = []
    for kind in ("whole", "parts"):
        cfg = compose(
            [
                *TINY,
                "data.size=16",
                "trainer.max_evaluation_batches=null",
                f"run.root={tmp_path_factory.mktemp(kind)}",
                *RUNS[request.param],
            ]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "parts":
                with pytest.raises(RuntimeError, match="power"):
                    run(cfg, callbacks=[power_cut(5)])
            run(cfg)
        folders.append(RunFolder.of(cfg))
    return request.param, *folders


def records(folder):
    return [{name: value for name, value in record.items() if not name.startswith("speed/")}
            for record in read_metrics(folder.metrics)]  # fmt: skip


def test_a_run_goes_on_bit_for_bit(made):
    _, whole, parts = made
    assert records(whole) == records(parts)
    ends = [torch.load(each.checkpoints / "last.pt", weights_only=True) for each in (whole, parts)]
    for name in ("model", "loss"):
        assert ends[0][name].keys() == ends[1][name].keys()
        assert all(torch.equal(value, ends[1][name][key]) for key, value in ends[0][name].items())
    assert ends[0]["kept"] == ends[1]["kept"]


def test_its_records_and_summary_have_the_numbers_of_its_task(made):
    which, whole, _ = made
    summary = whole.read_summary()
    assert list(summary["test"]) == [*NUMBERS[which], "images", "weights"]
    less = {"values": ["loss", "mean_absolute_error"], "labels": ["loss"], "classes": ["loss", "cost"]}
    assert summary["smaller_is_better"] == less[which]
    validation = [record for record in records(whole) if "validation/loss" in record]
    assert [list(record)[2:] for record in validation] == [[f"validation/{name}" for name in NUMBERS[which]]] * 2
    assert ("train/top1" in records(whole)[0]) == (which == "classes")
    assert (summary["task"], summary["loss"]["name"]) == {
        "values": ("regression", "mse"), "labels": ("multilabel", "bce"), "classes": ("classification", "focal"),
    }[which]  # fmt: skip
    weights = {"values": "std", "labels": "pos_weight", "classes": "weight"}[which]
    assert len(summary["loss"][weights]) == (3 if which == "classes" else 2)


def test_its_best_weights_are_those_of_its_number(made):
    which, whole, _ = made
    name, sign = ("balanced_accuracy", -1) if which == "classes" else ("loss", 1)
    values = [(sign * record[f"validation/{name}"], record["step"])
              for record in records(whole) if "validation/loss" in record]  # fmt: skip
    assert whole.read_summary()["validation"]["best"]["step"] == min(values)[1]


def test_commands_use_it_without_its_data(made, call, tmp_path):
    which, whole, _ = made
    code, out, err = call("evaluate", f"run={whole.path}", f"json={tmp_path / 'again.json'}")
    assert (code, err) == (0, "")
    again, test = json.loads((tmp_path / "again.json").read_text()), whole.read_summary()["test"]
    assert {name: again[name] for name in NUMBERS[which]} == {name: test[name] for name in NUMBERS[which]}
    assert ("confusions" in again) == ("accuracy per class" in out) == (which == "classes")
    Image.new("L", (20, 20), 90).save(tmp_path / "one.png")
    for end in ("csv", "json"):
        table = tmp_path / f"table.{end}"
        assert call("predict", f"run={whole.path}", str(tmp_path / "one.png"), f"out={table}")[0] == 0
    with (tmp_path / "table.csv").open() as file:
        (row,) = csv.DictReader(file)
    (content,) = json.loads((tmp_path / "table.json").read_text())
    loaded = hybrid.load_run(whole.path, device="cpu")
    frame = loaded.predict(torch.full((1, 16, 16), 90 / 255))
    outputs = loaded.pipeline(torch.full((1, 1, 16, 16), 90, dtype=torch.uint8))[0].double()
    if which == "classes":
        assert row["class"] == content["class"] == frame["class"][0]
        return
    names, key = (("ink", "digit"), "values") if which == "values" else (("even", "large"), "probabilities")
    expected = (outputs if which == "values" else outputs.sigmoid()).tolist()
    assert [float(row[name]) for name in names] == pytest.approx(expected, rel=1e-6)
    assert list(content[key].values()) == pytest.approx(expected) == frame.loc[0, list(names)].tolist()
    assert "top=2 has no effect" in call("predict", f"run={whole.path}", str(tmp_path / "one.png"), "top=2")[2]


def test_values_are_predicted_in_their_own_units(made):
    """The ink is about 1078: a network that knew nothing in standard deviations would be wrong by 1078."""
    which, whole, _ = made
    if which != "values":
        pytest.skip("of values alone")
    run_of = hybrid.load_run(whole.path, device="cpu")
    batch = next(run_of.data.loader("test", batch_size=360).epoch(0))
    error = (run_of.model(batch.images) - batch.labels).abs().mean(0)
    assert error[0] < 40 and error[1] < 8
    assert whole.read_summary()["test"]["mean_absolute_error"] < 24


def test_the_best_rank_is_of_any_direction_and_nothing_is_worst():
    best = Best(name="mean_absolute_error", higher_is_better=False)
    ranks = [best.rank({"mean_absolute_error": value}) for value in (1.0, 2.0, math.nan)] + [best.rank({})]
    assert ranks == sorted(ranks) and ranks[2:] == [math.inf] * 2
    assert Best().rank({"top1": 3.0}) < Best().rank({"top1": 2.0})


def test_the_folder_of_a_run_without_a_loss_of_its_own_is_as_before_and_metrics_do_not_count():
    plain, before = run_name(compose([])), compose([])
    OmegaConf.set_struct(before, False)
    del before["loss"], before["metrics"], before["trainer"]["best_metric"]
    assert run_name(before) == plain
    assert run_name(compose(["metrics=[f1]", "trainer.best_metric=null", "loss.class_weights=null"])) == plain
    others = [
        "loss=focal",
        "loss.class_weights=balanced",
        "loss._target_=my.Loss",
        "trainer.best_metric=f1",
        "loss=mse",
    ]
    assert len({plain, *(run_name(compose([other])) for other in others)}) == 6


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["loss=mse"],
            "loss=mse is for regression, and the data are for classification. Valid here: cross_entropy, focal",
        ),
        (["loss=focal", "trainer.label_smoothing=0.1"], "trainer.label_smoothing=0.1 has no effect on loss=focal"),
        (["loss._target_=torch.nn.NLLLoss", "trainer.label_smoothing=0.1"], "has no effect on loss=NLLLoss"),
        (["loss=focal", "loss.gamma=-1"], "loss.gamma=-1 is not valid"),
        (["loss._target_=torch.nn.Nothing"], "loss._target_=torch.nn.Nothing cannot be imported"),
        (["loss._target_=torch.nn.Identity"], "loss=Identity"),
        (["metrics=[r2]"], "r2 does not fit the data"),
        (["trainer.best_metric=per_class"], "unknown number of an evaluation in trainer.best_metric: per_class"),
        (["trainer.best_metric=auc", "data.validation=0"], "trainer.best_metric=auc has no effect without validation"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_before_anything_is_written(tiny, tmp_path, overrides, words):
    with pytest.raises(UserError, match=words):
        run(tiny(*overrides))
    assert not (tmp_path / "runs").exists()


def test_a_loss_of_torchs_own_takes_label_smoothing_and_is_todays(tiny):
    cfg = tiny("loss._target_=torch.nn.CrossEntropyLoss")
    data = data_from(cfg.data, cfg.augmentation, seed=0)
    objective = objective_of(cfg, data, label_smoothing=0.2)
    assert objective.loss.label_smoothing == 0.2 and objective.name == "CrossEntropyLoss"
    assert objective.evaluation_loss.label_smoothing == 0 and objective.best == Best()


def test_a_loss_of_ones_own_may_ask_for_standardised_values(tiny):
    cfg = tiny("data._target_=fixtures.tasks.Inked", "loss._target_=fixtures.tasks.Quartic", "data.size=16")
    objective = objective_of(cfg, data_from(cfg.data, cfg.augmentation, seed=0))
    mean, std = objective.units
    assert objective.name == "Quartic" and 1050 < mean[0] < 1100
    assert objective.loss((mean + 2 * std)[None], mean[None]).item() == pytest.approx(16, rel=1e-3)


def test_a_configuration_of_before_has_todays_loss(tiny):
    cfg = tiny()
    OmegaConf.set_struct(cfg, False)
    del cfg["loss"], cfg["metrics"]
    data = data_from(cfg.data, cfg.augmentation, seed=0)
    objective = objective_of(cfg, data)
    assert objective.record() == {"name": "cross_entropy"} and objective.metrics == () and objective.describe() is None


def test_a_finished_run_names_the_command_of_a_new_metric(train, capsys):
    folder = train("metrics=[f1]", "run.name=metrics")
    capsys.readouterr()
    train("metrics=[f1,auc,{_target_: fixtures.tasks.Miss, miss: 2}]", "run.name=metrics")
    asked = "metrics=[auc,{_target_: fixtures.tasks.Miss, miss: 2}]"
    assert f"not met: {asked}: hybrid evaluate run={folder.path} '{asked}'" in capsys.readouterr().out


def test_images_without_classes_are_analysed_for_what_needs_none(tiny):
    cfg = tiny("data._target_=fixtures.tasks.Inked", "loss=l1", "analysis=light", "data.size=16")
    run(cfg)
    analysis = hybrid.load_run(RunFolder.of(cfg).path).analysis
    assert analysis.about["settings"]["measures"] == ["contraction"]
    assert any("contraction.different" in name for name in analysis.table.columns)
    with pytest.raises(UserError, match="analysis.measures: boundary need classes"):
        run(tiny("data._target_=fixtures.tasks.Inked", "loss=l1", "analysis=light", "analysis.measures=[boundary]"))
