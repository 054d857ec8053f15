"""What TensorBoard's own reader finds in the event files."""

from __future__ import annotations

import io
import time

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from hybrid.runs.tensorboard import TensorBoard

pytest.importorskip("tensorboard")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def steps(folder, name="train/loss"):
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def log(folder, *records, resume_step=0, earlier=()):
    sink = TensorBoard(folder, resume_step=resume_step, earlier=earlier)
    for step, loss in records:
        sink.scalars(step, step / 10, {"train/loss": loss})
    sink.close()


def test_scalars_are_found_by_name_and_speed_is_sorted_behind_training(tmp_path):
    sink = TensorBoard(tmp_path)
    for step, loss in ((5, 0.25), (6, 0.125)):
        sink.scalars(step, 0.5, {"train/loss": loss, "speed/images_per_second": 100.0, "validation/top1": 90.0})
    sink.flush()
    assert sorted(read(tmp_path).Tags()["scalars"]) == [
        "train/loss", "train_speed/images_per_second", "validation/top1",
    ]  # fmt: skip
    assert steps(tmp_path) == [(5, 0.25), (6, 0.125)]
    sink.close()


def test_images_are_one_grid_and_figures_are_images(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.images(0, "train/augmented_batch", torch.rand(10, 1, 20, 20))
    figure = Figure(figsize=(2, 1), dpi=100)
    figure.subplots().plot([0, 1])
    sink.figure(7, "validation/confusion", figure)
    sink.close()
    events = read(tmp_path)
    (grid,) = events.Images("train/augmented_batch")
    assert Image.open(io.BytesIO(grid.encoded_image_string)).size == (8 * 22, 2 * 22)
    (confusion,) = events.Images("validation/confusion")
    assert confusion.step == 7 and (confusion.width, confusion.height) == (200, 100)


def hyperparameters(folder):
    """(settings, names of the results that have curves) of the table of runs."""
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    stored = read(folder).PluginTagToContent(metadata.PLUGIN_NAME)
    started, experiment = (
        HParamsPluginData.FromString(stored[tag]) for tag in (metadata.SESSION_START_INFO_TAG, metadata.EXPERIMENT_TAG)
    )
    return started.session_start_info.hparams, [info.name.tag for info in experiment.experiment.metric_infos]


def test_settings_and_results_make_one_row_in_the_runs_own_folder(tmp_path):
    sink = TensorBoard(tmp_path)
    for step, loss in ((8, 0.5), (9, 0.25)):
        sink.scalars(step, 1.0, {"validation/loss": loss})
    sink.scalars(9, 1.0, {"test/top1": 88.0, "analysis/probe.1nn/01_relu": 70.0})
    sink.results(
        {"model": "scat_resnet", "optimizer.lr": 0.1, "data": None}, {"test/top1": 88.0, "validation/loss": 0.25}
    )
    sink.close()
    assert len(list(tmp_path.rglob("events*"))) == 1 and read(tmp_path).Tags()["scalars"] == ["validation/loss"]
    settings, curves = hyperparameters(tmp_path)
    assert settings["model"].string_value == "scat_resnet" and settings["optimizer.lr"].number_value == 0.1
    assert settings["data"].string_value == "None"
    assert settings["(test/top1)"].number_value == 88.0 and curves == ["validation/loss"]
    (text,) = read(tmp_path).Tensors("logged once/text_summary")
    words = text.tensor_proto.string_val[0].decode()
    assert "| test/top1 | 88 |" in words and "01_relu" not in words and "analysis/step-" in words


def test_training_and_validation_share_a_chart_of_each_number(tmp_path):
    sink = TensorBoard(tmp_path)
    for step in (1, 2):
        sink.scalars(step, 1.0, {"validation/loss": 1.0, "validation/balanced_accuracy": 50.0})
    sink.scalars(2, 1.0, {"analysis/classes.ratio/01_relu": 0.5})
    sink.scalars(3, 1.0, {"analysis/classes.ratio/01_relu": 0.25})
    sink.close()
    first, last = map(str, read(tmp_path).Tensors("custom_scalars__config__"))
    assert "balanced accuracy" in first and "train/balanced_accuracy" in first and "learning rate" in first
    assert "class distance" in last and "class distance" not in first and "contraction" not in last


def test_a_number_that_comes_once_has_no_chart_also_where_a_run_goes_on(tmp_path):
    log(tmp_path, (1, 3.0))
    assert read(tmp_path).Tags()["scalars"] == []
    time.sleep(1.1)
    log(tmp_path, (2, 2.0), resume_step=1, earlier=[{"step": 1, "epoch": 0.1, "train/loss": 3.0, "train/lr": None}])
    assert steps(tmp_path) == [(1, 3.0), (2, 2.0)]


def test_resuming_hides_what_came_after_the_checkpoint(tmp_path):
    log(tmp_path, (1, 3.0), (2, 2.0), (3, 1.0), (4, 0.5))
    time.sleep(1.1)  # TensorBoard orders the files of a run by the second in their names
    earlier = [{"step": step, "epoch": step / 10, "train/loss": loss} for step, loss in ((1, 3.0), (2, 2.0))]
    log(tmp_path, (3, 1.5), resume_step=2, earlier=earlier)
    assert steps(tmp_path) == [(1, 3.0), (2, 2.0), (3, 1.5)]


def test_a_run_that_begins_again_without_a_checkpoint_hides_everything(tmp_path):
    log(tmp_path, (1, 3.0), (2, 2.0))
    time.sleep(1.1)
    log(tmp_path, (1, 30.0), (2, 20.0))
    assert steps(tmp_path) == [(1, 30.0), (2, 20.0)]
