from __future__ import annotations

import json
import math

import pytest

from hybrid.runs.jsonl import JsonLines, read_metrics


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def log(path, *records, **resume):
    sink = JsonLines(path, **resume)
    for step, values in records:
        sink.scalars(step, step / 10, values)
    sink.flush()
    sink.close()


def test_one_object_per_step_in_plain_json(path):
    log(path, (1, {"train/loss": 0.5}), (2, {"validation/top1": 90.0}))
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "epoch": 0.1, "train/loss": 0.5},
        {"step": 2, "epoch": 0.2, "validation/top1": 90.0},
    ]


def test_a_record_is_in_the_file_before_the_sink_is_closed(path):
    sink = JsonLines(path)
    sink.scalars(1, 0.1, {"train/loss": 0.5})
    assert len(read_metrics(path)) == 1
    sink.close()


def test_resuming_drops_what_came_after_the_checkpoint_and_the_test(path):
    log(path, (1, {"train/loss": 3.0}), (2, {"train/loss": 2.0}), (2, {"test/loss": 2.0}), (3, {"train/loss": 1.0}))
    log(path, (3, {"train/loss": 1.5}), resume_step=2)
    kept = [(record["step"], record.get("train/loss")) for record in read_metrics(path)]
    assert kept == [(1, 3.0), (2, 2.0), (3, 1.5)]


def test_what_is_measured_again_at_the_step_of_the_checkpoint_is_dropped_and_no_more_than_that(path):
    before = [(step, {name: 1.0}) for step in (1, 2, 3) for name in ("train/loss", "analysis/x")]
    log(path, *before)
    log(path, (2, {"analysis/x": 2.0}), resume_step=2, again=("test/", "analysis/"))
    kept = [(record["step"], record.get("analysis/x")) for record in read_metrics(path)]
    assert kept == [(1, None), (1, 1.0), (2, None), (2, 2.0)]


def test_starting_again_from_the_beginning_drops_everything(path):
    log(path, (1, {"train/loss": 3.0}))
    log(path)
    assert path.read_text() == ""


def test_a_last_line_that_a_crash_cut_off_is_left_out_and_overwritten(path):
    log(path, (1, {"train/loss": 3.0}), (2, {"train/loss": 2.0}))
    whole = path.read_text()
    path.write_text(whole[:-9])
    assert [record["step"] for record in read_metrics(path)] == [1]
    log(path, (2, {"train/loss": 2.0}), resume_step=2)
    assert path.read_text() == whole


def test_damaged_lines_are_kept_aside_and_nothing_after_them_is_lost(path):
    log(path, *((step, {"train/loss": 1.0}) for step in range(1, 6)))
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\0\0\0" + lines[1][3:]
    lines[2] = b"[1, 2]"
    path.write_bytes(b"\n".join(lines))
    with pytest.warns(UserWarning, match=r"metrics.jsonl has 2 damaged lines \(lines 2, 3\): the other lines are used"):
        assert [record["step"] for record in read_metrics(path)] == [1, 4, 5]
    with pytest.warns(UserWarning, match=r"2 damaged lines \(lines 2, 3\); they are kept in metrics\.damaged"):
        log(path, (6, {"train/loss": 1.0}), resume_step=5)
    assert [record["step"] for record in read_metrics(path)] == [1, 4, 5, 6]
    assert path.with_suffix(".damaged").read_bytes() == lines[1] + b"\n[1, 2]\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null_and_every_json_reader_can_read_it(path, value):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    log(path, (1, {"train/loss": value}))
    assert json.loads(path.read_text(), parse_constant=refuse)["train/loss"] is None


def test_without_a_file_there_are_no_records(path):
    assert read_metrics(path) == []
