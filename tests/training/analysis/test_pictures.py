"""What a run shows in TensorBoard, and that showing it changes nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from hybrid.configuration.from_config import data_from, model_from
from hybrid.runs import Tracker
from hybrid.runs.tracker import SilentSink
from hybrid.training import checkpoint
from hybrid.training.analysis.pictures import Pictures, _displayable
from hybrid.training.evaluation import Evaluation

pytest.importorskip("tensorboard")


class Kept(SilentSink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pictures = {}

    def images(self, step, name, images):
        self.pictures[step, name] = images

    def figure(self, step, name, figure):
        self.pictures[step, name] = figure


@pytest.fixture
def draw(tiny):
    """draw(…overrides) -> what is logged before training and after an evaluation at step 5."""

    def do(*overrides: str, enabled: bool = True, model=None):
        cfg, kept = tiny(*overrides), Kept()
        data = data_from(cfg.data, cfg.augmentation, seed=0)
        model = model or model_from(cfg.model, image_shape=data.image_shape, num_classes=data.num_classes)
        pictures = Pictures(Tracker(kept), data, enabled=enabled)
        pictures.before_training(data.loader("train", batch_size=70, device="cpu", train=True), model)
        pictures.after_evaluation(5, Evaluation({"loss": 1.0, "top1": 50.0}, 10, torch.eye(10, dtype=torch.int64)))
        return kept.pictures

    return do


def test_the_first_batch_the_filters_and_the_confusions(draw):
    pictures = draw()
    assert set(pictures) == {(0, "train/augmented_batch"), (0, "wavelets/filter_bank"), (5, "validation/confusion")}
    images = pictures[0, "train/augmented_batch"]
    assert images.shape == (64, 1, 32, 32) and images.min() == 0 and images.max() == 1
    words = [text.get_text() for axes in pictures[0, "wavelets/filter_bank"].axes for text in axes.texts]
    titles = [each for each in words if each.startswith("j=") or each == "low-pass"]
    assert titles[:2] == ["j=0, θ=0", "j=0, θ=1"] and titles[-1] == "low-pass" and len(titles) == 2 * 8 + 1


def test_a_model_on_pixels_has_no_filters_to_show(draw):
    assert set(draw(model=nn.Linear(2, 2))) == {(0, "train/augmented_batch"), (5, "validation/confusion")}


def test_where_nobody_sees_them_there_are_none(draw):
    assert draw(enabled=False) == {}


def test_images_are_brought_to_the_range_together_and_grey_stays_grey():
    shown = _displayable(torch.linspace(-3, 5, 300).view(1, 3, 10, 10))
    assert shown.min() == 0 and shown.max() == 1 and shown.flatten().diff().min() >= 0
    same = torch.randn(1, 1, 8, 8).expand(1, 3, 8, 8)
    assert torch.equal(_displayable(same)[0, 0], _displayable(same)[0, 2])
    assert torch.isfinite(_displayable(torch.full((2, 1, 4, 4), 0.3))).all()


def test_drawing_leaves_every_generator_alone(draw):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    draw(enabled=False)
    torch.manual_seed(0)
    before = None

    def remember(*arguments, **keywords):
        nonlocal before
        before = states()

    original = Pictures.before_training

    def watched(self, loader, model):
        remember()
        original(self, loader, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "before_training", watched)
        draw("augmentation=mixup")
    assert before is not None and states() == before


@pytest.mark.parametrize("extra", [(), ("model=scat_resnet", "augmentation=mixup", "model.head.dropout=0.2")])
def test_training_is_bit_identical_with_and_without_tensorboard(train, tmp_path, extra):
    without = train(*extra, root=tmp_path / "without")
    shown = train(*extra, "trainer.tensorboard=true", root=tmp_path / "with")
    assert list(shown.path.glob("events*")) and not list(without.path.glob("events*"))
    assert shown.tensorboard == shown.path, "TensorBoard calls a run by its folder"
    one, other = (checkpoint.load(folder.checkpoints / "last.pt")["model"] for folder in (without, shown))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_whole_run_shows_its_results_once(train):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train("trainer.tensorboard=true")
    events = EventAccumulator(str(folder.tensorboard)).Reload()
    summary = folder.read_summary()
    (text,) = events.Tensors("logged once/text_summary")
    assert text.step == 6 and f"test/top1 | {summary['test']['top1']:.6g} |" in text.tensor_proto.string_val[0].decode()
    assert set(events.Tags()["images"]) == {
        "train/augmented_batch", "wavelets/filter_bank", "validation/confusion", "test/confusion",
        "test/most_confident_mistakes",
    }  # fmt: skip
    groups = {name.split("/")[0] for name in events.Tags()["scalars"]}
    assert groups == {"train", "train_speed", "validation"}
    assert all(len(events.Scalars(name)) > 1 for name in events.Tags()["scalars"])
