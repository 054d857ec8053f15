"""Runs of `hybrid svm`: what they leave in their folders, and that the test images decide nothing."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.svm import SVC

from hybrid.classification import run as svm_run
from hybrid.classification.run import coefficients, run
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from, model_from
from hybrid.data import Data
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs.folder import identity

TINY = ["data=digits", "data.size=16", "data.subset.n=100", "model.frontend.J=1", "device=cpu"]


@pytest.fixture
def tiny(tmp_path):
    """tiny("svm.C=1", …) composes the configuration of such a run in a folder of this test."""

    def make(*overrides: str):
        return compose([*TINY, f"run.root={tmp_path / 'runs'}", *overrides], config_name="svm")

    return make


@pytest.fixture
def fit(tiny):
    """fit(…overrides) runs it and returns its RunFolder."""

    def do(*overrides: str) -> RunFolder:
        cfg = tiny(*overrides)
        run(cfg)
        return RunFolder.of(cfg)

    return do


def test_a_run_leaves_its_whole_story_in_its_folder(fit, tiny, capsys):
    folder = fit("seed=3")
    out = capsys.readouterr().out
    assert folder.path.name.startswith("digits-scat_linear-svm_gaussian-seed3-")
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        ".lock",
        "config.yaml",
        "classes.json",
        "data.json",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
    }
    summary, (record,) = folder.read_summary(), map(json.loads, folder.metrics.read_text().splitlines())
    assert record == {"step": 0, "epoch": 0.0, "test/top1": summary["test"]["top1"]}
    assert summary["test"]["images"] == 360 and summary["train"]["images"] == 100 and summary["test"]["top1"] > 80
    svm = summary["svm"]
    assert svm["cross_validation"] == max(svm["candidates"].values()) == svm["candidates"][f"{svm['C']:g}"]
    assert 0 < svm["support_vectors"] <= 100 and set(svm["candidates"]) == {"1", "10", "100"}
    assert f"test accuracy {summary['test']['top1']:.2f} % of 360 images; C = {svm['C']:g}" in out
    (session,) = json.loads(folder.environment.read_text())["sessions"]
    assert "scattering of 16x16 images" in session["engines"][0]
    assert identity(folder.read_config()) == identity(tiny("seed=3"))


def test_it_is_libsvm_on_the_standardised_coefficients_of_the_training_images(fit, tiny):
    cfg = tiny("svm.C=5")
    data = data_from(cfg.data, cfg.augmentation, seed=0)
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=10)
    model.fit_statistics(batch.images for batch in data.loader("train", batch_size=64).epoch(0))
    train, test = (coefficients(model, data, split, torch.device("cpu")) for split in ("train", "test"))
    assert train.features.shape == (100, 9 * 8 * 8) and len(data.splits["train"]) == 100
    spread = train.features.view(100, 9, 64).transpose(0, 1).flatten(1).std(1, correction=0)
    torch.testing.assert_close(spread, torch.ones(9), atol=0.01, rtol=0)
    direct = SVC(gamma=0.5 / train.features.shape[1], C=5.0).fit(train.features, train.labels)
    wanted = 100 * direct.score(test.features, test.labels)
    summary = fit("svm.C=5").read_summary()
    assert summary["test"]["top1"] == pytest.approx(wanted)
    assert summary["svm"] | {"support_vectors": 0} == {
        "C": 5.0, "cross_validation": None, "candidates": None, "support_vectors": 0,
    }  # fmt: skip


def test_the_test_images_decide_nothing_but_the_accuracy(fit, monkeypatch):
    before = fit().read_summary()
    loader = Data.loader

    def black(self, split, **more):
        if split == "test":
            self.splits["test"].images.zero_()
        return loader(self, split, **more)

    monkeypatch.setattr(Data, "loader", black)
    after = fit("run.name=black").read_summary()
    assert after["svm"] == before["svm"] and after["test"]["top1"] < 20 < before["test"]["top1"]


def test_the_same_configuration_finds_its_folder_and_leaves_a_finished_run_alone(fit, capsys):
    folder = fit()
    before = folder.summary.stat().st_mtime_ns, folder.environment.read_text()
    assert fit("device=auto").path == folder.path
    assert (folder.summary.stat().st_mtime_ns, folder.environment.read_text()) == before
    assert "finished already" in capsys.readouterr().out
    fit("run.restart=true")
    assert folder.summary.stat().st_mtime_ns > before[0]
    assert len(folder.metrics.read_text().splitlines()) == 1
    assert fit("svm.C=1").path != folder.path and fit("svm=linear").path.name.startswith(
        "digits-scat_linear-svm_linear-"
    )


def test_a_run_that_failed_says_why_and_begins_again(fit, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise RuntimeError("no libsvm today")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(svm_run.kernel_machine, "fit", broken)
        fit("run.name=mine")
    folder = RunFolder(tmp_path / "runs" / "mine")
    assert "no libsvm today" in folder.error.read_text() and not folder.finished
    fit("run.name=mine")
    assert folder.finished and not folder.error.exists()
    assert len(json.loads(folder.environment.read_text())["sessions"]) == 2


def test_too_little_memory_is_told_before_anything_is_written(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(svm_run, "free_memory", lambda _: 1_000_000)
    with pytest.raises(
        UserError, match=r"of 1,437 training images needs \d+\.\d GB of memory, 0\.0 GB are free.*data\.subset\.n="
    ):
        run(tiny("data.subset.n=null"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["augmentation=crop_flip"], "augmentation has no effect on a support vector machine"),
        (["augmentation.flip=0.5"], "augmentation has no effect on a support vector machine"),
        (["model/normalization=batch_norm"], "model.normalization has batch norm"),
        (["+svm.nu=0.5"], "unknown key in svm: nu"),
        (["svm.folds=11"], "class 0 has 10 training images"),
        (["seed=-1"], "seed=-1 is not valid"),
        (["+trainer.epochs=1"], "unknown key: trainer has no effect"),
        (["run.name=../x"], "run.name=../x is not valid"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny, overrides, words):
    with pytest.raises(UserError, match=words):
        run(tiny(*overrides))


def test_pixels_without_normalization_are_taken(tmp_path):
    more = ["data=digits", "data.subset.n=100", "model/frontend=identity", "model/normalization=none"]
    summary = run(compose([*more, f"run.root={tmp_path}"], config_name="svm"))
    assert summary["test"]["top1"] > 80
