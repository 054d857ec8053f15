"""Whole runs of several processes: results, checkpoints on other numbers of ranks, signals, deaths."""

from __future__ import annotations

import csv
import os
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from fixtures.training import OnStep, at_step, power_cut

from hybrid import distributed
from hybrid.analysis.measurements import Measurements
from hybrid.distributed import watch
from hybrid.errors import LOST, UserError
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.run import run

PLAIN = ["model/normalization=none", "optimizer.lr=0.001", "augmentation=mixup", "trainer.max_evaluation_batches=null"]
DROPOUT = ["model=scat_mlp", "model.head.hidden=[8]", "model.head.dropout=0.5", "trainer.ema=0.9"]
ENDLESS = ["trainer.duration=100000 steps", "trainer.evaluate_every=50000 steps"]


def content(cfg, name="last.pt"):
    return checkpoint.load(RunFolder.of(cfg).checkpoints / name)


def records(cfg):
    every = read_metrics(RunFolder.of(cfg).metrics)
    return [{k: v for k, v in record.items() if not k.startswith("speed/")} for record in every]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def wait_for(path, group):
    wait_until(path.exists, group)


def wait_until(condition, group):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, group.said(0)
        time.sleep(0.02)


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def end_of(pid, group):
    """The exit code of one process of a group."""
    ended = []
    wait_until(lambda: ended.append(os.waitpid(pid, os.WNOHANG)) or ended[-1][0], group)
    return os.waitstatus_to_exitcode(ended[-1][1])


def test_two_ranks_make_the_run_of_one(tiny, ranks, tmp_path):
    alone, both = tiny(*PLAIN, root=tmp_path / "alone"), tiny(*PLAIN, root=tmp_path / "both")
    summary = run(alone)
    first, second = ranks(2, lambda: run(both)).results()
    assert first["test"] == second["test"] and first["test"]["images"] == summary["test"]["images"] == 360
    assert first["ranks"] == 2 and summary["ranks"] == 1
    for one, other in zip(records(alone), records(both), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for name, value in content(alone)["model"].items():
        torch.testing.assert_close(value, content(both)["model"][name], rtol=1e-4, atol=1e-6)
    assert not RunFolder.of(both).errors.exists()


def test_analysis_gives_the_figures_of_one_rank(tiny, ranks, tmp_path):
    keys = [*PLAIN, "analysis=light", "analysis.every=6 steps", "analysis.figures=never", "analysis.neighbours=5"]
    alone, both = tiny(*keys, root=tmp_path / "alone"), tiny(*keys, root=tmp_path / "both")
    run(alone)
    ranks(2, lambda: run(both)).results()
    tables = [(RunFolder.of(cfg).analysis / "step-6.csv").read_text().splitlines() for cfg in (alone, both)]
    for row, same_row in zip(*map(csv.reader, tables), strict=True):
        for cell, same_cell in zip(row, same_row, strict=True):
            assert cell == same_cell or float(cell) == pytest.approx(float(same_cell), rel=1e-3)


def test_only_the_first_rank_speaks_and_a_finished_run_is_left_alone(tiny, ranks):
    cfg = tiny("trainer.progress=lines", "trainer.duration=2 steps")
    group = ranks(2, lambda: run(cfg))
    group.results()
    assert "on 2 × cpu" in group.said(0) and "test accuracy" in group.said(0) and group.said(1) == ""
    again = ranks(2, lambda: run(cfg))
    assert again.results()[1]["steps"] == 2
    assert "finished already" in again.said(0) and again.said(1) == ""


@pytest.mark.parametrize(
    ("size", "extra"),
    [(2, ()), (3, ("trainer.sync_batch_norm=true", "trainer.accumulation=2", "trainer.batch_size=42"))],
)
def test_ranks_stopped_and_continued_by_as_many_end_bit_identical(tiny, ranks, tmp_path, size, extra):
    """With dropout, whose random numbers each rank draws by itself, and the checkpoint between two readings of the loss."""
    keys = [*DROPOUT, *extra, "trainer.log_every=4 steps", "trainer.checkpoint_every=3 steps"]
    whole, broken = tiny(*keys, root=tmp_path / "whole"), tiny(*keys, root=tmp_path / "broken")
    ranks(size, lambda: run(whole)).results()
    assert ranks(size, lambda: run(broken, callbacks=[power_cut(5)])).wait() == [1] * size
    assert content(broken)["step"] == 3
    ranks(size, lambda: run(broken)).results()
    one, other = content(whole), content(broken)
    del one["seconds"], other["seconds"]
    assert same(one, other)
    assert records(whole) == records(broken)
    generators = one["generators"]
    assert len(generators) == size and not torch.equal(generators[0]["torch"], generators[1]["torch"])


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_checkpoint_goes_on_on_another_number_of_ranks(tiny, ranks, tmp_path, before, after):
    keys = [*PLAIN, "trainer.batch_size=42", "trainer.ema=0.9", "trainer.log_every=4 steps"]
    whole, moved = tiny(*keys, root=tmp_path / "whole"), tiny(*keys, root=tmp_path / "moved")
    run(whole)
    assert ranks(before, lambda: run(moved, callbacks=[power_cut(3)])).wait() == [1] * before
    assert content(moved)["step"] == 2
    ranks(after, lambda: run(moved)).results()
    for part in ("model", "ema"):
        one, other = content(whole)[part], content(moved)[part]
        for name, value in (one["weights"] if part == "ema" else one).items():
            torch.testing.assert_close(
                value, (other["weights"] if part == "ema" else other)[name], rtol=1e-4, atol=1e-6
            )
    assert content(moved)["images"] == content(whole)["images"]
    for one, other in zip(records(whole), records(moved), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_another_number_of_ranks_is_told_where_it_makes_another_run(tiny, ranks):
    """The normalization of `tiny` is batch norm, not synchronised."""
    cfg = tiny("trainer.progress=lines")
    assert ranks(2, lambda: run(cfg, callbacks=[power_cut(3)])).wait() == [1, 1]
    group = ranks(1, lambda: run(cfg))
    group.results()
    line = (
        "begun with 2 and continued with 1 rank: batch norm over each rank's own images gives other results than with 2"
    )
    assert group.said(0).count(line) == 1


@pytest.mark.parametrize(("number", "asked"), [(signal.SIGTERM, [1]), (signal.SIGINT, [0, 1])])
def test_a_signal_to_one_rank_or_all_stops_all_at_one_step_with_a_checkpoint(tiny, ranks, number, asked):
    cfg = tiny(*ENDLESS, "trainer.checkpoint_every=3 steps")
    group = ranks(2, lambda: run(cfg))
    wait_for(RunFolder.of(cfg).checkpoints / "last.pt", group)
    for rank in asked:
        os.kill(group.pids[rank], number)
    assert group.wait() == [128 + number] * 2
    assert group.said(0).strip() == (
        f"stopped by {number.name} at step {content(cfg)['step']}, checkpoint written; the same command continues"
    )
    assert group.said(1) == ""


@pytest.mark.parametrize("where", ["collect", "measure_vectors"])
def test_a_signal_to_one_rank_ends_the_analysis_of_all_and_the_continued_run_makes_it(
    tiny, ranks, tmp_path, monkeypatch, where
):
    keys = [*PLAIN, "analysis=light", "analysis.every=3 steps", "analysis.figures=never", "analysis.neighbours=5"]
    whole, cfg = tiny(*keys, root=tmp_path / "whole"), tiny(*keys, root=tmp_path / "stopped")
    ranks(2, lambda: run(whole)).results()
    original = getattr(Measurements, where)

    def signalled(self, *arguments):
        if distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        elif where == "measure_vectors":
            (tmp_path / "measured").open("a").write("a layer\n")
            until = time.monotonic() + 60
            while not distributed.heard("stop", say=False) and time.monotonic() < until:
                time.sleep(0.02)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Measurements, where, signalled)
        group = ranks(2, lambda: run(cfg))
        assert group.wait() == [128 + signal.SIGTERM] * 2, group.said(0) + group.said(1)
    assert group.said(0).startswith("stopped by SIGTERM at step 3, checkpoint written") and group.said(1) == ""
    assert content(cfg)["step"] == 3 and not list(RunFolder.of(cfg).analysis.glob("*"))
    if where == "measure_vectors":
        assert (tmp_path / "measured").read_text() == "a layer\n"  # of six
    ranks(2, lambda: run(cfg)).results()
    assert records(cfg) == records(whole) and same(content(cfg)["model"], content(whole)["model"])
    tables = [
        {path.name: path.read_text() for path in RunFolder.of(each).analysis.glob("*.csv")} for each in (cfg, whole)
    ]
    assert tables[0] == tables[1] and sorted(tables[0]) == ["step-3.csv", "step-6.csv"]


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_rank_is_killed_the_other_ends_and_names_it(tiny, ranks, victim):
    cfg = tiny(*ENDLESS)
    group = ranks(2, lambda: run(cfg))
    wait_for(RunFolder.of(cfg).checkpoints / "last.pt", group)
    began = time.monotonic()
    os.kill(group.pids[victim], signal.SIGKILL)
    codes = group.wait()
    assert codes[victim] == -signal.SIGKILL and codes[1 - victim] == LOST
    assert time.monotonic() - began < 50  # of the 60 seconds after which the helper would kill it
    line = group.said(1 - victim).splitlines()[-1]  # torch may have warned that the store is gone with rank 0
    assert line.startswith(f"error: rank {victim} ") and "died" in line
    assert "the same command continues from the last checkpoint" in line
    error = RunFolder.of(cfg).errors / "rank1.txt" if victim == 0 else RunFolder.of(cfg).error
    assert f"rank {victim}" in error.read_text()
    assert checkpoint.load_latest(RunFolder.of(cfg).checkpoints)["step"] >= 2


@pytest.mark.parametrize("victim", [0, 1])  # the first keeps the store, through which the others would hear of it
def test_a_rank_that_hangs_is_found_by_its_silence_and_spoils_nothing_when_it_wakes(tiny, ranks, victim, monkeypatch):
    monkeypatch.setattr(watch, "GRACE", 1.0)
    cfg, folder = tiny("trainer.rank_timeout=3 seconds"), RunFolder.of(tiny())
    hangs = at_step(3, lambda: os.kill(os.getpid(), signal.SIGSTOP), rank=victim)
    group = ranks(2, lambda: run(cfg, callbacks=[hangs]))
    wait_until(lambda: is_stopped(group.pids[victim]), group)
    assert end_of(group.pids[1 - victim], group) == LOST
    assert f"error: rank {victim} " in group.said(1 - victim)
    line = "has given no sign of life for 3 seconds; the same command continues from the last checkpoint"
    assert line in group.said(1 - victim)
    if victim == 0:  # it has the folder's lock
        with pytest.raises(UserError, match="another process is working on"):
            run(cfg)
        assert content(cfg)["step"] == 2
    else:
        assert run(cfg)["steps"] == 6
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    os.kill(group.pids[victim], signal.SIGCONT)
    assert end_of(group.pids[victim], group) == LOST and f"error: rank {1 - victim} " in group.said(victim)
    if victim == 0:
        assert "rank 1" in folder.error.read_text() and run(cfg)["steps"] == 6
    else:
        assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert folder.finished and not folder.errors.exists()


def test_a_disk_that_is_full_for_the_first_rank_is_one_line_and_with_room_the_run_goes_on(tiny, ranks):
    """The other ranks write nothing of a run; the first one's last checkpoint stays."""

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    cfg = tiny()
    folder = RunFolder.of(cfg)
    group = ranks(2, lambda: run(cfg, callbacks=[at_step(3, fill, rank=0)]))
    assert group.wait() == [2, 2]
    assert group.said(0) == f"error: {folder.checkpoints / 'best.pt'}: File too large\n" and group.said(1) == ""
    assert content(cfg)["step"] == 2 and not folder.errors.exists() and not [*folder.path.rglob("*.tmp")]
    ranks(2, lambda: run(cfg)).results()
    assert folder.finished and not folder.error.exists()


class EndsLate:
    """Rank 1 dies when the results are stored; rank 0 still has something to do."""

    observer = True

    def on_end(self, session, summary) -> None:
        if distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(7)  # longer than a rank waits for its main thread to end by itself


def test_a_rank_that_dies_when_the_results_are_stored_spoils_nothing(tiny, ranks):
    cfg = tiny("trainer.duration=2 steps")
    group = ranks(2, lambda: run(cfg, callbacks=[EndsLate()]))
    assert group.wait() == [0, -signal.SIGKILL], group.said(0)
    assert RunFolder.of(cfg).finished and not RunFolder.of(cfg).error.exists()


def test_the_error_of_one_rank_is_told_by_the_first_and_kept_in_the_runs_folder(tiny, ranks):
    def broken():
        raise UserError("cat.png: not a readable image.")

    cfg = tiny()
    group = ranks(2, lambda: run(cfg, callbacks=[at_step(3, broken, rank=1)]))
    assert group.wait() == [2, 2]
    assert group.said(0).startswith("error: rank 1 failed: cat.png: not a readable image.") and group.said(1) == ""
    folder = RunFolder.of(cfg)
    assert "cat.png" in (folder.errors / "rank1.txt").read_text() and "rank 1 failed" in folder.error.read_text()
    ranks(2, lambda: run(cfg)).results()
    assert not folder.errors.exists() and not folder.error.exists()


def test_an_unforeseen_error_of_one_rank_ends_the_others_too(tiny, ranks):
    cfg = tiny()
    group = ranks(2, lambda: run(cfg, callbacks=[at_step(3, lambda: [][0], rank=0)]))
    assert group.wait() == [1, 1]
    assert "IndexError" in group.said(0) and "error: rank 0 failed: the callback" in group.said(1)
    assert "IndexError" in RunFolder.of(cfg).error.read_text()


def test_a_loss_that_is_not_finite_stops_all_ranks_with_one_line(tiny, ranks):
    cfg = tiny("optimizer.lr=1e30", "trainer.duration=40 steps", "trainer.checkpoint_every=1 step")
    group = ranks(2, lambda: run(cfg))
    assert group.wait() == [2, 2]
    assert group.said(0).count("not finite at step") == 1 and group.said(1) == ""
    assert all(torch.isfinite(value).all() for value in content(cfg)["model"].values())


def test_a_loss_that_is_not_finite_on_one_rank_alone_stops_all(tiny, ranks):
    def spoil_the_next(session):
        if session.state.step == 2 and distributed.rank() == 1:
            session.state.model.register_forward_pre_hook(lambda model, inputs: (inputs[0] * float("nan"),))

    cfg = tiny("trainer.evaluate_every=6 steps")  # noticed when step 4 is logged
    group = ranks(2, lambda: run(cfg, callbacks=[OnStep(spoil_the_next)]))
    assert group.wait() == [2, 2]
    assert "not finite at step 3" in group.said(0) and content(cfg)["step"] == 2


def test_what_is_refused_is_refused_once_and_nothing_is_written(tiny, ranks):
    cfg = tiny("trainer.batch_size=41")
    group = ranks(2, lambda: run(cfg))
    assert group.wait() == [2, 2]
    assert group.said(0).strip() == (
        "error: trainer.batch_size=41 cannot be divided evenly by 2 ranks. The nearest sizes that can: 40 and 42."
    )
    assert group.said(1) == "" and not RunFolder.of(cfg).path.exists()


def test_a_folder_in_use_is_refused_on_all_ranks(tiny, ranks):
    cfg = tiny()
    folder = RunFolder.of(cfg)
    folder.open(cfg, class_names=[str(digit) for digit in range(10)])
    group = ranks(2, lambda: run(cfg))
    assert group.wait() == [2, 2] and "another process is working on" in group.said(0) and group.said(1) == ""
    folder.close()


def test_srun_without_torchrun(tiny, ranks, monkeypatch):
    for name, value in {
        "SLURM_STEP_NUM_TASKS": 2,
        "SLURM_JOB_ID": os.getpid(),
        "SLURM_STEP_NODELIST": "localhost",
    }.items():
        monkeypatch.setenv(name, str(value))
    cfg = tiny("trainer.duration=2 steps")
    first, second = ranks(2, lambda: run(cfg), manner="srun").results()
    assert first["ranks"] == 2 and first["test"] == second["test"]


def test_rows_of_the_ranks_are_gathered_in_the_order_of_one(ranks):
    rows = torch.arange(14).view(7, 2)

    def work():
        with distributed.session(timeout=20):
            shares = distributed.own_shares(accumulation=1)
            batches = (rows[:5], rows[5:6], rows[6:])
            parts = [batch[shares.rows(len(batch))[0]] for batch in batches]
            return torch.cat([distributed.gather_rows(part) for part in parts])

    assert all(torch.equal(result, rows) for result in ranks(3, work).results())


def test_all_begin_with_the_weights_of_the_first(ranks):
    def work():
        torch.manual_seed(int(os.environ["RANK"]))
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        model.register_buffer("filters", torch.full((1,), float(os.environ["RANK"])), persistent=False)
        with distributed.session(timeout=20):
            distributed.same_weights(model)
        return model.state_dict(), model.filters

    (one, own), (other, theirs) = ranks(2, work).results()
    assert same(one, other) and own != theirs
