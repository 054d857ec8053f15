"""The table over runs: grouping, figures, what is shown of unfinished ones, the formats, the mistakes; and the curves."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from hybrid.reports.curves import MOST_GROUPS, average, curves_figure
from hybrid.reports.differences import setting_text, telling_settings
from hybrid.reports.groups import MeanStd, group_runs
from hybrid.reports.ranking import order
from hybrid.reports.tables import make_table
from hybrid.reports.writers import latex
from hybrid.runs.reading import find_runs


@pytest.fixture
def groups(tmp_path):
    def do(**options):
        return order(group_runs(find_runs(tmp_path / "runs")), metric="test.top1", **options)

    return do


@pytest.fixture
def sweep(write_run):
    """Three seeds at lr 0.2, one of them unfinished; one seed at lr 0.3; a failed run alone at lr 0.4."""
    for seed, top1 in enumerate((90.0, 94.0)):
        write_run(f"b{seed}", "optimizer.lr=0.2", seed=seed, top1=top1, validation=(50.0 + 10 * seed, 80.0 + 2 * seed))
    write_run("b2", "optimizer.lr=0.2", seed=2, validation=(5.0,))
    write_run("a0", "optimizer.lr=0.3", top1=95.0)
    (write_run("c0", "optimizer.lr=0.4") / "error.txt").write_text("Traceback …\nValueError: broken\n")


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_means_and_deviations_are_those_of_the_finished_seeds(sweep, groups):
    best, middle, none = groups()
    assert [group.fact("optimizer.lr") for group in (best, middle, none)] == [0.3, 0.2, 0.4]
    assert middle.mean_std("test.top1") == MeanStd(92.0, pytest.approx(math.sqrt(8)), 2)  # n - 1 in the denominator
    assert best.mean_std("test.top1") == MeanStd(95.0, None, 1)
    assert none.mean_std("test.top1") is None
    assert [len(middle.of(state)) for state in ("finished", "unfinished", "failed")] == [2, 1, 0]


def test_the_text_shows_every_run_and_no_deviation_of_a_single_one(sweep, report):
    code, out, _ = report()
    same, _, above, header, _, best, middle, failed, *notes = out.splitlines()
    assert code == 0
    assert same == "The same in every row: model scat_resnet, data digits, parameters 1,234."
    assert above.split() == ["optimizer.", "test", "top-1"]
    assert header.split() == ["lr", "seeds", "not", "finished", "(%)", "95", "%", "interval", "test", "loss"]
    assert max(map(len, (header, best, middle, failed))) <= 110
    assert "92.00 ± 2.83  [66.59, 100.00]" in middle and " 2  1 unfinished" in middle
    assert "95.00" in best and "±" not in best
    assert " 0  1 failed" in failed and "–" in failed
    assert best.index("95.00") == middle.index("92.00"), "decimal points are not in line"
    assert "5 runs in 3 groups: 3 finished, 1 unfinished, 1 failed." in notes
    assert any(note.startswith("failed: ") and note.endswith("c0: ValueError: broken") for note in notes)
    assert any(note.startswith("unfinished: ") and note.endswith("b2") for note in notes)


def test_csv_has_every_digit_and_empty_cells_where_there_is_nothing(sweep, report):
    rows = read_csv(report("format=csv", "by=[optimizer.lr]")[1])
    assert [row["optimizer.lr"] for row in rows] == ["0.2", "0.3", "0.4"]
    assert float(rows[0]["test.top1_std"]) == pytest.approx(math.sqrt(8), rel=1e-12)
    assert rows[1]["test.top1"] == "95.0" and rows[1]["test.top1_std"] == ""
    assert rows[2]["test.top1"] == ""
    assert [row["finished"] + row["unfinished"] + row["failed"] + row["damaged"] for row in rows] == [
        "2100",
        "1000",
        "0010",
    ]


def test_markdown_and_latex(sweep, report, tmp_path):
    lines = report("format=markdown")[1].splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1 and "| 92.00 ± 2.83 |" in lines[3]
    code, out, err = report("format=latex", f"out={tmp_path / 'table.tex'}")
    document = (tmp_path / "table.tex").read_text()
    assert (code, out) == (0, "") and "written: " in err
    assert r"$92.00 \pm 2.83$" in document and r"test top-1 (\%)" in document
    assert r"% The same in every row: model scat_resnet, data digits, parameters 1,234." in document
    body = [line for line in document.splitlines() if " & " in line]
    assert len({line.count("&") for line in body}) == 1 and all(line.endswith(r"\\") for line in body)


@pytest.mark.parametrize("width", [200, 60])
def test_a_terminal_gets_all_of_it_however_narrow_it_is(sweep, report, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, out, _ = report("columns=all")
    table = re.sub(r"\x1b\[[0-9;]*m", "", out).partition("5 runs")[0]
    assert code == 0 and "ValueError: broken" in out
    for words in ("optimizer.", "scat_resnet", "1 unfinished", "92.00 ± 2.83", "validation", "images/s"):
        assert words in table
    assert all(len(line) <= width for line in table.splitlines())


def test_more_settings_than_columns_are_the_names_of_the_rows_and_nothing_is_wide(write_run, report):
    """Mixed runs: model and data have columns, the rest is a text that says what each run has of its own."""
    long = "a_long_name_of_a_file_from_which_the_weights_are_taken"
    for k in range(3):
        own = [
            f"optimizer.weight_decay={k}",
            f"trainer.batch_size={16 * k + 16}",
            f"trainer.duration={k + 1} epochs",
            f"run.init_from={long}{k}",
        ]
        write_run(f"a{k}", *own, f"optimizer.lr=0.{k + 2}", f"model={'scat_linear' if k else 'scat_resnet'}", top1=90.0)
    out = report()[1]
    first = next(line for line in out.splitlines() if line.startswith("scat_resnet"))
    assert max(map(len, out.splitlines())) <= 120 and "settings" in out and "init_from=" in first
    for words in (f"{long}2", "batch_size=48", "duration=3 epochs", "lr=0.4", "Not shown: "):
        assert words in out
    wide = report("format=markdown")[1].splitlines()[0]
    assert wide.count("|") == 7, "six columns"
    assert report("format=markdown", "columns=all")[1].splitlines()[0].count("|") > 10
    assert "train.loss" not in report("format=csv")[1].splitlines()[0]


def test_columns_adds_numbers_and_settings(sweep, report):
    head = report("format=markdown", "columns=[parameters,nesterov]")[1].splitlines()[0]
    assert "parameters" in head and "optimizer.nesterov" in head
    code, _, err = report("columns=[parametres]")
    assert code == 2 and err.startswith(
        "error: unknown number or setting in columns: parametres. Did you mean parameters?"
    )


def test_means_over_another_key_with_an_interval_and_a_paired_test(write_run, report):
    for lr, top1 in (("0.2", 80.0), ("0.3", 82.0)):
        for split in range(3):
            write_run(f"{lr}-{split}", f"optimizer.lr={lr}", f"data.split_seed={split}", top1=top1 + split**2)
    _, out, _ = report("over=split_seed", "by=[lr]", "compare=[lr=0.3,lr=0.2]", "confidence=90")
    (row,) = [line for line in out.splitlines() if line.startswith("0.2")]
    assert "81.67 ± 2.08  [78.16, 85.18]" in row and "3 runs each" in out and "90 % interval" in out
    assert (
        "over data.split_seed (n - 1)" in out and "lr=0.3 minus lr=0.2: test top-1 (%) +2.00 ± 0.00 over 3 pairs" in out
    )
    assert report("over=[seed,split_seed]", "format=csv", "confidence=null")[1].splitlines()[0].count("_low") == 0
    assert report("over=split_sed")[2].startswith("error: unknown key in over: split_sed. ")


def test_a_result_of_any_name_is_the_metric_where_there_is_no_accuracy(write_run, report):
    for name, value in (("a", 0.5), ("b", 0.25)):
        error = {"test": {"loss": 1.0, "mean_absolute_error": value, "images": 10}}
        write_run(name, f"optimizer.lr={0.1 + value}", top1=0.0, **error)
    out = report()[1]
    assert "absolute" in out and "test top-1" not in out
    assert out.index("0.35") < out.index("0.6"), "the smallest error is the best"


def test_runs_of_several_tasks_show_the_main_result_of_each_and_not_where_their_data_lie(write_run, report):
    write_run("a", top1=97.5)
    arrays = ("data=npz", "data.images=x", "data.labels=y")
    for name, error in (("reg", 0.5), ("other", 0.25)):
        test = {"loss": 1.0, "mean_absolute_error": error, "r2": 0.9}
        write_run(name, *arrays, f"data.root=/data/{name}.npz", top1=0.0, test=test)
    write_run(
        "m", *arrays, "data.root=/m.npz", "data.name=mine", top1=0.0, test={"loss": 1.0, "average_precision": 0.75}
    )
    code, out, _ = report()
    for words in (
        "top-1 (%) 97.50",
        "mean absolute error 0.5000",
        "mean absolute error 0.2500",
        "average precision 0.7500",
    ):
        assert words in out
    rows = out.partition("4 runs")[0]
    assert code == 0 and "main result" in rows
    assert {"digits", "mine", "other", "reg"} <= {line.split()[0] for line in rows.splitlines() if line}
    assert "images=" not in rows and "/data" not in rows
    assert "main result" not in report("metric=test.loss")[1]


def test_a_metric_of_ones_own_is_ranked_as_the_run_says(write_run, report):
    for name, value in (("a", 5.0), ("b", 2.5)):
        own = {"test": {"loss": 1.0, "top1": 50.0, "cost": value}, "smaller_is_better": ["loss", "cost"]}
        write_run(name, f"optimizer.lr={0.1 * value}", top1=0.0, **own)
    out = report("metric=test.cost")[1]
    assert out.index("0.25") < out.index("0.5 "), "the smallest cost is the best"
    write_run("c", "optimizer.lr=0.9", top1=50.0, test={"loss": 3.0, "top1": 50.0, "cost": 1.0})
    assert report("metric=test.cost")[1].index("0.9") < report("metric=test.cost")[1].index("0.25"), "an older run"


def test_the_metric_that_chose_the_weights_is_the_reports_and_intervals_end_where_it_does(write_run, report):
    for fold, own in enumerate((40.0, 90.0)):
        for lr in ("0.2", "0.3"):
            overrides = [f"optimizer.lr={lr}", f"data.split_seed={fold}", "loss=focal"]
            folder = write_run(f"{lr}-{fold}", *overrides, "trainer.best_metric=balanced_accuracy", top1=80.0)
            summary = json.loads((folder / "summary.json").read_text())
            summary["test"]["balanced_accuracy"] = own
            summary["validation"]["best"] = {"loss": 1.0, "top1": 99.0, "balanced_accuracy": 70.0, "step": 20}
            (folder / "summary.json").write_text(json.dumps(summary))
    out = report("over=split_seed", "format=markdown")[1]
    head = out.splitlines()[0]
    assert "| test balanced accuracy (%) | 95 % interval |" in head
    assert "best validation balanced accuracy (%)" in head and "best validation top-1" not in head
    assert "[0.00, 100.00]" in out.replace("\\", "") and "An interval of 2 runs says little" in out
    assert "loss focal" in out and "trainer.best_metric balanced_accuracy" in out.replace("\\", "")
    assert "2 runs each" in out
    assert "Did you mean test.balanced_accuracy?" in report("metric=balanced_accuracy")[2]
    assert "Did you mean test.top1?" in report("metric=accuracy")[2]


def test_foreign_words_are_shown_as_they_are_typed(write_run, report):
    write_run("a", 'run.init_from="=1+1|\\x1b[31m<script>"', top1=90.0)
    write_run("b", top1=91.0)
    assert "=1+1|\\x1b[31m<script>" in report()[1] and "\x1b" not in report()[1]
    assert "=1+1\\|\\\\x1b\\[31m\\<script>" in report("format=markdown")[1]
    assert [row["run.init_from"] for row in read_csv(report("format=csv")[1])][1].startswith("'=1+1")


def test_a_long_list_of_runs_that_are_not_finished_is_cut_and_says_so(write_run, report):
    for seed in range(12):
        write_run(f"run{seed}", seed=seed)
    out = report()[1]
    assert out.count("unfinished: ") == 11 and "unfinished: 2 more; where=[state=unfinished] shows them alone." in out


def test_a_single_row_is_shown_whole_and_what_no_run_has_is_no_column(write_run, report):
    write_run("a")
    assert report()[1].splitlines()[4].startswith("scat_resnet")
    write_run("b", "optimizer.lr=0.3")
    same, _, *table = report()[1].splitlines()
    assert "model scat_resnet" in same and "seeds 0" in same
    assert "validation" not in "".join(table[:5]) and "1 unfinished" in "".join(table)


def test_curves_by_a_setting_that_several_groups_share_have_names_of_their_own(write_run, groups):
    for k, (lr, size) in enumerate([(0.2, 32), (0.2, 64), (0.3, 32)]):
        write_run(f"a{k}", f"optimizer.lr={lr}", f"trainer.batch_size={size}", "data.subset.n=100", top1=90.0 - k)
    (legend,) = curves_figure(groups(by=["optimizer.lr"]), by=["optimizer.lr"]).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "lr=0.2, batch_size=32 (1 seed)",
        "lr=0.2, batch_size=64 (1 seed)",
        "lr=0.3, batch_size=32 (1 seed)",
    ]


def test_what_choices_bring_with_them_is_not_a_column_but_what_was_typed_is(write_run, groups):
    write_run("a", top1=90.0)
    write_run("b", "model=scat_linear", top1=80.0)
    assert telling_settings(groups()) == ["model", "data"]
    write_run("c", "model=scat_linear", "optimizer=adamw", "trainer.batch_size=64", top1=85.0)
    assert telling_settings(groups()) == ["model", "data", "optimizer", "trainer.batch_size"]
    write_run("d", "model=scat_linear", "optimizer=adamw", "optimizer.lr=0.5", "trainer.batch_size=64", top1=70.0)
    assert "optimizer.lr" in telling_settings(groups())


def test_choices_that_are_not_in_this_checkout_leave_every_difference_shown(write_run, groups, tmp_path):
    for name, lr in (("a", "0.2"), ("b", "0.3")):
        config = write_run(name, f"optimizer.lr={lr}", top1=90.0) / "config.yaml"
        config.write_text(config.read_text().replace("  model: scat_resnet", "  model: of_my_own"))
    assert telling_settings(groups()) == ["model", "data", "optimizer.lr"]


def test_runs_from_other_weights_are_no_repetitions(write_run, groups):
    write_run("a", top1=90.0)
    write_run("b", "run.init_from=elsewhere", seed=1, top1=99.0)
    assert [len(group.runs) for group in groups()] == [1, 1]
    assert "run.init_from" in telling_settings(groups())


def test_the_same_seed_twice_counts_once_and_the_finished_one_counts(write_run, groups):
    write_run("a")
    write_run("b", top1=90.0)
    with pytest.warns(UserWarning, match="a is left out: same configuration and seed as .*b"):
        (group,) = groups()
    assert group.mean_std("test.top1") == MeanStd(90.0, None, 1)


def test_rows_that_by_cannot_tell_apart_are_not_merged(sweep, write_run, groups):
    write_run("d", "optimizer.lr=0.2", "trainer.batch_size=64", top1=50.0)
    table = make_table(groups(by=["optimizer.lr"]), metric="test.top1", by=["optimizer.lr"])
    assert len(table.frame) == 4
    assert table.notes[0] == "rows that look the same differ in trainer.batch_size."


def test_by_orders_durations_by_their_number(write_run, groups):
    for duration in ("100 epochs", "20 epochs", "3 epochs"):
        write_run(duration.replace(" ", ""), f"trainer.duration={duration}", top1=90.0)
    by = ["trainer.duration"]
    assert [group.fact(by[0]) for group in groups(by=by)] == ["3 epochs", "20 epochs", "100 epochs"]


def test_one_run_and_one_group_are_told_in_the_singular(write_run, report):
    write_run("a", top1=90.0)
    assert "\n1 run in 1 group: 1 finished.\n" in report()[1]
    write_run("b", seed=1, top1=91.0)
    assert "\n2 runs in 1 group: 2 finished.\n" in report()[1]


def test_metric_adds_a_column_and_orders(write_run, report):
    for name, (lr, loss) in {"a": ("0.1", 0.3), "b": ("0.2", 0.1), "c": ("0.3", 0.2)}.items():
        write_run(name, f"optimizer.lr={lr}", top1=90.0, train={"loss": loss})
    rows = read_csv(report("format=csv", "metric=train.loss")[1])
    assert [row["train.loss"] for row in rows] == ["0.1", "0.2", "0.3"]  # the smallest loss is the best
    assert [row["optimizer.lr"] for row in rows] == ["0.2", "0.3", "0.1"]


def test_different_devices_are_named(write_run, report):
    write_run("a", top1=90.0)
    assert "device" not in report()[1]
    write_run("b", seed=1, top1=90.0, device="NVIDIA H200")
    assert "NVIDIA H200 + cpu" in report()[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metric=test.top"], "error: unknown metric: test.top. Did you mean test.top1? Valid: images_per_second, "),
        (
            ["by=[optimizer.momentun]"],
            "error: unknown setting in by: optimizer.momentun. Did you mean optimizer.momentum?",
        ),
        (["by=[seed]"], "error: by: the seed tells no groups apart"),
        (["where=[seed=9]"], "error: where: no run has seed=9. There are: 0, 1, 2."),
        (["runs=nowhere"], "error: runs=nowhere is not a folder."),
        (["curves=x.jpg"], "error: curves=x.jpg has none of the endings .png, .svg, .pdf."),
        (["curve=train/loss"], "error: curve has no effect without curves=FILE."),
        (["curves=x.png", "curve=train/los"], "error: unknown curve: train/los. "),
        (["confidence=0"], "error: confidence=0 is not valid"),
        (["out=/dev/null/x"], "error: out=/dev/null/x cannot be written: "),
    ],
)
def test_mistakes_are_one_line(sweep, report, arguments, message):
    code, out, err = report(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(message)


def test_damaged_files_are_named_and_the_rest_is_reported(sweep, report, tmp_path):
    (tmp_path / "runs" / "b1" / "summary.json").write_text("{")
    (tmp_path / "runs" / "b0" / "metrics.jsonl").write_text("{\n{\n{\n")
    code, out, err = report(f"curves={tmp_path / 'c.svg'}")
    assert code == 0
    assert (
        "warning: " in err
        and "b1/summary.json is damaged" in err
        and "b0/metrics.jsonl has 3 damaged lines (lines 1, 2, 3)" in err
    )
    assert "1 unfinished, 1 damaged" in out and "damaged: " in out


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_curves_are_written_and_equal_runs_give_equal_files(sweep, report, tmp_path, ending, magic):
    files = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for file in files:
        assert report(f"curves={file}")[0] == 0
    assert files[0].read_bytes().startswith(magic)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_line_is_the_mean_of_the_finished_seeds_and_others_have_lines_of_their_own(sweep, groups):
    figure = curves_figure(groups())
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    mean = lines["lr=0.2 (2 seeds, 1 unfinished)"]
    assert mean.get_xydata().tolist() == [[1.0, 55.0], [2.0, 81.0]]
    (band,) = axes.collections  # one group alone has two finished seeds
    low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == pytest.approx((50, 82)), "one standard deviation is further than either seed"
    own = [line for line in axes.lines if line.get_color() == mean.get_color() and line is not mean]
    assert [line.get_ydata().tolist() for line in own] == [[5.0]]
    assert "lr=0.4 (1 failed)" in lines


def test_average_takes_the_sparsest_curve_and_no_epoch_beyond_any():
    dense = np.arange(1.0, 7.0), np.arange(1.0, 7.0) * 10
    sparse = np.array([2.0, 4.0, 8.0]), np.array([0.0, np.nan, 0.0])
    epochs, mean, std = average([dense, sparse])
    assert epochs.tolist() == [2.0, 4.0]
    assert mean[0] == 10.0 and std[0] == pytest.approx(np.std([20, 0], ddof=1))
    assert math.isnan(mean[1]), "a value that was not finite was averaged away"


def test_more_groups_than_can_be_told_apart_are_left_out_aloud(write_run, groups):
    for k in range(MOST_GROUPS + 1):
        write_run(f"run{k}", f"trainer.batch_size={k + 1}", top1=90.0)
    with pytest.warns(UserWarning, match=f"first {MOST_GROUPS} of {MOST_GROUPS + 1} groups"):
        (axes,) = curves_figure(groups()).axes
    strokes = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(strokes) == len(axes.lines) == MOST_GROUPS


def test_settings_are_shown_as_they_are_typed():
    values = [None, True, 0.0, 0, 1, [1, None], "20 epochs"]
    assert [setting_text(value) for value in values] == ["null", "true", "0.0", "0", "1", "[1,null]", "20 epochs"]


def test_latex_escapes_what_a_setting_may_hold(write_run, groups):
    write_run("a", "run.init_from=a_b~50%", top1=90.0)
    write_run("b", top1=90.0)
    assert r"a\_b\textasciitilde{}50\%" in latex(make_table(groups(), metric="test.top1"))


def write_losses(folder, values):
    records = [{"step": 10 * k, "epoch": float(k), "train/loss": value} for k, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize(("losses", "scale"), [([2.0, 1.0, 0.5], "linear"), ([2.0, 0.5, 0.01], "log")])
def test_a_run_that_diverged_does_not_hide_the_losses_of_the_others(write_run, groups, losses, scale):
    write_losses(write_run("a", top1=80.0), losses)
    write_losses(write_run("b", "optimizer.lr=0.4"), [2.5, 2.0, 200.0, 1e30, None])
    (axes,) = curves_figure(groups(), name="train/loss").axes
    low, high = axes.get_ylim()
    assert axes.get_yscale() == scale and high == pytest.approx(3.0)
    assert losses[-1] - 0.2 < low < losses[-1]


def test_runs_that_all_diverged_are_drawn_whole(write_run, groups):
    write_losses(write_run("a"), [2.5, 200.0, 1e9, None])
    (axes,) = curves_figure(groups(), name="train/loss").axes
    assert axes.get_ylim()[1] > 1e9 and axes.get_yscale() == "log"
