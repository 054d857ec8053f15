"""Oddities of a data set that would make its figures mislead: a line for each, and none for a sound one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import hybrid
from hybrid.data import MemorySource, Subset, build, checks, turned_copies
from hybrid.data.checks import oddities, refuse_damaged
from hybrid.errors import UserError


class Noise(MemorySource):
    """Random images of three classes; `change` spoils them."""

    name, channels, size, class_names = "noise", 3, (5, 7), ("a", "b", "c")  # 105 bytes an image: no multiple of 8

    def __init__(self, change=lambda parts: None):
        draw = np.random.RandomState(0)
        self.parts = {
            part: [torch.from_numpy(draw.randint(0, 256, (count, 3, 5, 7)).astype(np.uint8)), torch.arange(count) % 3]
            for part, count in (("train", 60), ("test", 30))
        }
        change(self.parts)
        self.size = tuple(self.parts["train"][0].shape[-2:])

    def read(self, part):
        return tuple(self.parts[part])


def _copy(parts):
    parts["test"][0][[4, 9]] = parts["train"][0][[50, 7]]


def _nearly_copy(parts):
    _copy(parts)
    parts["test"][0][[4, 9], 2, 4, 6] ^= 1  # the last byte alone


def _turn(parts):
    square = torch.from_numpy(np.random.RandomState(1).randint(0, 256, (90, 3, 6, 6)).astype(np.uint8))
    for part, images in zip(("train", "test"), square.split([60, 30]), strict=True):
        parts[part][0] = images.clone()
    parts["test"][0][4] = parts["train"][0][50].rot90(1, (-2, -1))
    parts["test"][0][9] = parts["train"][0][7].flip(-1)
    parts["test"][0][10] = parts["train"][0][8].rot90(3, (-2, -1))
    parts["test"][0][10, 1, 0, 0] ^= 1


def _mirror(parts):
    parts["test"][0][3] = parts["train"][0][2].flip(-2)


def _blank(parts):
    parts["train"][0][11] = torch.tensor([3, 4, 5]).view(3, 1, 1)


def _only(part, classes):
    def change(parts):
        images, labels = parts[part]
        parts[part] = [images, torch.tensor(classes)[labels]]

    return change


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda parts: None, []),
        (
            _copy,
            ["2 of 30 test images are among the training images, too (image 4 is image 50): "
             "the test accuracy is too high for that"],
        ),
        (_nearly_copy, []),
        (
            _turn,
            ["2 of 30 test images are turned or mirrored copies of training images (image 4 of image 50): "
             "the test accuracy may be too high"],
        ),
        (
            _mirror,
            ["1 of 30 test images is a turned or mirrored copy of training images (image 3 of image 2): "
             "the test accuracy may be too high"],
        ),
        (_blank, ["1 of 60 training images is of one colour, without any structure (image 11)"]),
        (_only("train", [0, 0, 2]), ["no image of 1 of 3 classes trains: the network cannot learn b"]),
        (_only("test", [1, 1, 1]), ["no image of 2 of 3 classes tests: the results say nothing about a, c"]),
        (
            _only("train", [2, 2, 2]),
            ["all training images are of one class: accuracy and loss say nothing about what the network has learned"],
        ),
    ],
    ids=["sound", "repeated", "nearly repeated", "turned", "mirrored", "blank", "not trained", "not tested", "one class"],
)  # fmt: skip
def test_each_oddity_is_a_line(change, lines):
    assert oddities(build(Noise(change))) == lines


def test_of_many_images_a_part_is_looked_at_and_the_line_says_at_least(monkeypatch):
    def change(parts):
        parts["test"][0][:] = parts["train"][0][:30]

    monkeypatch.setattr(checks, "_MOST_BYTES", 60 * 105 // 2)
    (line,) = oddities(build(Noise(change)))
    assert line.startswith("at least 15 of 30 test images are among the training images, too (image 0 is image 0)")


def test_a_subset_that_leaves_classes_out_and_labels_that_are_none():
    data = build(Noise(), subset=Subset(2, protocol="stratified"))
    assert any("of 3 classes trains: the network cannot learn" in line for line in oddities(data))
    with pytest.raises(UserError, match=r"noise, train part: label 3 is outside 0\.\.2"):
        oddities(build(Noise(_only("train", [0, 1, 3]))))


def test_files_are_compared_by_their_bytes_and_some_are_decoded(make_folder, photos):
    assert oddities(make_folder(validation=0)) == []
    shutil.copy(photos / "train" / "dog" / "1_06.jpeg", photos / "val" / "cat" / "again.jpg")
    for path in (photos / "train" / "cat").iterdir():
        Image.new("RGB", (30, 30), "white").save(path)
    repeated, blank = oddities(make_folder(validation=0))
    assert repeated.startswith("1 of 9 test images is among the training images, too (")
    assert "val/cat/again.jpg is " in repeated and "train/dog/1_06.jpeg)" in repeated
    assert blank.startswith("6 of 12 training images are of one colour") and "train/cat" in blank


def test_turned_files_are_found_though_they_are_encoded_anew(tmp_path, monkeypatch):
    draw = np.random.RandomState(0)
    for number in range(8):
        folder = tmp_path / ("train" if number < 4 else "val") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.randint(0, 256, (6, 6, 3)).astype(np.uint8))
        image = coarse.resize((48, 48), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
        if number == 1:
            image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=90)
    shutil.move(tmp_path / "turned.jpg", tmp_path / "val" / "class1" / "turned.jpg")
    (line,) = oddities(hybrid.load_data("folder", root=tmp_path, size=48, validation=0))
    assert line.startswith("1 of 5 test images is a turned or mirrored copy of training images (")
    assert "val/class1/turned.jpg of " in line and "train/class1/1.png): the test accuracy may be too high" in line
    monkeypatch.setattr(turned_copies, "_MOST_FILES", 8)
    assert oddities(hybrid.load_data("folder", root=tmp_path, size=48, validation=0)) == []


def test_files_that_are_cut_off_are_found_before_training_and_sound_ones_are_not_blamed(tmp_path):
    for number in range(8):
        folder = tmp_path / ("train" if number < 4 else "val") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.effect_noise((60, 60), 80)
        image.save(folder / f"{number}.png")
        image.save(folder / f"{number}.jpg")
    keys = {"root": tmp_path, "size": 24, "validation": 0}
    refuse_damaged(hybrid.load_data("folder", **keys))
    last = tmp_path / "val" / "class1" / "7.jpg"
    sound = last.read_bytes()
    last.write_bytes(sound + b"notes of a camera" * 1000)  # its end is not where it is looked for: decoded, and good
    refuse_damaged(hybrid.load_data("folder", **keys))
    last.write_bytes(sound[:400])
    (tmp_path / "val" / "class0" / "4.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"4.png: not a readable image .* and 1 more: replace .*skip_unreadable=true"):
        refuse_damaged(hybrid.load_data("folder", **keys))
    refuse_damaged(hybrid.load_data("folder", **keys, skip_unreadable=True))
