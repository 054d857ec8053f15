"""Analysis during training: the weights do not notice, the numbers are logged, and nothing that fails stops a run."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from fixtures.training import at_step, power_cut

from hybrid.analysis.measurements import Measurements
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.durations import RunLength
from hybrid.errors import Stopped, UserError
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.analysis import live as live_analysis
from hybrid.training.plan import AnalysisPlan
from hybrid.training.run import run
from hybrid.training.settings import LiveSettings

LIGHT = [
    "analysis=light", "analysis.every=3 steps", "analysis.images=60", "analysis.pair_images=20", "analysis.pairs=40",
    "analysis.neighbours=5", "analysis.figures=never",
]  # fmt: skip


def final_weights(folder):
    return checkpoint.load(folder.checkpoints / "last.pt")["model"]


def analyses(folder):
    return {
        record["step"]: {key: value for key, value in record.items() if key.startswith("analysis/")}
        for record in read_metrics(folder.metrics)
        if any(key.startswith("analysis/") for key in record)
    }


@pytest.mark.parametrize("extra", [[], ["model=scat_mlp", "trainer.ema=0.9"]])
def test_the_weights_are_bit_for_bit_those_without_analysis(train, tmp_path, extra):
    extra = [*extra, "augmentation=crop_flip", "model.frontend.max_order=1"]
    without, with_it = train("analysis=none", *extra), train(*LIGHT, *extra, root=tmp_path / "with")
    assert without.path.name == with_it.path.name  # the same run: it only was watched
    one, other = final_weights(without), final_weights(with_it)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert sorted(analyses(with_it)) == [3, 6] and not analyses(without)
    assert without.read_summary()["test"] == with_it.read_summary()["test"]


def test_numbers_arrays_and_tables_are_in_the_folder(train):
    folder = train(*LIGHT)
    numbers = analyses(folder)[6]
    record = Analysis.load(folder.analysis / "step-6.npz")
    assert record.layers == ["pixels", "S0", "S1", "scattering", "logits"]
    assert record.about["model"] == "scat_linear" and record.about["images"] == 60 and record.about["J"] == 2
    for row in record.rows():
        key = f"analysis/boundary.nested_1/{row['depth']:02d}_{row['layer']}"
        assert numbers[key] == pytest.approx(row["boundary.nested_1"])
    table = (folder.analysis / "step-6.csv").read_text().splitlines()
    assert table[0].startswith("layer,kind,depth,vectors,dimension") and len(table) == 6
    assert {path.name for path in folder.analysis.iterdir()} == {
        f"step-{k}.{end}" for k in (3, 6) for end in ("npz", "csv")
    }


def test_figures_are_drawn_at_the_end(train):
    folder = train(*LIGHT, "analysis.figures=last", "trainer.tensorboard=true")
    pictures = {path.name for path in folder.analysis.glob("*.png")}
    assert {"boundary.png", "contraction.png", "spectra.png", "cumulative_distances.png"} <= pictures


def test_a_stopped_run_ends_with_the_same_figures(train, tiny, tmp_path):
    whole = train(*LIGHT)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny(*LIGHT, root=tmp_path / "parts"), callbacks=[at_step(5, interrupt)])
    parts = train(*LIGHT, root=tmp_path / "parts")
    assert analyses(parts) == analyses(whole)


class Signalled:
    """Sends this process a signal before a layer is measured: the `at`-th time that one is, counted over all analyses."""

    def __init__(self, monkeypatch, *, at: int) -> None:
        self.measured = 0
        measure_vectors = Measurements.measure_vectors

        def measure(work, *arguments):
            self.measured += 1
            if self.measured == at:
                os.kill(os.getpid(), signal.SIGTERM)
            measure_vectors(work, *arguments)

        monkeypatch.setattr(Measurements, "measure_vectors", measure)


def records(folder):
    return [{k: v for k, v in record.items() if not k.startswith("speed/")} for record in read_metrics(folder.metrics)]


def written(folder):
    return {path.name: path.read_bytes() for path in folder.analysis.glob("*.csv")}


@pytest.mark.parametrize(("step", "at"), [(3, 2), (6, 6)])  # the second analysis has one layer to measure, not five
def test_a_signal_ends_an_analysis_at_once_and_the_continued_run_makes_it(train, tiny, tmp_path, monkeypatch, step, at):
    whole, cfg = train(*LIGHT, root=tmp_path / "whole"), tiny(*LIGHT, root=tmp_path / "stopped")
    folder = RunFolder.of(cfg)
    with monkeypatch.context() as patch:
        signalled = Signalled(patch, at=at)
        with pytest.raises(Stopped, match=f"stopped by SIGTERM at step {step}, checkpoint written"):
            run(cfg)
    assert signalled.measured == at, "another layer was measured"
    assert step not in analyses(folder) and f"step-{step}.csv" not in written(folder)
    assert not (folder.analysis / "error.txt").exists()
    assert checkpoint.load(folder.checkpoints / "last.pt")["step"] == step
    run(cfg)
    assert records(folder) == records(whole) and written(folder) == written(whole)
    assert all(torch.equal(value, final_weights(whole)[name]) for name, value in final_weights(folder).items())


def test_an_analysis_that_is_abandoned_twice_and_then_cut_off_after_it_is_logged_once(
    train, tiny, tmp_path, monkeypatch
):
    whole, cfg = train(*LIGHT, root=tmp_path / "whole"), tiny(*LIGHT, root=tmp_path / "stopped")
    for at in (1, 3):
        with monkeypatch.context() as patch:
            Signalled(patch, at=at)
            with pytest.raises(Stopped, match="at step 3"):
                run(cfg)
    with pytest.raises(RuntimeError, match="power"):  # its analysis is logged, its checkpoint is still the one before
        run(cfg, callbacks=[power_cut(4)])
    assert 3 in analyses(RunFolder.of(cfg))
    run(cfg)
    assert records(RunFolder.of(cfg)) == records(whole)


def test_a_run_that_goes_on_without_analysis_owes_none(train, tiny, monkeypatch):
    with monkeypatch.context() as patch:
        Signalled(patch, at=1)
        with pytest.raises(Stopped):
            run(tiny(*LIGHT))
    folder = train("analysis=none")
    assert folder.finished and not analyses(folder)


def test_an_analysis_that_fails_is_reported_and_training_goes_on(train, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("no luck\nat all")

    monkeypatch.setattr(live_analysis, "analyse_data", fail)
    with pytest.warns(UserWarning, match="analysis at step 6 failed, training goes on: no luck"):
        folder = train(*LIGHT, "analysis.every=6 steps")
    assert folder.finished and not analyses(folder)
    assert "ZeroDivisionError" in (folder.analysis / "error.txt").read_text()


def test_what_cannot_be_measured_is_a_warning(train):
    with pytest.warns(UserWarning, match="a class has 6 images: no more than 5 of 7 neighbours can agree"):
        folder = train(*LIGHT, "analysis.every=6 steps", "analysis.neighbours=7", "analysis.layers=[pixels]")
    assert folder.finished and any("classes.ratio" in key for key in analyses(folder)[6])


def test_auto_leaves_one_out_where_the_last_ones_took_too_long(monkeypatch, tmp_path):
    live = LiveSettings(every="auto", figures="never", probe_split="validation")
    length = RunLength(steps_per_epoch=450, total_steps=10**6)
    plan = AnalysisPlan.of(live, AnalysisSettings(), length, batch_size=100)
    session = SimpleNamespace(
        plan=SimpleNamespace(analysis=plan), folder=RunFolder(tmp_path), state=SimpleNamespace(step=0), at_the_end=False
    )
    analysis = live_analysis.LiveAnalysis(session)
    now = analysis._began
    monkeypatch.setattr(live_analysis.time, "monotonic", lambda: now)
    made = []
    for epoch in range(1, 101):
        now += 50  # seconds of training
        if analysis.due(450 * epoch):
            analysis._spent += 10
            now += 10
            made.append(epoch)
    assert made[:3] == [1, 4, 8] and 25 <= len(made) <= 28
    assert analysis.share <= 0.05 + 10 / (100 * 50)
    session.at_the_end = True
    assert analysis.due(10**6)  # the end, whatever it costs


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("analysis.every=often", "analysis.every=often"),
        ("analysis.images=1", "analysis.images=1 is not valid"),
        ("analysis.measures=[boundery]", "boundery"),
        ("analysis.pooling=max", "max"),
        ("analysis.layers=[pixel]", "unknown layer of the model: pixel. Did you mean pixels"),
        ("analysis.neighbours=2000", "analysis.neighbours=2000 is not valid: it must be below analysis.images=2000"),
        ("analysis.every=1", "a duration is a number and a unit"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tiny, tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        run(tiny("analysis=light", override))
    assert not (tmp_path / "runs").exists()
