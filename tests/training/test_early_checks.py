"""Mistakes in settings, and files that are not there, are answered before torch is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.training.early_checks import check_run

ROOT = Path(__file__).resolve().parents[2]
MISTAKES = {
    ("train", "data=folder"): "data.root is missing: give data.root=PATH",
    ("train", "data=folder", "data.root=/nowhere"): "folder: no folder /nowhere; set data.root",
    ("train", "data=folder", "data.root=empty"): "has no folder per class in it",
    ("train", "data=folder", "data.root=validated"): "has val/ and no train/",
    ("train", "data=npz"): "data.root is missing.",
    ("train", "data=npz", "data.root=/nowhere.npz"): "there is no file or folder data.root=/nowhere.npz",
    ("train", "data=npz", "data.root=arrays.npz"): "data.images=x data.labels=y",
    ("train", "data=webdataset", "data.root=/nowhere"): "no folder /nowhere",
    ("train", "data=cifar10", "data.root=/nowhere", "data.download=false"): "data.download=false forbids the download",
    ("train", "run.init_from=/nowhere"): "run.init_from: there is no checkpoint /nowhere",
    ("train", "run.init_from=empty"): "run.init_from=empty has no checkpoint",
    ("train", "run.root=arrays.npz"): "run.root=arrays.npz cannot be written",
    ("train", "trainer.batch_size=0"): "trainer.batch_size=0 is not valid",
    ("train", "data.folds=5"): "data.fold=null must say which of the folds",
    ("train", "augmentation.flip=7"): "augmentation.flip=7 is not valid",
    ("train", "data.normalize={mean: [0.5, 0.5], std: [1, 1]}"): "data.normalize.mean has 2 values",
    ("train", "metrics=[nothing]"): "unknown metric: nothing",
    ("train", "callbacks=[nothing]"): "unknown name in callbacks: nothing",
    ("train", "analysis.stability=[wobble]"): "unknown name in analysis.stability: wobble",
    ("svm", "data=folder"): "data.root is missing",
    ("find-lr", "trainer.batch_size=0"): "trainer.batch_size=0 is not valid",
    ("describe", "data=folder"): "data.root is missing",
    ("data-stats", "data=folder", "data.root=/nowhere"): "no folder /nowhere",
    ("prepare-data", "data=folder", "data.root=/nowhere"): "no folder /nowhere",
    ("evaluate", "run=/nowhere"): "there is no run's folder /nowhere",
    ("predict", "a.png", "run=/nowhere"): "there is no run's folder /nowhere",
    ("export", "run=/nowhere"): "there is no run's folder /nowhere",
    ("inspect", "run=/nowhere"): "there is no run's folder /nowhere",
    ("analyze", "run=/nowhere"): "there is no run's folder /nowhere",
}

PROGRAM = """
import contextlib, io, json, sys
from hybrid.commands.main import main
answers = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    answers.append([code, said.getvalue(), "torch" in sys.modules])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Arguments -> (exit code, what was said, whether torch was imported by then), all of one process."""
    place = tmp_path_factory.mktemp("place")
    (place / "empty").mkdir()
    (place / "validated" / "val").mkdir(parents=True)
    np.savez(place / "arrays.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4))
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(MISTAKES)),
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(path.name for path in place.iterdir()) == ["arrays.npz", "empty", "validated"], "nothing is written"
    return dict(zip(MISTAKES, json.loads(found.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_answered_without_torch(answers, arguments):
    code, said, with_torch = answers[arguments]
    assert code == 2
    assert MISTAKES[arguments] in said
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not with_torch


def test_a_begun_run_needs_no_data(tmp_path):
    """Such a run is told finished, or says itself what it lacks."""
    cfg = compose(["data=folder", f"data.root={tmp_path / 'gone'}", f"run.root={tmp_path}", "run.name=run"])
    with pytest.raises(UserError, match="no folder"):
        check_run(cfg)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    check_run(cfg)
    cfg.run.restart = True
    with pytest.raises(UserError, match="no folder"):
        check_run(cfg)


def test_warnings_are_left_to_the_run(tmp_path, caplog):
    check_run(compose(["data=digits", "data.subset.seed=3", f"run.root={tmp_path}"]))
    assert caplog.records == []


def test_several_ranks_check_together(monkeypatch):
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    check_run(compose(["data=folder", "data.root=/nowhere"]))
