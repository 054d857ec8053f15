"""Folders of image files: layout, decoding, evaluation's crop."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid.data.file_loader import random_box, worker_count
from hybrid.data.images import decode
from hybrid.errors import UserError


def test_splits_classes_and_labels(make_folder):
    data = make_folder(validation=None)
    assert data.class_names == ("cat", "dog") and data.num_classes == 2 and data.image_shape == (3, 24, 24)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 22, "validation": 2, "test": 8}
    for split in data.splits.values():
        assert [("cat", "dog")[label] in path for label, path in zip(split.labels, split.paths, strict=True)] == [
            True
        ] * len(split)


def test_val_beside_test_is_the_validation_split(make_folder, photos, caplog):
    shutil.copytree(photos / "val", photos / "test")
    shutil.copy(photos / "train" / "cat" / "0_00.jpeg", photos / "val" / "cat" / "extra.JPEG")
    sizes = {name: len(split) for name, split in make_folder(validation=None).splits.items()}
    assert sizes == {"train": 24, "validation": 9, "test": 8}
    sizes = {name: len(split) for name, split in make_folder(validation=4).splits.items()}
    assert sizes == {"train": 20, "validation": 4, "test": 8}
    assert "validation" not in make_folder(validation=0).splits
    assert sum("val/ is not used" in record.getMessage() for record in caplog.records) == 2


def test_grey_and_cmyk_become_rgb(make_folder):
    batches = list(make_folder(normalize="none").loader("train", batch_size=24).epoch(0))
    assert batches[0].images.shape == (24, 3, 24, 24)
    assert torch.equal(batches[0].images[1, 0], batches[0].images[1, 2])  # the second file is grey


def test_one_channel(make_folder):
    assert next(iter(make_folder(channels=1).loader("test", batch_size=2).epoch(0))).images.shape == (2, 1, 24, 24)


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (30, 30), (20, 200)])
def test_evaluation_is_short_side_then_centre(tmp_path, size):
    x = np.linspace(0, 255, size[0])[None].repeat(size[1], 0)
    Image.fromarray(x.astype(np.uint8)).convert("RGB").save(tmp_path / "ramp.png")
    image = decode(tmp_path / "ramp.png", channels=3, short_side=28, crop=24, interpolation="bilinear")
    assert image.shape == (3, 24, 24)
    assert abs(float(image.float().mean()) - 127.5) < 3  # centred
    expected = 255 * 24 / (28 * size[0] / min(size))  # the part of the ramp that the crop spans
    assert abs(float(image[0, 0, -1]) - float(image[0, 0, 0]) - expected) < 0.08 * 255


def test_equals_torchvision(photos):
    from torchvision.transforms import v2

    path = photos / "train" / "dog" / "1_06.jpeg"
    ours = decode(path, channels=3, short_side=28, crop=24, interpolation="bicubic")
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    theirs = v2.Compose(
        [v2.Resize(28, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(24), v2.PILToTensor()]
    )(rgb)
    assert (ours.float() - theirs.float()).abs().max() <= 1


def test_rotation_in_the_file_is_applied(tmp_path):
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20] = 255  # white above black
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=100)
    image = decode(tmp_path / "turned.jpg", channels=3, short_side=20, crop=20, interpolation="bilinear")
    assert image[0, 0].float().mean() < 50 < 200 < image[0, -1].float().mean()


def test_random_boxes_stay_inside_and_cover_the_range():
    random = np.random.default_rng(0)
    parts = []
    for _ in range(500):
        left, top, right, bottom = random_box(100, 60, area=(0.08, 1.0), random=random)
        assert 0 <= left < right <= 100 and 0 <= top < bottom <= 60
        parts.append((right - left) * (bottom - top) / 6000)
    assert min(parts) < 0.12 and max(parts) > 0.7
    assert random_box(1000, 3, area=(1.0, 1.0), random=random) == (498, 0, 502, 3)  # no box fits: the central one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: shutil.rmtree(root / "val"), r"no train/ with val/ or test/"),
        (lambda root: shutil.rmtree(root), "no folder"),
        (lambda root: shutil.rmtree(root / "train") or (root / "train").mkdir(), "no folder per class"),
        (lambda root: shutil.rmtree(root / "train/dog") or (root / "train/dog").mkdir(), "no image in .*dog"),
        (lambda root: (root / "val" / "cow").mkdir(), "cow is a class that .*train does not have"),
        (lambda root: [shutil.rmtree(root / "val" / name) for name in ("cat", "dog")], "no image in the class folders"),
    ],
)
def test_wrong_layouts_say_what_is_missing(make_folder, photos, change, words):
    change(photos)
    with pytest.raises(UserError, match=words) as caught:
        _ = make_folder().splits
    assert str(photos) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_unreadable_image_names_the_file(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.jpg: not a readable image"):
        decode(tmp_path / "broken.jpg", channels=3, short_side=8, crop=8, interpolation="bicubic")


def test_missing_image_says_so(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: not a readable image \(no such file\)"):
        decode(tmp_path / "gone.jpg", channels=3, short_side=8, crop=8, interpolation="bicubic")


def test_worker_count():
    assert worker_count(3) == 3 and worker_count(0) == 0 and 1 <= worker_count("auto") <= 16
