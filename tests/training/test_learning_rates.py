"""optimizer.lr=auto: a rate from which each head trains at once, at every size. scripts/measure_first_steps.py measures more."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import hybrid
from hybrid.configuration.composition import compose
from hybrid.models.cnn import CNN
from hybrid.models.dense import MLP, Linear
from hybrid.models.parts import learning_rate
from hybrid.models.regular_cnn import RegularCNN
from hybrid.models.sle import SharedLocalEncoder
from hybrid.models.torchvision_head import TorchvisionClassifier
from hybrid.models.wide_resnet import wide_resnet
from hybrid.objective.objective import Objective
from hybrid.training.optimizer import adamw, optimizer_from, sgd

SHAPE = (243, 8, 8)  # 32x32 colour images, J=2


def rates(head):
    model = torch.nn.Sequential(head)
    return [make(model, lr="auto").defaults["lr"] for make in (sgd, adamw)]


@pytest.mark.parametrize(
    ("head", "of_sgd", "of_adamw"),
    [
        (lambda: Linear(SHAPE, 10), 50 / 15552, 5 / 15552),
        (lambda: Linear((217, 16, 16), 10), 50 / 55552, 5 / 55552),
        (lambda: Linear((16, 2, 2), 10), 0.1, 0.001),
        (lambda: MLP(SHAPE, 10, hidden=(8, 8)), 500 / 15552, 0.001),
        (lambda: MLP(SHAPE, 10, hidden=(8,), batch_norm=True), 0.1, 0.001),
        (lambda: CNN(SHAPE, 10, widths=((8,), (8,))), 0.03, 0.001),
        (lambda: CNN((3, 32, 32), 10, widths=((8,),), hidden=(8,)), 0.01, 0.001),
        (lambda: SharedLocalEncoder(SHAPE, 10, encoder=(8,), hidden=(8,)), 0.01, 0.001),
        (lambda: wide_resnet(SHAPE, 10, k=1), 0.1, 0.001),
        (lambda: RegularCNN((3, 32, 32), 10), 0.25, 0.001),
        (lambda: TorchvisionClassifier((3, 32, 32), 10, name="squeezenet1_1"), 0.03, 0.001),
    ],
    ids=["linear", "linear64", "linear-few", "mlp", "mlp-norm", "cnn", "vgg", "sle", "wrn", "regular", "torchvision"],
)
def test_the_rate_that_suits_a_head(head, of_sgd, of_adamw):
    assert rates(head()) == pytest.approx([of_sgd, of_adamw])


@pytest.mark.parametrize(
    ("images", "of_wrn", "of_cnn"), [(512, 0.1, 0.03), (128, 0.1, 0.03), (64, 0.05, 0.015), (8, 0.00625, 0.001875)]
)
def test_fewer_images_in_a_step_have_a_lower_rate(images, of_wrn, of_cnn):
    for head, rate in ((wide_resnet(SHAPE, 10, k=1), of_wrn), (CNN(SHAPE, 10, widths=((8,), (8,))), of_cnn)):
        model = torch.nn.Sequential(head)
        assert learning_rate(model, images=images) == pytest.approx(rate)
        section = {"_target_": "hybrid.training.optimizer.sgd", "lr": "auto"}
        assert optimizer_from(section, model, images=images).defaults["lr"] == pytest.approx(rate)
        assert optimizer_from({**section, "lr": 0.2}, model, images=images).defaults["lr"] == 0.2
        assert (
            optimizer_from({**section, "_target_": "hybrid.training.optimizer.adamw"}, model, images=images).defaults[
                "lr"
            ]
            == 0.001
        )


def test_a_number_is_taken_as_it_is():
    model = torch.nn.Sequential(Linear(SHAPE, 10))
    assert learning_rate(model) < 0.01 and sgd(model, lr=0.5).defaults["lr"] == 0.5
    assert compose(["optimizer=adamw"]).optimizer.lr == compose([]).optimizer.lr == "auto"


@pytest.mark.parametrize("side", [8, 40])
@pytest.mark.parametrize("optimizer", [sgd, adamw])
def test_one_layer_trains_from_the_first_step_whatever_the_number_of_inputs(side, optimizer):
    """Normalised features with classes, and neighbours that are alike, as coefficients are."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 4
    coarse = torch.randn(4, 50, 2, 2, generator=generator)[labels] + torch.randn(40, 50, 2, 2, generator=generator)
    features = F.interpolate(coarse, size=(side, side))
    features = (features - features.mean((0, 2, 3), True)) / features.std((0, 2, 3), keepdim=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(Linear((50, side, side), 4))
    steps, losses = optimizer(model, lr="auto"), []
    for _ in range(40):
        loss = F.cross_entropy(model(features), labels)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert max(losses) < 1.3 * losses[0] and losses[-1] < 0.4, losses


NARROW = {
    "scat_linear": {}, "scat_mlp": {"hidden": [64]}, "scat_cnn": {"widths": [[32], [32]]},
    "scat_sle": {"encoder": [64], "hidden": [64]}, "scat_resnet": {"widths": [16, 32]}, "scat_wrn": {"k": 1},
    "wrn_16_8": {"k": 1}, "regular_cnn": {"width": 32}, "vgg16": {"widths": [[16, 16], [32, 32]], "hidden": [64]},
    "phase_collapse_real": {}, "learned_scatternet": {"width": 0.25}, "scattering_tree": {"width": 32},
    "separation_concentration": {"width": 0.1, "concentrate": "none", "atoms": []},
}  # fmt: skip
LARGER = ("scat_linear", "scat_resnet")


@pytest.mark.parametrize(("name", "side"), [*((name, 32) for name in NARROW), *((name, 128) for name in LARGER)])
def test_the_loss_falls_in_the_first_steps_and_never_leaps(name, side):
    """Textures of four orientations in noise; batches of 16, without a schedule."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 4
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    turned = torch.stack([torch.cos(a) * rows + torch.sin(a) * columns for a in torch.arange(4) * torch.pi / 4])
    images = torch.sin(turned * 0.8)[labels, None] + torch.randn(48, 3, side, side, generator=generator)
    torch.manual_seed(0)
    model = hybrid.build_model(name, image_shape=(3, side, side), num_classes=4, head=NARROW[name])
    with torch.no_grad():
        features = model.frontend(images)
        if model.needs_statistics:
            model.fit_normalization([features])
    rest = torch.nn.Sequential(model.normalization, model.head)
    steps, losses = sgd(rest, lr="auto", images=16), []
    for step in range(36):
        part = torch.arange(16) + 16 * (step % 3)
        loss = F.cross_entropy(rest(features[part]), labels[part])
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert max(losses) < 3 * losses[0] and sum(losses[-3:]) / 3 < 0.7 * losses[0], losses


@pytest.mark.parametrize("loss", [F.mse_loss, F.huber_loss], ids=["mse", "huber"])
@pytest.mark.parametrize("head", [Linear, lambda *shape: MLP(*shape, hidden=(64, 64))], ids=["linear", "mlp"])
def test_values_are_learnt_from_the_first_step(head, loss):
    """Standardised values, and normalised features that depend on them and are alike in one direction, as coefficients are."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 1, generator=generator)
    values = (values - values.mean()) / values.std()
    directions = torch.randn(2, 50, 1, 1, generator=generator)
    shared = torch.randn(64, 1, generator=generator)
    features = sum(part[:, :, None, None] * each for part, each in zip((values, shared), directions, strict=True))
    features = features + torch.randn(64, 50, 8, 8, generator=generator)
    features = (features - features.mean((0, 2, 3), True)) / features.std((0, 2, 3), keepdim=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(head((50, 8, 8), 1))
    section = {"_target_": "hybrid.training.optimizer.sgd", "lr": "auto"}
    steps, losses = optimizer_from(section, model, curvature=Objective(task="regression").curvature), []
    for _ in range(40):
        value = loss(model(features), values)
        steps.zero_grad()
        value.backward()
        steps.step()
        losses.append(value.item())
    assert max(losses) < 1.3 * losses[0] and losses[-1] < 0.3 * losses[0], losses


def test_the_loss_changes_the_rate_of_sgd_alone():
    """AdamW's steps do not grow with the loss; the rate for classes is the one that was measured."""
    model = torch.nn.Sequential(Linear(SHAPE, 1))
    values, classes = (Objective(task=task).curvature for task in ("regression", "classification"))
    of = {name: {"_target_": f"hybrid.training.optimizer.{name}", "lr": "auto"} for name in ("sgd", "adamw")}
    rate = {
        name: [optimizer_from(of[name], model, curvature=c).defaults["lr"] for c in (classes, values)] for name in of
    }
    assert rate["sgd"] == pytest.approx([50 / 15552, 2.5 / 15552])
    assert rate["adamw"] == pytest.approx([5 / 15552] * 2)


def test_a_run_says_its_rate_and_keeps_the_number(train, capsys):
    train("optimizer.lr=auto", "trainer.progress=lines", "trainer.duration=1 step")
    assert "learning rate 0.012 (optimizer.lr=auto" in capsys.readouterr().out
