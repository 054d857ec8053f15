from __future__ import annotations

import pytest

from hybrid.configuration.composition import compose
from hybrid.runs.identity import identity


@pytest.mark.parametrize(
    ("given", "resize"),
    [([], 256), (["data.size=64"], 73), (["data.size=[40,64]"], 46), (["data.size=64", "data.resize=100"], 100)],
    ids=["photographs", "small", "not square", "given"],
)
def test_small_images_are_not_cut_to_their_centre(given, resize):
    cfg = compose(["data=folder", "data.root=photos", *given])
    assert cfg.data.resize == resize and identity(cfg)["data.resize"] == resize


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.1), ("adamw", 0.001)])
def test_a_recipes_rate_is_the_optimizers(optimizer, lr):
    cfg = compose(["experiment=cifar10_few_labels", f"optimizer={optimizer}"])
    assert identity(cfg)["optimizer.lr"] == lr
    assert compose(["experiment=cifar10_few_labels", "optimizer.lr=0.3"]).optimizer.lr == 0.3
