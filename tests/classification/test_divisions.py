"""Random divisions of a data set: the same as those of other commands, every image once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid.classification.divisions import divide
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.errors import UserError


def digits(*overrides: str, seed: int = 0):
    cfg = compose(["data=digits", "data.size=8", "data.validation=0", *overrides], config_name="classify")
    return data_from(cfg.data, cfg.augmentation, seed=seed)


@pytest.mark.parametrize(
    ("overrides", "images"),
    [(["data.per_class=3", "data.pool=all"], 1797), (["data.test=0.5", "data.pool=train"], 1437)],
    ids=["per_class", "share"],
)
def test_a_division_is_that_of_its_split_seed(overrides, images):
    divided = divide(digits(*overrides), 3)
    held = divided.images.splits["train"]
    assert len(held) == len(set(held.indices.tolist())) == images
    assert torch.equal(held.indices, held.indices.sort().values)
    for number, division in enumerate(divided.divisions):
        alone = digits(*overrides, f"data.split_seed={number}", seed=number)
        for name, positions in (("train", division.train), ("test", division.test)):
            split = alone.splits[name]
            assert torch.equal(held.indices[positions], split.indices)
            assert torch.equal(held.images[positions], split.images)
            assert torch.equal(divided.labels[positions], split.labels)


def test_subsets_share_the_test_images_of_the_data_set():
    divided = divide(digits("data.subset.n=50", seed=4), 2)
    first, second = divided.divisions
    assert torch.equal(first.test, second.test) and len(first.test) == 360
    assert len(first.train) == len(second.train) == 50 and not torch.equal(first.train, second.train)
    other = digits("data.subset.n=50", seed=5)
    assert torch.equal(divided.labels[second.train], other.splits["train"].labels)
    assert not {*first.train.tolist(), *second.train.tolist()} & {*first.test.tolist()}


def test_divisions_that_are_all_the_same_are_refused():
    with pytest.raises(
        UserError, match="splits=7 has no effect: digits trains and tests on the same images every time"
    ):
        divide(digits(), 7)


def test_turned_copies_on_both_sides_are_told(tmp_path, caplog):
    random = np.random.RandomState(0)
    for label in range(2):
        (tmp_path / f"class{label}").mkdir()
        for number in range(6):
            pixels = Image.fromarray(random.randint(0, 256, (8, 8), np.uint8)).resize(
                (40, 40), Image.Resampling.BICUBIC
            )
            pixels.save(tmp_path / f"class{label}" / f"{number}.png")
            if (label, number) == (1, 2):
                pixels.rotate(90).save(tmp_path / "class1" / "turned.jpg", quality=90)
    overrides = [
        "data=folder",
        f"data.root={tmp_path}",
        "data.size=32",
        "data.resize=32",
        "data.channels=1",
        "data.per_class=3",
    ]
    cfg = compose([*overrides, "augmentation=none", "data.num_workers=0"], config_name="classify")
    divided = divide(data_from(cfg.data, cfg.augmentation, seed=0), 5)
    divided.warn_of_turned_copies()
    (record,) = caplog.records
    assert "folder: 1 pairs of images that train and test are turned copies" in record.getMessage()
    assert "2.png" in record.getMessage() and "turned.jpg" in record.getMessage()
