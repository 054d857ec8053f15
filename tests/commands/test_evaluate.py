from __future__ import annotations

import json
import shutil

import pytest

from hybrid.runs.confusion import read_confusion
from hybrid.training import checkpoint
from hybrid.training.restore import restore


def figures(path):
    record = json.loads(path.read_text())
    return {name: record[name] for name in ("loss", "top1", "top5", "images")}


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_defaults_repeat_the_runs_test_to_the_last_digit_and_leave_its_folder_alone(finished, call, tmp_path):
    before = files_of(finished.path)
    files = [f"json={tmp_path / 'result.json'}", f"confusion={tmp_path / 'confusion.svg'}"]
    code, out, err = call("evaluate", f"run={finished.path}", *files)
    assert (code, err) == (0, "") and "% of the true class" in (tmp_path / "confusion.svg").read_text()
    record = read_confusion(finished.confusion, len(finished.read_class_names()))
    names = finished.read_class_names()
    pairs = json.loads((tmp_path / "result.json").read_text())["confusions"]
    assert [record[names.index(each["true"]), names.index(each["predicted"])] for each in pairs] == [
        each["count"] for each in pairs
    ]
    assert files_of(finished.path) == before
    test = finished.read_summary()["test"]
    assert figures(tmp_path / "result.json") == {name: test[name] for name in ("loss", "top1", "top5", "images")}
    assert f"accuracy {test['top1']:.2f} %" in out and f"loss {test['loss']:.4f}" in out


@pytest.mark.parametrize("overrides", [["trainer.ema=0.8"], ["trainer.test_weights=best", "optimizer.lr=2.0"]])
def test_averaged_and_best_weights_are_those_of_the_summary_too(train_run, call, tmp_path, overrides):
    folder = train_run(*overrides)
    code, out, _ = call("evaluate", f"run={folder.path}", f"json={tmp_path / 'result.json'}")
    test = folder.read_summary()["test"]
    assert code == 0
    assert figures(tmp_path / "result.json") == {name: test[name] for name in ("loss", "top1", "top5", "images")}
    assert ("(averaged)" in out) == ("trainer.ema=0.8" in overrides)


def test_best_weights_on_validation_images_give_the_best_validation_figures(finished, call, tmp_path):
    place = tmp_path / "result.json"
    assert call("evaluate", f"run={finished.path}", "split=validation", "weights=best", f"json={place}")[0] == 0
    best = finished.read_summary()["validation"]["best"]
    assert {"step": json.loads(place.read_text())["step"], **figures(place)} == {**best, "images": 60}


def test_classes_and_confusions_add_up(finished, call, tmp_path):
    call("evaluate", f"run={finished.path}", "split=train", "batch_size=7", f"json={tmp_path / 'result.json'}")
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["images"] == sum(row["images"] for row in record["classes"]) == 200
    right = sum(row["images"] * row["accuracy"] / 100 for row in record["classes"])
    assert 100 * right / 200 == pytest.approx(record["top1"])
    assert sum(pair["count"] for pair in record["confusions"]) == round(200 - right)


def test_a_damaged_last_checkpoint_is_a_warning_and_the_previous_is_used(finished, execute, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(finished.path, copy)
    (copy / "checkpoints" / "last.pt").write_bytes(b"damaged")
    done = execute("evaluate", f"run={copy}")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: ") and "previous.pt, step 4" in done.stderr and done.stderr.count("\n") == 1
    assert "weights of step 4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["split=tset"], "error: split: 'tset' is not test or validation or train (did you mean test?)."),
        (["weigths=best"], "error: unknown option: weigths. Did you mean weights?"),
        (["batch_size=0"], "error: batch_size=0 is not valid: it must be at least 1."),
        (["device=cuda:9"], "error: device=cuda:9 is not on this machine. Valid: auto, cpu"),
        (["data_root=elsewhere"], "error: data_root has no effect: digits reads no files."),
        (["json=/proc/none/result.json"], "error: json=/proc/none/result.json cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(finished, call, arguments, message):
    code, _, err = call("evaluate", f"run={finished.path}", *arguments)
    assert code == 2
    assert err.startswith(message) and err.count("\n") == 1


def test_a_missing_run_is_answered_with_the_closest_one(finished, execute):
    done = execute("evaluate", f"run={finished.path}y")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"Did you mean {finished.path}?\n") and done.stderr.count("\n") == 1


def test_every_script_explains_itself(execute):
    for script, word in (
        ("evaluate", "split=test"),
        ("predict", "images…*"),
        ("export", "formats=[torch,onnx,safetensors]"),
    ):
        done = execute(script, "--help")
        assert done.returncode == 0 and word in done.stdout and f"hybrid {script}" in done.stdout


def test_restore_refuses_what_is_no_run(finished, tmp_path):
    with pytest.raises(ValueError, match="no config.yaml"):
        restore(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="config.yaml cannot be read"):
        restore(tmp_path)
    (tmp_path / "config.yaml").write_text("model: x")
    with pytest.raises(ValueError, match="not the configuration of a run"):
        restore(tmp_path)
    shutil.copy(finished.config, tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="no checkpoint yet"):
        restore(tmp_path)
    checkpoint.save_last(tmp_path / "checkpoints", {"weights": {}})
    with pytest.raises(ValueError, match="no model's checkpoint"):
        restore(tmp_path)
    with pytest.raises(ValueError, match="no best weights"):
        restore(tmp_path, weights="best")
