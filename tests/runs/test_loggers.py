from __future__ import annotations

import csv
import importlib.util
import math
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from fixtures.training import power_cut

from hybrid.configuration.entry import guarded
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.loggers import Loggers
from hybrid.training import checkpoint
from hybrid.training.run import run

NAMES = {"train/loss", "validation/top1", "test/loss", "epoch"}


def needs(module):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: pip install 'hybrid-scattering[{module}]'")


class Kept:
    """A logger of one's own, with the smallest protocol; it keeps what it is given."""

    records: list = []
    fails_at = math.inf

    def __init__(self, *, word: str = "") -> None:
        self.word = word

    def log(self, step, values):
        if step >= self.fails_at:
            raise ConnectionError("no answer")
        self.records.append((self.word, step, values))


@pytest.fixture
def kept(monkeypatch):
    """The class, which a configuration finds as own_loggers.Kept."""
    monkeypatch.setattr(Kept, "records", [])
    monkeypatch.setitem(sys.modules, "own_loggers", types.SimpleNamespace(Kept=Kept))
    return Kept


def test_csv_and_a_class_of_ones_own_get_every_record_and_change_nothing(train, tmp_path, kept):
    plain = train(root=tmp_path / "plain")
    figures = "{figures: {formats: [svg,png]}}"
    folder = train(f"loggers=[csv,{{_target_: own_loggers.Kept, word: hello}},{figures}]", root=tmp_path / "logged")
    drawn = {path.name for path in (folder.loggers / "figures" / "test").iterdir()}
    assert {"confusion.svg", "confusion.png"} <= drawn
    assert (folder.loggers / "figures" / "train" / "augmented_batch.png").is_file()
    assert plain.path.name == folder.path.name
    one, other = (checkpoint.load(each.checkpoints / "last.pt")["model"] for each in (plain, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    records = read_metrics(folder.metrics)
    assert [(step, values.keys()) for _, step, values in kept.records] == [
        (record["step"], {name for name in record if name != "step"}) for record in records
    ]
    assert kept.records[0][0] == "hello" and {name for record in records for name in record} >= NAMES
    rows = list(csv.DictReader((folder.loggers / "metrics.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [record["step"] for record in records]
    assert float(rows[0]["train/loss"]) == records[0]["train/loss"] and rows[0]["test/loss"] == ""


def test_a_logger_that_fails_is_left_out_with_one_warning(train, monkeypatch, kept):
    monkeypatch.setattr(kept, "fails_at", 3)
    with pytest.warns(UserWarning, match="failed in log and is left out .*ConnectionError: no answer") as caught:
        folder = train("loggers=[own_loggers.Kept]")
    assert len(caught) == 1 and folder.finished and [step for _, step, _ in kept.records] == [2]


def test_tensorboard_is_one_of_them_and_its_own_setting_still_switches_it_off():
    assert Loggers().tensorboard and Loggers(["tensorboard", "csv"]).pictures
    assert not Loggers(["csv"]).tensorboard and not Loggers(["csv"]).pictures
    assert not Loggers(tensorboard=False).tensorboard and Loggers([]).others == []


@pytest.mark.parametrize(
    ("loggers", "words"),
    [
        ("[tensorbord]", "unknown name in loggers: tensorbord. Did you mean tensorboard"),
        ("csv", r"loggers=csv is not a list: write loggers=\[csv\]"),
        ("[{wandb: {projekt: a}}]", "unknown key in loggers.wandb: projekt. Did you mean project"),
        ("[fractions.Fraction]", "has no method log"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, capsys, loggers, words):
    cfg = tiny(f"loggers={loggers}")
    assert guarded(lambda: run(cfg)) == 2
    assert re.search(words, capsys.readouterr().err) and not RunFolder.of(cfg).path.exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=rf"loggers={name} needs a package: pip install 'hybrid-scattering\[{name}\]'"):
        Loggers([name])


@needs("wandb")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_offline_goes_on_with_the_same_run(train, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    keys = ["loggers=[{wandb: {project: digits, mode: offline}}]"]
    with pytest.raises(RuntimeError, match="power"):
        train(*keys, callbacks=[power_cut(5)])
    folder = train(*keys)
    name = (folder.loggers / "wandb-id").read_text().strip()
    sessions = sorted(path.name for path in (folder.loggers / "wandb").glob("offline-run-*"))
    assert len(sessions) == 2 and all(session.endswith(name) for session in sessions)
    records = [path.read_bytes() for path in (folder.loggers / "wandb").glob("offline-run-*/*.wandb")]
    assert all(b"train/loss" in content for content in records) and any(b"test/loss" in content for content in records)


@needs("mlflow")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_mlflow_in_a_local_file_goes_on_with_the_same_run(train, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    keys = [f"loggers=[{{mlflow: {{experiment: digits, uri: '{uri}'}}}}]"]
    with pytest.raises(RuntimeError, match="power"):
        train(*keys, callbacks=[power_cut(5)])
    folder = train(*keys)
    client = MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert [*tmp_path.glob("mlruns/**/*.png")] and not Path("mlruns").exists()
    assert found.info.run_id == (folder.loggers / "mlflow-id").read_text().strip() and found.info.status == "FINISHED"
    assert found.data.params["trainer.batch_size"] == "40" and found.info.run_name == folder.path.name
    records = [record for record in read_metrics(folder.metrics) if "train/loss" in record]
    history = {each.step: each.value for each in client.get_metric_history(found.info.run_id, "train/loss")}
    assert history == pytest.approx({record["step"]: record["train/loss"] for record in records})
    assert float(found.data.tags["result.test/loss"]) == folder.read_summary()["test"]["loss"]
