"""Configurations to models: parts replaced by name or by a user's own class, and mistakes told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.errors import UserError
from hybrid.models import HybridModel, build
from hybrid.models.cnn import CNN
from hybrid.models.dense import MLP
from hybrid.models.frontends import Identity, auto_octaves
from hybrid.models.sle import SharedLocalEncoder

SHAPE = (3, 32, 32)
CONFIGS = sorted(path.stem for path in (Path(__file__).parents[2] / "configs/model").glob("*.yaml"))


class PooledHead(nn.Module):
    """What a user would write: no class of hybrid in it."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, *, hidden: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features.mean((2, 3)))


class OddHead(nn.Module):
    """A user's head with one mistake: one class too many, a wrong input width, nothing returned, or two outputs."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, *, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        width, classes = input_shape[0] - (mistake == "width"), num_classes + (mistake == "classes")
        self.layer = nn.Linear(width, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor] | None:
        if self.mistake == "map":
            return features
        logits = self.layer(features.mean((2, 3)))
        return {"nothing": None, "two": (logits, logits)}.get(self.mistake, logits)


class Halved(nn.Module):
    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.output_shape = (channels, height // 2, width // 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 2)


class Shapeless(nn.Module):
    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()


class Boastful(Halved):
    """Says that it leaves the size as it is, and halves it."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__(image_shape)
        self.output_shape = image_shape


class Doubled(nn.Module):
    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 2 * features


def refusal(make, name, *overrides, shape=SHAPE) -> str:
    with pytest.raises(UserError) as error:
        make(name, *overrides, shape=shape)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_users_own_head(make):
    model = make(
        "scat_resnet", "model/head=custom", f"model.head._target_={__name__}.PooledHead", "+model.head.hidden=9"
    )
    assert isinstance(model.head, PooledHead) and model.head.layers[0].out_features == 9
    assert model(torch.randn(2, *SHAPE)).shape == (2, 10)


def test_a_users_own_frontend_and_normalization(make):
    model = make(
        "scat_linear",
        "model/frontend=custom",
        f"model.frontend._target_={__name__}.Halved",
        "model/normalization=custom",
        f"model.normalization._target_={__name__}.Doubled",
    )
    assert model.head.classifier.in_features == 3 * 16 * 16
    assert model(torch.randn(2, *SHAPE)).shape == (2, 10)


def test_parts_are_replaced_from_the_command_line(make):
    model = make("scat_resnet", "model/frontend=identity", "model/head=linear", "model/normalization=none")
    assert model.head.classifier.in_features == 3 * 32 * 32
    assert isinstance(make("scat_resnet", "model/head=mlp", "model.head.hidden=[5]").head, MLP)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_leaves_its_parts_replaceable(make, name):
    model = make(name, "model/frontend=identity", "model/head=linear", "model/normalization=none", shape=(1, 4, 4))
    assert model.head.classifier.in_features == 16


@pytest.mark.parametrize(("side", "octaves"), [(224, 3), (128, 3), (96, 2), (32, 2), (28, 2), (16, 2), (8, 1)])
def test_auto_octaves(side, octaves):
    assert auto_octaves(side) == octaves


def test_explicit_octaves_win_over_auto(make):
    assert make("scat_resnet", "model.frontend.J=3").frontend.output_shape == (651, 4, 4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.frontend.J=6"], ["model.frontend", "J=6", "32x32"]),
        (["model.frontend.J=two"], ["model.frontend.J", "auto or a whole number"]),
        (["model.frontend.L=0"], ["model.frontend", "L"]),
        (["model.frontend.max_order=3"], ["model.frontend.max_order", "1 or 2"]),
        (["model.frontend.engine=gpu"], ["model.frontend.engine", "auto or torch or cpu or cuda or kymatio"]),
        (["model.head.strides=[1,9]"], ["model.head", "stride 9", "8x8"]),
        (["model.head.dropout=yes"], ["model.head.dropout", "a number"]),
        (["+model.head.width=3"], ["key in model.head", "width", "Did you mean widths?"]),
        (["+model.headd=3"], ["key in model", "headd", "head"]),
        (["model/head=custom"], ["model.head._target_ is missing"]),
        (["model/head=custom", "model.head._target_=nowhere.Head"], ["model.head._target_=nowhere.Head"]),
        (["model/head=cnn", "model.head.widths=[[2],[2],[2],[2],[2]]"], ["model.head", "at most 4 groups"]),
        (["model/head=mlp", "model.head.hidden=[0]"], ["model.head", "hidden"]),
        (["model/head=sle", "model.head.pool=9"], ["model.head", "pool is 9"]),
        (["model.normalization.momentum=2.0"], ["model.normalization.momentum=2 is not valid", "at most 1"]),
        (["model.head.norm.momentum=2.0"], ["model.head.norm.momentum=2 is not valid"]),
        (["model.head.norm.eps=small"], ["model.head.norm.eps", "a number"]),
        (["model.head.norm=batch"], ["model.head.norm", "a section of momentum, eps, affine"]),
        (["+model.head.norm.momentun=0.9"], ["key in model.head.norm", "Did you mean momentum?"]),
        (
            ["+model.head.bn_momentum=0.9"],
            ["model.head.bn_momentum has another name now: write model.head.norm.momentum=…"],
        ),
    ],
)
def test_mistakes_name_their_place_and_what_is_valid(make, overrides, words):
    message = refusal(make, "scat_resnet", *overrides)
    for word in words:
        assert word in message, message


def test_a_frontend_without_a_shape_is_refused(make):
    message = refusal(make, "scat_linear", "model/frontend=custom", f"model.frontend._target_={__name__}.Shapeless")
    assert "Shapeless needs an attribute output_shape" in message


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("classes", "gives (2, 11) for N = 2, and a tensor (N, 10) is wanted."),
        ("map", "gives (2, 243, 8, 8) for N = 2, and a tensor (N, 10) is wanted."),
        ("nothing", "gives None, and a tensor (N, 10) is wanted."),
        ("two", "gives a tuple, and a tensor (N, 10) is wanted."),
        ("width", "does not take (N, 243, 8, 8): "),
    ],
)
def test_a_users_head_that_does_not_fit_is_named_with_what_it_gives_and_what_is_wanted(make, mistake, message):
    own = ["model/head=custom", f"model.head._target_={__name__}.OddHead", f"+model.head.mistake={mistake}"]
    said = refusal(make, "scat_linear", *own)
    assert said.startswith(f"model.head: {__name__}.OddHead ") and message in said


def test_a_users_frontend_that_does_not_give_the_shape_that_it_says_is_refused(make):
    message = refusal(make, "scat_linear", "model/frontend=custom", f"model.frontend._target_={__name__}.Boastful")
    assert "Boastful gives (2, 3, 16, 16) for N = 2, and a tensor (N, 3, 32, 32) is wanted" in message


def test_a_part_that_is_no_module_is_refused(make):
    message = refusal(make, "scat_linear", "model/head=custom", "model.head._target_=fractions.Fraction")
    assert message == "model.head: a Fraction is no torch.nn.Module."


def test_trying_a_users_head_leaves_it_as_it_was_built(make):
    own = ["model/head=custom", f"model.head._target_={__name__}.OddHead", "+model.head.mistake=none"]
    torch.manual_seed(0)
    model = make("scat_linear", *own)
    assert model.head.training and all(parameter.grad is None for parameter in model.parameters())


def test_a_missing_part_is_refused():
    config = compose(["model=scat_linear"]).model
    parts = {"frontend": config.frontend, "head": config.head}
    with pytest.raises(UserError, match="model.normalization is missing"):
        model_from(parts, image_shape=SHAPE, num_classes=10)


def test_a_plain_mapping_is_a_configuration_too():
    parts = {
        "frontend": {"_target_": "hybrid.models.frontends.Identity"},
        "normalization": {"_target_": "hybrid.models.normalization.NoNormalization"},
        "head": {"_target_": "hybrid.models.dense.Linear"},
    }
    model = model_from(parts, image_shape=(1, 4, 4), num_classes=2)
    assert isinstance(model, HybridModel) and model(torch.zeros(3, 1, 4, 4)).shape == (3, 2)


def test_cnn_layers_stand_in_kymatios_order():
    head = CNN((5, 8, 8), 10, widths=((4, 4), (6,)), pool=2, hidden=(7,), dropout=0.5)
    kinds = [type(layer).__name__ for layer in head.features]
    assert kinds == ["Sequential", "Sequential", "MaxPool2d", "Sequential"]
    assert [type(layer).__name__ for layer in head.features[0]] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert head.features[0][0].bias is not None
    assert [layer.out_features for layer in head.classifier if isinstance(layer, nn.Linear)] == [7, 10]
    assert isinstance(head.dropout, nn.Dropout) and any(isinstance(layer, nn.Dropout) for layer in head.classifier)


def test_local_encoder_sees_one_position_at_a_time():
    head = SharedLocalEncoder((6, 4, 4), 10, encoder=(5, 5)).eval()
    x = torch.randn(1, 6, 4, 4)
    changed = x.clone()
    changed[:, :, 1, 2] += 1
    difference = (head.encoder(x) - head.encoder(changed)).abs().sum((0, 1)) > 0
    assert difference.nonzero().tolist() == [[1, 2]]
    assert head.classifier[0].in_features == 5 * 4  # auto: 2x2 cells
    assert SharedLocalEncoder((6, 1, 3), 10).classifier[0].in_features == 1024


def test_mlp_options():
    head = MLP((2, 2, 2), 3, hidden=(4, 5), dropout=0.5, batch_norm=True)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout"] * 2 + ["Linear"]


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((32, 32), 10, "image_shape=(32, 32) is not valid"),
        ((0, 32, 32), 10, "image_shape=(0, 32, 32) is not valid"),
        (32, 10, "image_shape=32 is not valid"),
        ((3, 32, 32), 0, "num_classes=0 is not valid"),
        ((3, 32, 32), "10", "num_classes='10' is not valid"),
    ],
)
def test_sizes_that_are_none_are_one_line(shape, classes, words):
    with pytest.raises(UserError) as error:
        build(frontend=Identity, normalization=nn.Identity(), head=nn.Flatten(), image_shape=shape, num_classes=classes)
    assert words in str(error.value)
