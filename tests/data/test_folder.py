"""Folders of image files: layout, decoding, evaluation's crop."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid.commands.prepare_data import _check_images
from hybrid.data.file_loader import random_box, worker_count
from hybrid.data.images import ImageReader, box_around, scaled
from hybrid.errors import UserError
from hybrid.prediction import find_images


def reader(size, resize, **more):
    return ImageReader(channels=3, size=(size, size), resize=(resize, resize), **more)


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
    assert sum("validation images are not used" in record.getMessage() for record in caplog.records) == 2


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
    image = reader(24, 28, interpolation="bilinear").open(tmp_path / "ramp.png")
    assert image.shape == (3, 24, 24)
    assert abs(float(image.float().mean()) - 127.5) < 3  # centred
    expected = 255 * 24 / (28 * size[0] / min(size))  # the part of the ramp that the crop spans
    assert abs(float(image[0, 0, -1]) - float(image[0, 0, 0]) - expected) < 0.08 * 255


def test_equals_torchvision(photos):
    from torchvision.transforms import v2

    path = photos / "train" / "dog" / "1_06.jpeg"
    ours = reader(24, 28, interpolation="bicubic").open(path)
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
    image = reader(20, 20, interpolation="bilinear").open(tmp_path / "turned.jpg")
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
        (lambda root: shutil.rmtree(root / "train"), r"has val/ and no train/"),
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
        reader(8, 8, interpolation="bicubic").open(tmp_path / "broken.jpg")


def test_missing_image_says_so(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: not a readable image \(no such file\)"):
        reader(8, 8, interpolation="bicubic").open(tmp_path / "gone.jpg")


def test_worker_count():
    assert worker_count(3) == 3 and worker_count(0) == 0 and 1 <= worker_count("auto") <= 16


@pytest.mark.parametrize(
    ("size", "resize", "box"),
    [
        (224, 256, (256, 256)),
        ((40, 64), 40, (40, 64)),
        ((40, 64), 50, (50, 80)),
        ((64, 40), 50, (80, 50)),
        ((40, 64), (40, 100), (40, 100)),
    ],
)
def test_the_box_has_the_proportions_of_the_size(size, resize, box):
    assert box_around(size, resize) == box


@pytest.mark.parametrize(
    ("image", "size", "fit", "expected"),  # (height, width) each
    [
        ((60, 40), (20, 30), "crop", (45, 30)),  # the width decides, rows are cut off
        ((40, 60), (20, 30), "crop", (20, 30)),  # the same proportions: all of it
        ((20, 99), (20, 30), "crop", (20, 99)),
        ((60, 40), (20, 30), "squash", (20, 30)),
    ],
)
def test_an_image_covers_the_box_or_is_squashed_where_that_is_asked_for(image, size, fit, expected):
    assert scaled(*image, box=size, fit=fit) == expected


def test_a_folder_of_images_that_are_not_square(make_folder, tmp_path):
    rows = np.arange(100, dtype=np.uint8)[:, None].repeat(60, 1)  # every row has its number
    Image.fromarray(rows).save(tmp_path / "tall.png")
    seen = {}
    for fit in ("crop", "squash"):
        data = make_folder(size=[20, 30], resize=20, fit=fit, channels=1, normalize="none")
        assert data.image_shape == (1, 20, 30)
        augmentation = {"random_resized_crop": [0.5, 1.0], "flip": 0.5, "pad": 0, "cutout": 4}
        train = make_folder(size=[20, 30], resize=20, fit=fit, channels=1, augmentation=augmentation)
        assert next(iter(train.loader("train", batch_size=3, train=True).epoch(0))).images.shape == (3, 1, 20, 30)
        image = data.open_image(tmp_path / "tall.png").float()
        seen[fit] = (float(image[0, 0].mean()), float(image[0, -1].mean()))
    assert seen["crop"] == pytest.approx((30, 68), abs=2)  # 50 x 30, the central 20 rows: 2 rows of the file each
    assert seen["squash"] == pytest.approx((2, 97), abs=2)  # the whole height


def test_random_boxes_have_the_proportions_of_the_images():
    random, ratios = np.random.default_rng(0), []
    for _ in range(300):
        left, top, right, bottom = random_box(400, 400, area=(0.2, 0.3), random=random, aspect=2.0)
        ratios.append((right - left) / (bottom - top))
    assert 1.5 * 0.97 < min(ratios) < 1.6 and 2.5 < max(ratios) < 8 / 3 * 1.03


def test_a_crop_is_no_larger_than_its_box_and_a_tiny_one_is_told(make_folder, caplog):
    with pytest.raises(UserError, match=r"data\.resize=\[40,40\] .* is smaller than data\.size=\[40,64\]"):
        make_folder(size=[40, 64], resize=[40, 40])
    with pytest.raises(UserError, match=r"data\.size=\[0,64\] is not valid"):
        make_folder(size=[0, 64], resize=64)
    make_folder(size=64, resize=72)
    assert not caplog.records
    make_folder(size=64, resize=256)
    assert "sees the central 25 % of an image's side; data.resize=73" in caplog.text


def test_a_folder_of_16_bits_is_not_white(make_folder, photos):
    for path in photos.rglob("*.jp*g"):
        values = np.array(Image.open(path).convert("L"))
        Image.fromarray(values).save(path.with_suffix(".png"))
        path.unlink()
    expected = [
        batch.images for batch in make_folder(channels=1, normalize="none").loader("train", batch_size=24).epoch(0)
    ]
    for path in photos.rglob("*.png"):
        Image.fromarray(np.array(Image.open(path)).astype(np.uint16) * 257).save(path)
    found = [
        batch.images for batch in make_folder(channels=1, normalize="none").loader("train", batch_size=24).epoch(0)
    ]
    assert torch.equal(torch.cat(found), torch.cat(expected))
    stated = make_folder(channels=1, value_range=[0, 32767.5], normalize="none").loader("train", batch_size=24)
    assert torch.cat([batch.images for batch in stated.epoch(0)]).mean() > 1.4 * torch.cat(expected).mean()


@pytest.fixture
def classes(photos):
    """The class folders alone, without train/ and val/: two classes of 12 images."""
    shutil.rmtree(photos / "val")
    for name in ("cat", "dog"):
        shutil.move(photos / "train" / name, photos / name)
    (photos / "train").rmdir()
    return photos


def test_a_folder_of_classes_is_split_when_it_is_asked_for(make_folder, classes):
    sizes = {name: len(split) for name, split in make_folder(test=0.25, validation=2).splits.items()}
    assert sizes == {"train": 16, "validation": 2, "test": 6}
    tested = [make_folder(folds=4, fold=fold).splits["test"].paths for fold in range(4)]
    every = [path for paths in tested for path in paths]
    assert sorted(every) == sorted(str(path) for path in classes.glob("*/*")) and set(map(len, tested)) == {6}
    few = make_folder(per_class=3, validation=None).splits
    assert torch.bincount(few["train"].labels).tolist() == [3, 3] and len(few["test"]) == 18 and "validation" not in few
    with pytest.raises(UserError, match=r"folder has no test images of its own\. data\.test=0\.2 draws"):
        _ = make_folder().splits


def test_own_test_images_are_drawn_anew_only_from_where_it_is_said(make_folder):
    with pytest.raises(UserError, match=r"folder has 8 test images of its own.*data\.pool=all.*data\.pool=train"):
        _ = make_folder(test=0.25).splits
    everything = make_folder(test=0.25, pool="all").splits
    assert len(everything["train"]) + len(everything["test"]) == 32 and any(
        "/val/" in path for path in everything["train"].paths
    )
    assert sorted(torch.cat([split.indices for split in everything.values()]).tolist()) == list(range(32))
    trained = make_folder(test=0.25, pool="train").splits
    assert len(trained["test"]) == 6 and all("/train/" in path for path in trained["test"].paths)


def test_hidden_nested_and_linked_files(make_folder, photos, tmp_path_factory, caplog):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "cow"
    shutil.copytree(photos / "train" / "cat", elsewhere / "deep")
    (elsewhere / "deep" / "again").symlink_to(elsewhere)  # without end
    (photos / "train" / "cow").symlink_to(elsewhere)
    checkpoints = photos / "train" / "cat" / ".ipynb_checkpoints"
    shutil.copytree(photos / "val" / "cat", checkpoints)
    (photos / "train" / "dog" / "notes.txt").touch()
    split = make_folder(validation=0).splits["train"]
    assert torch.bincount(split.labels).tolist() == [12, 12, 12]
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        f"folder: left out: 1 hidden files or folders ({checkpoints}) and 1 files that are no images in a class folder "
        f"({photos}/train/dog/notes.txt) and 1 links to folders that were read already ({photos}/train/cow/deep/again)."
    )


def test_damaged_images_end_the_run_unless_they_are_to_be_left_out(make_folder, photos, caplog):
    broken = photos / "train" / "cat" / "0_03.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=rf"{broken}: not a readable image"):
        list(make_folder(validation=0).loader("train", batch_size=24).epoch(0))
    data = make_folder(validation=0, skip_unreadable=True)
    assert len(data.splits["train"]) == 23 and str(broken) not in data.splits["train"].paths
    assert f"folder: 1 of 24 images are left out, which cannot be read: {broken}" in caplog.records[0].getMessage()


def test_prepare_data_finds_every_damaged_image_also_of_the_test(make_folder, photos, capsys):
    _check_images(make_folder(), decode=True)
    assert capsys.readouterr().out == "  all 32 images can be read\n"
    broken = [photos / "train" / "cat" / "0_03.jpg", photos / "val" / "dog" / "1_00.jpeg"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"folder: 2 of 32 images cannot be read\. .*data\.skip_unreadable=true"):
        _check_images(make_folder(), decode=True)
    assert [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        str(path) for path in broken
    ]


def test_prediction_finds_what_training_uses_and_a_second_link_is_said(make_folder, photos, caplog, tmp_path):
    cat = photos / "train" / "cat"
    count = len(list(find_images([str(cat)])))
    (cat / ".ipynb_checkpoints").mkdir()
    shutil.copy(cat / "0_00.jpeg", cat / ".ipynb_checkpoints" / "copy.jpeg")
    shutil.copytree(photos / "val" / "cat", tmp_path / "elsewhere")
    for name in ("linked", "again"):
        (cat / name).symlink_to(tmp_path / "elsewhere")
    more = len(list((tmp_path / "elsewhere").iterdir()))
    data = make_folder(validation=0)
    assert (
        sum("/cat/" in path for path in data.splits["train"].paths)
        == count + more
        == len(list(find_images([str(cat)])))
    )
    assert "1 links to folders that were read already" in caplog.text and "1 hidden files or folders" in caplog.text
