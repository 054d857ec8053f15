"""torchvision's classification networks as heads."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("torchvision")

from hybrid.errors import UserError
from hybrid.models.torchvision_head import TorchvisionClassifier


def test_any_network_by_name():
    head = TorchvisionClassifier((3, 64, 64), 4, name="mobilenet_v3_small", options={"dropout": 0.5}).eval()
    assert head.network.classifier[2].p == 0.5
    assert head(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_grey_images_are_repeated():
    head = TorchvisionClassifier((1, 32, 32), 4, name="resnet18").eval()
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(head(images), head.network(images.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnext50_32x4d", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5", "regnet_y_400mf"]
)
def test_small_images_have_a_stem_that_keeps_them(name):
    head, own = (TorchvisionClassifier((3, 32, 32), 4, name=name, stem=stem) for stem in ("auto", "imagenet"))
    assert (head.stem, own.stem) == ("small", "imagenet")
    first = next(part for part in head.network.modules() if isinstance(part, torch.nn.Conv2d))
    assert (first.kernel_size, first.stride) == ((3, 3), (1, 1))
    assert head.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 4)
    assert not any(isinstance(part, torch.nn.MaxPool2d) for part in head.network.modules())


def test_large_images_and_networks_without_a_coarse_stem_are_torchvisions_own():
    assert TorchvisionClassifier((3, 65, 65), 4, name="resnet18").stem == "imagenet"
    assert TorchvisionClassifier((3, 64, 96), 4, name="resnet18").stem == "small"
    assert TorchvisionClassifier((3, 32, 32), 4, name="vgg11").stem == "imagenet"
    with pytest.raises(ValueError, match="stem=small is not there for torchvision's vgg11. Valid: auto, imagenet"):
        TorchvisionClassifier((3, 32, 32), 4, name="vgg11", stem="small")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.head.name=resnet17"], ["torchvision classification model", "resnet17", "Did you mean resnet1"]),
        (["model.head.name=fasterrcnn_resnet50_fpn"], ["unknown torchvision classification model"]),
        (["model.head.name=alexnet"], ["alexnet does not take images of 32x32"]),
        (["+model.head.options.widht=3"], ["options do not fit", "widht"]),
        (["model/frontend=scattering"], ["3 channels", "243", "model/frontend=identity"]),
    ],
)
def test_mistakes(make, overrides, words):
    with pytest.raises(UserError) as error:
        make("resnet18", *overrides)
    for word in words:
        assert word in str(error.value), str(error.value)
