from __future__ import annotations

import json

import pytest
import torch
from fixtures.training import at_step, power_cut

from hybrid.configuration.entry import guarded
from hybrid.configuration.kept import read_kept
from hybrid.errors import UserError
from hybrid.objective.objective import Objective
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.evaluation import evaluate
from hybrid.training.restore import restore
from hybrid.training.run import run
from hybrid.training.summary import diverged
from hybrid.training.trainer import Trainer


def weights(folder, name="last.pt"):
    return checkpoint.load(folder.checkpoints / name)["model"]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def untimed(folder):
    """The records without what a clock wrote."""
    records = read_metrics(folder.metrics)
    return [{k: v for k, v in record.items() if not k.startswith("speed/")} for record in records]


def test_a_run_leaves_its_whole_story_in_its_folder(train):
    folder = train()
    assert {path.name for path in folder.path.iterdir()} >= {
        "config.yaml", "classes.json", "environment.json", "metrics.jsonl", "summary.json", "checkpoints",
    }  # fmt: skip
    summary = folder.read_summary()
    assert summary["steps"] == 6 and summary["parameters"] > 0 and summary["images_per_second"] > 0
    assert 0 <= summary["test"]["top1"] <= summary["test"]["top5"] <= 100 and summary["test"]["loss"] > 0
    assert summary["validation"]["best"]["top1"] >= summary["validation"]["final"]["top1"]
    records = untimed(folder)
    assert [r["step"] for r in records if "train/loss" in r] == [2, 4, 6]
    assert [r["step"] for r in records if "validation/loss" in r] == [3, 6]
    assert [r["step"] for r in records if "test/loss" in r] == [6]
    environment = json.loads(folder.environment.read_text())
    (session,) = environment["sessions"]
    assert session["unofficial_files"] is None  # of the digits nobody publishes checksums
    assert session["packages"]["torch"] and session["step"] == 0


def test_it_says_and_keeps_which_engine_computes_the_scattering(train, capsys):
    folder = train("model.frontend.engine=torch", "trainer.progress=lines")
    line = "scattering of 32x32 images, J=2: torch engine"
    assert line in capsys.readouterr().out.splitlines()
    (session,) = json.loads(folder.environment.read_text())["sessions"]
    assert session["engines"] == [line]


def test_the_same_configuration_finds_its_folder_and_leaves_a_finished_run_alone(train, capsys):
    folder = train()
    before = folder.summary.stat().st_mtime_ns
    again = train()
    assert again.path == folder.path and folder.summary.stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().out


def test_what_changes_results_changes_the_folder_and_what_does_not_does_not(tiny):
    name = RunFolder.of(tiny()).path
    for same in ("trainer.log_every=1 step", "trainer.progress=lines", "trainer.checkpoint_every=1 epoch"):
        assert RunFolder.of(tiny(same)).path == name
    for other in (
        "seed=1",
        "optimizer.lr=0.06",
        "model.frontend.L=6",
        "augmentation=none",
        "trainer.precision=bf16",
        "run.init_from=x",
    ):
        assert RunFolder.of(tiny(other)).path != name


def test_the_root_tells_folders_of_images_apart_but_moving_a_named_data_set_does_not(tiny):
    def name(data, root):
        cfg = tiny("~data.subset.n", f"data={data}", f"data.root={root}")
        return RunFolder.of(cfg).path

    assert name("folder", "/cats") != name("folder", "/dogs")
    assert name("cifar10", "/here") == name("cifar10", "/there")


def test_seeds_decide_everything(train):
    first = weights(train())
    assert equal(first, weights(train("run.restart=true"))) and not equal(first, weights(train("seed=1")))


@pytest.mark.parametrize("extra", [(), ("trainer.ema=0.9",), ("augmentation=mixup",), ("trainer.accumulation=2",)])
def test_stopped_at_any_step_and_continued_it_ends_bit_identical(train, tmp_path, extra):
    whole = train(*extra, root=tmp_path / "whole")
    for crash in range(1, 7):
        root = tmp_path / f"crash{crash}"
        with pytest.raises(RuntimeError, match="power"):
            train(*extra, root=root, callbacks=[power_cut(crash)])
        resumed = train(*extra, root=root)
        assert equal(weights(whole), weights(resumed)) and untimed(whole) == untimed(resumed)
        assert equal(weights(whole, "best.pt"), weights(resumed, "best.pt"))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (1, "stopped before the first checkpoint; the same command begins again"),
        (5, "continues from the last checkpoint"),
    ],
)
def test_interrupted_at_once_it_says_from_where_it_goes_on(train, capsys, step, words):
    def interrupt():
        raise KeyboardInterrupt

    assert guarded(lambda: train(callbacks=[at_step(step, interrupt)])) == 130
    assert words in capsys.readouterr().err


def test_micro_batches_give_the_gradient_of_the_whole_batch(train):
    plain = ["model/normalization=none", "optimizer.lr=0.01", "augmentation=none"]
    one, cut = train(*plain), train(*plain, "trainer.accumulation=7")
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(cut)[key], value, rtol=1e-4, atol=1e-6)


def test_the_averaged_weights_are_what_is_evaluated_and_they_are_the_average(train):
    folder = train("trainer.ema=0.5", "trainer.test_weights=best")
    content = checkpoint.load(folder.checkpoints / "last.pt")
    assert not equal(content["model"], content["ema"]["weights"])
    best = checkpoint.load(folder.checkpoints / "best.pt")
    if best["step"] == content["step"]:
        assert equal(best["model"], content["ema"]["weights"])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(train, tiny):
    with pytest.raises(UserError, match="not finite at step"):
        train("optimizer.lr=1e30", "trainer.duration=40 steps", "trainer.checkpoint_every=1 step")
    folder = RunFolder.of(tiny("optimizer.lr=1e30", "trainer.duration=40 steps"))
    assert not folder.finished and "not finite at step" in folder.error.read_text()
    assert all(torch.isfinite(value).all() for value in weights(folder).values())
    with pytest.warns(
        UserWarning, match=r"this run failed: the loss is not finite at step \d+: .*; its weights are of step \d+\.$"
    ):
        restore(folder.path)


def test_overfit_learns_one_batch_by_heart(train):
    folder = train("debug=overfit", "optimizer.lr=0.01", "trainer.duration=100 steps", "trainer.log_every=10 steps")
    losses = [record["train/loss"] for record in read_metrics(folder.metrics) if "train/loss" in record]
    assert losses[-1] < 0.05 < losses[0]


@pytest.mark.parametrize(
    "extra",
    [
        ("trainer.precision=bf16",),
        ("trainer.clip_norm=0.1",),
        ("trainer.label_smoothing=0.1", "schedule=one_cycle"),
        ("trainer.drop_last=true", "schedule=step", "optimizer.decay=weights"),
        ("optimizer=adamw", "optimizer.lr=0.001", "schedule=constant", "schedule.warmup=1 epoch"),
        ("model/normalization=statistics",),
        ("model=scat_resnet", "trainer.deterministic=true"),
        ("data.validation=0",),
    ],
)
def test_options_run_to_the_end(train, extra):
    assert train(*extra).read_summary()["steps"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["true", "reduce-overhead"])
def test_compiled_training_gives_the_same_losses(train, mode):
    plain, compiled = train("augmentation=none"), train("augmentation=none", f"trainer.compile={mode}")
    for one, other in zip(untimed(plain), untimed(compiled), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3)


def test_starting_from_the_weights_of_another_run(train, tiny):
    source = train()
    folder = train("trainer.duration=1 step", "optimizer.lr=1e-9", f"run.init_from={source.path}")
    for key, value in weights(source).items():
        if "running" not in key and "batches" not in key:
            torch.testing.assert_close(weights(folder)[key], value)
    with pytest.raises(UserError, match="weights of another model: other shapes: .*run.init_match=shapes"):
        run(tiny("model.frontend.J=1", f"run.init_from={source.path}"))
    with pytest.raises(UserError, match="no checkpoint"):
        run(tiny("seed=3", "run.init_from=/nowhere"))


def test_a_folder_of_another_configuration_is_refused(train, tiny):
    train("run.name=mine", "trainer.duration=2 steps")
    with pytest.raises(UserError, match="trainer.duration is 2 steps there and 4 steps here"):
        run(tiny("run.name=mine", "trainer.duration=4 steps"))
    folder = RunFolder.of(tiny("run.name=mine"))
    folder.summary.unlink()
    with pytest.raises(UserError, match="trainer.duration is 2 steps there and 4 steps here"):
        run(tiny("run.name=mine", "trainer.duration=4 steps"))


@pytest.mark.parametrize("extra", [(), ("run.restart=true",)])
def test_two_processes_do_not_share_a_folder(tiny, extra):
    cfg = tiny()
    folder = RunFolder.of(cfg)
    folder.open(cfg, class_names=[str(digit) for digit in range(10)])
    with pytest.raises(UserError, match="another process"):
        run(tiny(*extra))
    folder.close()


def test_restart_deletes_runs_and_nothing_else(tiny, tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "thesis.tex").write_text("years of work")
    for content in (None, "title: my project"):
        if content:
            (tmp_path / "runs" / "mine" / "config.yaml").write_text(content)
        with pytest.raises(UserError, match="is not a run's folder"):
            run(tiny("run.name=mine", "run.restart=true"))
    assert (tmp_path / "runs" / "mine" / "thesis.tex").exists()


def test_a_requeued_job_continues_the_run_that_it_has_begun_again(train, tiny, monkeypatch):
    command = ["run.name=mine", "run.restart=true"]
    folder = train("run.name=mine")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(RuntimeError, match="power"):
        train(*command, callbacks=[power_cut(5)])
    assert not folder.finished and read_kept(folder.config).run.restart is False
    first = folder.config.stat().st_mtime_ns
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(*command)
    assert folder.finished and folder.config.stat().st_mtime_ns == first
    train(*command)  # requeued after its end
    assert folder.config.stat().st_mtime_ns == first
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    train(*command)
    assert folder.config.stat().st_mtime_ns > first


def test_what_an_interrupted_run_says_does_not_begin_it_again(train, capsys):
    def interrupt():
        raise KeyboardInterrupt

    assert guarded(lambda: train("run.restart=true", callbacks=[at_step(5, interrupt)])) == 130
    assert "the same command, without run.restart=true, continues" in capsys.readouterr().err


def test_restart_leaves_what_a_run_did_not_write(train, tiny):
    folder = train("run.name=mine")
    (folder.path / "notes.txt").write_text("mine")
    before = folder.summary.stat().st_mtime_ns
    run(tiny("run.name=mine", "run.restart=true", "trainer.duration=4 steps"))
    assert (folder.path / "notes.txt").exists() and folder.summary.stat().st_mtime_ns > before
    assert folder.read_summary()["steps"] == 4


def test_what_is_refused_changes_nothing_in_a_folder(train, tiny):
    folder = train("run.name=mine")
    folder.summary.unlink()
    folder.error.write_text("what went wrong")
    with pytest.raises(UserError, match="another run"):
        run(tiny("run.name=mine", "optimizer.lr=0.9"))
    assert folder.error.exists()
    for source in ("/nowhere", str(folder.path.parent)):
        with pytest.raises(UserError, match="no checkpoint"):
            run(tiny("run.name=other", f"run.init_from={source}"))
    assert not (folder.path.parent / "other").exists()


def test_a_batch_of_one_image_that_batch_norm_refuses_is_explained(train):
    with pytest.raises(UserError, match="drop_last=true"):
        train("model=scat_mlp", "model.head.hidden=[8]", "model.head.batch_norm=true", "trainer.batch_size=33")


def test_after_a_damaged_checkpoint_the_good_one_stays_until_there_is_a_new_one(train, tiny, monkeypatch):
    with pytest.raises(OSError, match="power"), monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", lambda self, split: (_ for _ in ()).throw(OSError("the power went")))
        train("trainer.evaluate_every=6 steps", "trainer.checkpoint_every=1 step")
    folder = RunFolder.of(tiny("trainer.evaluate_every=6 steps"))
    raw = bytearray((folder.checkpoints / "last.pt").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder.checkpoints / "last.pt").unlink()
    (folder.checkpoints / "last.pt").write_bytes(raw)
    good = (folder.checkpoints / "previous.pt").read_bytes()
    with pytest.raises(OSError, match="disk"), monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda *a: (_ for _ in ()).throw(OSError("the disk is full")))
        with pytest.warns(UserWarning, match="previous.pt, step"):
            train("trainer.evaluate_every=6 steps", "trainer.checkpoint_every=1 step")
    kept = [path.read_bytes() for path in folder.checkpoints.iterdir()]
    assert good in kept
    assert train("trainer.evaluate_every=6 steps", "trainer.checkpoint_every=1 step").finished


def test_several_of_the_best_weights_are_kept(train):
    folder = train("trainer.keep_best=3", "trainer.evaluate_every=1 step", "trainer.duration=8 steps")
    evaluated = [(r["step"], r["validation/top1"]) for r in untimed(folder) if "validation/top1" in r]
    ranking = sorted(evaluated, key=lambda each: (-each[1], each[0]))[:3]
    assert checkpoint.ranked(folder.checkpoints) == [
        "best",
        *(f"best-{step}" for step in sorted(s for s, _ in ranking[1:])),
    ]
    for name in checkpoint.ranked(folder.checkpoints):
        restored = restore(folder.path, weights=name)
        assert restored.step == (ranking[0][0] if name == "best" else int(name[5:]))
        loader = restored.data.loader("validation", batch_size=40, most=80)
        result = evaluate(restored.model, loader.epoch(0), num_classes=10)
        assert result.top1 == pytest.approx(dict(evaluated)[restored.step])
    with pytest.raises(UserError, match="weights=best-99 is not kept in .* Valid: last, best, best-"):
        restore(folder.path, weights="best-99")


def test_a_part_of_the_images_has_every_class_in_proportion(train, monkeypatch):
    seen = []

    def look(model, batches, **rest):
        kept = list(batches)
        seen.append(torch.cat([batch.labels for batch in kept]).bincount(minlength=10))
        return evaluate(model, kept, **rest)

    monkeypatch.setattr("hybrid.training.trainer.evaluate", look)
    folder = train("trainer.duration=1 step", "trainer.max_evaluation_batches=2", "trainer.batch_size=20")
    assert folder.read_summary()["test"]["images"] == 40
    parts = [counts for counts in seen if counts.sum() == 40]  # of the first 40 test images a class has 2 to 10
    assert parts and all(counts.min() >= 3 and counts.max() <= 5 for counts in parts)


def test_progress_none_is_silent(train, capsys):
    train()
    assert capsys.readouterr().out == ""


def test_a_continued_run_does_not_need_the_weights_that_it_began_from(train, tiny):
    source = train()
    begun = [f"run.init_from={source.path}", "trainer.duration=4 steps"]
    folder = train(*begun)
    folder.summary.unlink()
    source.path.rename(source.path.with_name("elsewhere"))
    assert train(*begun).finished


def test_a_run_of_an_earlier_version_is_read_with_the_defaults_of_what_is_new(train):
    folder = train()
    lines = folder.config.read_text().splitlines(keepends=True)
    folder.config.write_text("".join(line for line in lines if "keep_best" not in line))
    assert restore(folder.path).settings.keep_best == 1


def test_results_that_are_worse_than_guessing_are_said(train, capsys):
    plain = Objective()
    assert diverged({"loss": 2.4}, plain, outputs=10) is None is diverged({"loss": 20.0}, plain, outputs=10)
    assert "6e+28, that of guessing 2.30" in diverged({"loss": 6e28}, plain, outputs=10)
    assert diverged({"loss": float("nan")}, plain, outputs=10) is not None
    values = Objective(task="regression", name="mse")
    assert diverged({"loss": 1.0, "r2": -0.5}, values, outputs=1) is None
    assert "100 times" in diverged({"loss": 1.0, "r2": -99.0}, values, outputs=1)
    train("optimizer.lr=100", "optimizer.weight_decay=0", "trainer.progress=lines")
    assert "that of guessing 2.30" in capsys.readouterr().out


def test_a_run_that_another_process_finishes_while_this_one_gets_ready_is_left_alone(tiny, capsys):
    """Whether it is finished is asked once more when the folder is locked."""
    cfg, written = tiny("trainer.duration=2 steps"), []

    class Other:
        observer = True

        def on_setup(self, plan, data):
            run(cfg)
            written.append(RunFolder.of(cfg).summary.stat().st_mtime_ns)

    summary = run(cfg, callbacks=[Other()])
    assert summary["steps"] == 2 and "finished already" in capsys.readouterr().out
    assert RunFolder.of(cfg).summary.stat().st_mtime_ns == written[0] and not RunFolder.of(cfg).in_use
