"""What TensorBoard's own reader finds in the event files."""

from __future__ import annotations

import io
import json
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


def log(folder, *records, resume_step=0):
    sink = TensorBoard(folder, resume_step=resume_step)
    for step, loss in records:
        sink.scalars(step, step / 10, {"train/loss": loss})
    sink.close()


def test_scalars_are_found_by_name_and_speed_is_sorted_behind_training(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.scalars(5, 0.5, {"train/loss": 0.25, "speed/images_per_second": 100.0, "validation/top1": 90.0})
    sink.flush()
    assert sorted(read(tmp_path).Tags()["scalars"]) == [
        "train/loss", "train_speed/images_per_second", "validation/top1",
    ]  # fmt: skip
    assert steps(tmp_path) == [(5, 0.25)]
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
    assert Image.open(io.BytesIO(grid.encoded_image_string)).size == (8 * 22 + 2, 2 * 22 + 2)
    (confusion,) = events.Images("validation/confusion")
    assert confusion.step == 7 and (confusion.width, confusion.height) == (200, 100)


def test_settings_and_results_make_one_row_in_the_runs_own_folder_and_no_second_curve(tmp_path):
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    sink = TensorBoard(tmp_path)
    sink.scalars(9, 1.0, {"test/top1": 88.0})
    sink.results({"model": "scat_resnet", "optimizer.lr": 0.1, "data": None}, {"test/top1": 88.0})
    sink.close()
    assert len(list(tmp_path.rglob("events*"))) == 1 and steps(tmp_path, "test/top1") == [(9, 88.0)]
    stored = read(tmp_path).PluginTagToContent(metadata.PLUGIN_NAME)
    settings = HParamsPluginData.FromString(stored[metadata.SESSION_START_INFO_TAG]).session_start_info.hparams
    assert settings["model"].string_value == "scat_resnet" and settings["optimizer.lr"].number_value == 0.1
    assert settings["data"].string_value == "None"
    experiment = HParamsPluginData.FromString(stored[metadata.EXPERIMENT_TAG]).experiment
    assert [info.name.tag for info in experiment.metric_infos] == ["test/top1"]


def test_training_and_validation_share_a_chart(tmp_path):
    TensorBoard(tmp_path).close()
    assert "custom_scalars" in json.dumps(str(read(tmp_path).Tags()))


def test_resuming_hides_what_came_after_the_checkpoint(tmp_path):
    log(tmp_path, (1, 3.0), (2, 2.0), (3, 1.0), (4, 0.5))
    time.sleep(1.1)  # TensorBoard orders the files of a run by the second in their names
    log(tmp_path, (3, 1.5), resume_step=2)
    assert steps(tmp_path) == [(1, 3.0), (2, 2.0), (3, 1.5)]


def test_a_run_that_begins_again_without_a_checkpoint_hides_everything(tmp_path):
    log(tmp_path, (1, 3.0), (2, 2.0))
    time.sleep(1.1)
    log(tmp_path, (1, 30.0))
    assert steps(tmp_path) == [(1, 30.0)]
