"""The report of a sweep: all of its runs, also those that are not there; and the figure over one setting."""

from __future__ import annotations

import pytest

from hybrid.errors import UserError
from hybrid.reports.groups import group_runs
from hybrid.reports.setting_figure import setting_figure
from hybrid.runs.reading import find_runs, sweep_runs
from hybrid.runs.sweeps.folder import SweepFolder
from hybrid.runs.sweeps.plan import Planned


@pytest.fixture
def sweep(tmp_path, write_run, composed):
    """lr 0.1: two finished seeds and one that has not begun; lr 0.2: one finished, one unfinished; lr 0.4: one missing."""
    runs = []
    top1 = {("0.1", 0): 90.0, ("0.1", 1): 94.0, ("0.2", 0): 96.0}
    for lr, seed in [("0.1", 0), ("0.1", 1), ("0.1", 2), ("0.2", 0), ("0.2", 1), ("0.4", 0)]:
        name = f"lr{lr}-{seed}"
        cfg = composed("model=scat_linear")
        cfg.optimizer.lr, cfg.seed = float(lr), seed
        cfg.run.root, cfg.run.name = str(tmp_path / "runs"), name
        runs.append(Planned(name, (f"optimizer.lr={lr}", f"seed={seed}"), cfg))
        if (lr, seed) in top1 or (lr, seed) == ("0.2", 1):
            write_run(name, "model=scat_linear", f"optimizer.lr={lr}", seed=seed, top1=top1.get((lr, seed)))
    write_run("another", "model=scat_linear", top1=10.0)  # not of the sweep
    folder = SweepFolder.of(runs, name="mine")
    folder.write(runs, command="train.py -m")
    return folder


def test_all_runs_of_the_sweep_and_no_other(sweep, tmp_path):
    assert [run.state for run in sweep_runs(sweep)] == [
        "finished", "finished", "missing", "finished", "unfinished", "missing",
    ]  # fmt: skip
    assert len(find_runs(tmp_path / "runs")) == 5
    assert [run.seed for run in sweep_runs(sweep, where=["state=missing"])] == [2, 0]


def test_missing_runs_are_shown_and_in_no_average(sweep, report):
    code, out, _ = report("sweep=mine", "by=[optimizer.lr]")
    first, second, third = (
        next(line for line in out.splitlines() if line.startswith(f"{lr} ")) for lr in ("0.1", "0.2", "0.4")
    )
    assert code == 0
    assert "92.00 ± 2.83" in first and " 2  1 missing" in first
    assert "96.00" in second and " 1  1 unfinished" in second and "±" not in second
    assert " 0  1 missing" in third
    assert "6 runs in 3 groups: 3 finished, 1 unfinished, 2 missing." in out
    assert out.count("\nmissing: ") == 2


def test_the_figure_has_bars_and_marks_what_is_missing(sweep):
    groups = group_runs(sweep_runs(sweep))
    (axes,) = setting_figure(groups, over="optimizer.lr", metric="test.top1").axes
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    assert line.get_xydata().tolist() == [[0.1, 92.0], [0.2, 96.0]]
    first, second = (segment[:, 1].tolist() for segment in bars.get_segments())
    assert first == pytest.approx([92 - 8**0.5, 92 + 8**0.5]) and second == [96.0, 96.0]
    assert [text.get_text() for text in axes.texts] == ["2 of 3", "1 of 2", "0 of 1"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]


def test_the_legend_of_a_figure_says_what_its_values_are_of_and_sizes_are_in_their_order(write_run, tmp_path):
    for k, n in enumerate(("100", "1000", "500", "null")):
        write_run(f"a{k}", f"data.subset.n={n}", f"optimizer.lr={0.1 if k % 2 else 0.2}", top1=80.0 + k)
    groups = group_runs(find_runs(tmp_path / "runs"))
    figure = setting_figure(groups, over="data.subset.n", metric="test.top1")
    (axes,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["lr=0.2", "lr=0.1"]
    ticks = sorted(zip(axes.get_xticks(), (tick.get_text() for tick in axes.get_xticklabels()), strict=True))
    assert [words for _, words in ticks] == ["100", "500", "1000", "null"]


def test_a_figure_needs_a_setting_that_varies(sweep):
    groups = group_runs(sweep_runs(sweep))
    with pytest.raises(UserError, match="all runs have 0.9"):
        setting_figure(groups, over="optimizer.momentum", metric="test.top1")
    with pytest.raises(UserError, match="unknown setting in x"):
        setting_figure(groups, over="optimizer.rate", metric="test.top1")
    with pytest.raises(UserError, match="no finished run"):
        setting_figure([group for group in groups if not group.finished] + groups[:1], over="optimizer.lr", metric="x")


def test_the_command_writes_the_figure(sweep, report, tmp_path):
    path = tmp_path / "figure.svg"
    assert report("sweep=mine", "over=optimizer.lr", f"figure={path}")[0] == 0
    assert "test top-1 (%)" in path.read_text()
    code, _, errors = report("sweep=mine", f"figure={path}")
    assert code == 2 and "figure=FILE and x=SETTING belong together" in errors
