"""hybrid.analyse: any module, any images; layers are found, nothing of the model changes, mistakes are one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from hybrid.analysis import analyse
from hybrid.errors import UserError

QUICK = {"neighbours": 5, "pairs": 40, "pair_images": 32}


class Small(nn.Module):
    """A convolution, dropout and batch norm that would show if they were left in another mode."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        self.drop, self.classifier = nn.Dropout(0.5), nn.Linear(6, 4)

    def forward(self, images):
        return self.classifier(self.drop(self.relu(self.norm(self.conv(images)))).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 5, 3), nn.Linear(5, 4)

    def forward(self, images):
        return self.last(F.relu(self.second(F.relu(self.norm(self.first(images))))).mean((2, 3)))


class Gives(nn.Module):
    """A network whose output is made by `shape`."""

    def __init__(self, shape):
        super().__init__()
        self.relu, self.shape = nn.ReLU(), shape

    def forward(self, images):
        return self.shape(self.relu(images).flatten(1))


class Counted(Dataset):
    """(image, label) pairs, or images alone."""

    def __init__(self, images, labels=None):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index] if self.labels is None else (self.images[index], int(self.labels[index]))


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 4
    return torch.rand(60, 3, 8, 8, generator=generator) + 0.1 * labels.view(-1, 1, 1, 1), labels


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(1)
    return Small()


@pytest.fixture(scope="module")
def analysis(small, data):
    return analyse(small, *data, **QUICK)


def same(one, other):
    assert one.about == other.about and one.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(one.arrays[name], array) for name, array in other.arrays.items())


def test_tensors_arrays_loaders_and_data_sets_give_the_same(analysis, small, data):
    images, labels = data
    assert analysis.layers == ["pixels", "relu", "logits"] and analysis.problems == []
    assert analysis.about["model"] == "Small" and analysis.about["images"] == 60
    usual = {"contraction", "step", "classes", "spectra", "separation", "boundary"}
    assert {name.partition(".")[0] for name in analysis.table.columns if "." in name} == usual
    same(analyse(small, images.double().numpy(), labels.int().numpy(), **QUICK), analysis)
    same(analyse(small, images, labels.tolist(), **QUICK), analysis)
    same(analyse(small, TensorDataset(images, labels), **QUICK), analysis)
    same(analyse(small, Counted(images.numpy(), labels), **QUICK), analysis)
    loader = DataLoader(TensorDataset(images, labels, torch.zeros(60)), batch_size=64)
    same(analyse(small, loader, **QUICK), analysis)
    same(analyse(small, [(images, labels)], **QUICK), analysis)


def test_nothing_of_the_model_and_no_random_number_changes(data):
    network = Small().train()
    network.drop.eval()
    network.conv.weight.grad = torch.ones_like(network.conv.weight)
    calls = []
    handle = network.relu.register_forward_hook(lambda *_: calls.append(1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state, own_hooks = torch.get_rng_state(), list(network.relu._forward_hooks)
    loader = DataLoader(TensorDataset(*data), batch_size=16, shuffle=True)
    analyse(network, loader, measures=["contraction", "jacobian", "stability", "spectra"], stability=["noise"],
            jacobian_images=2, jacobian_iterations=3, stability_images=3, **QUICK)  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and network.norm.training and not network.drop.training
    assert torch.equal(network.conv.weight.grad, torch.ones_like(network.conv.weight))
    assert network.norm.weight.grad is None and list(network.relu._forward_hooks) == own_hooks and calls
    assert not any(module._forward_hooks for module in network.modules() if module is not network.relu)
    assert not any(module._forward_pre_hooks for module in network.modules())
    handle.remove()


def test_probes_are_tested_on_other_images(small, data):
    images, labels = data
    for test in ((images[40:], labels[40:]), DataLoader(TensorDataset(images[40:], labels[40:]), batch_size=7)):
        found = analyse(small, images[:40], labels[:40], test=test, probes=["1nn", "linear"], **QUICK)
        assert found.about["test_images"] == 20
        assert found.table["probe.1nn"].between(0, 100).all() and "probe.linear" in found.table


def test_images_without_labels_have_what_needs_none(small, data):
    images, _ = data
    for unlabelled in (images, Counted(images), DataLoader(TensorDataset(images), batch_size=10), [images]):
        found = analyse(small, unlabelled, **QUICK)
        columns = {name.partition(".")[0] for name in found.table.columns if "." in name}
        assert columns == {"contraction", "step", "spectra"} and "there are no labels" in found.problems[0]
        assert len(found.array("relu", "contraction.same")) == 0 and len(found.array("relu", "contraction.different"))
    with pytest.raises(UserError, match="the measure boundary needs labels"):
        analyse(small, images, measures=["boundary"])


def test_more_images_than_wanted_are_drawn_or_cut_off(small, data):
    images, labels = data
    drawn = [analyse(small, images, labels, max_images=40, seed=seed, **QUICK) for seed in (0, 0, 1)]
    assert [found.about["images"] for found in drawn] == [40] * 3
    same(drawn[0], drawn[1])
    assert drawn[0].rows() != drawn[2].rows()
    read = []
    batches = ((read.append(1), images[k : k + 20], labels[k : k + 20])[1:] for k in (0, 20, 40))
    found = analyse(small, batches, max_images=30, measures=["spectra"])
    assert found.about["images"] == 30 and len(read) == 2


def test_only_as_much_is_read_as_the_measures_want(small, data):
    images, labels = data
    read = []
    batches = ((read.append(1), images[k : k + 5], labels[k : k + 5])[1:] for k in range(0, 60, 5))
    found = analyse(small, batches, measures=["jacobian"], jacobian_images=8, jacobian_iterations=3)
    assert len(found.array("relu", "jacobian.values")) == 8 and len(read) <= 5


def test_preprocessing_stands_between_images_and_model(small, data):
    images, labels = data
    moved = analyse(small, images, labels, preprocessing=lambda x: (x - 0.5) / 0.2, **QUICK)
    plain = analyse(small, (images - 0.5) / 0.2, labels, **QUICK)
    for one, other in zip(moved.about["layers"], plain.about["layers"], strict=True):
        assert one["numbers"] == pytest.approx(other["numbers"], rel=1e-4)


def test_the_images_follow_the_model_to_its_number_type(data):
    found = analyse(Small().double(), *data, measures=["spectra"])
    assert found.layers == ["pixels", "relu", "logits"]


def test_functional_non_linearities_are_replaced_by_the_modules_with_weights(data):
    found = analyse(Functional(), *data, **QUICK)
    assert found.layers == ["pixels", "first", "second", "logits"]
    assert "Functional calls its non-linearities as functions" in found.problems[0]
    named = analyse(Functional(), *data, layers=["norm", "logits"], **QUICK)
    assert named.layers == ["norm", "logits"] and named.problems == []


@pytest.mark.parametrize(
    "shape",
    [
        lambda x: (x, 3), lambda x: [x, x], lambda x: {"logits": x, "loss": 0.0}, lambda x: {"aux": 1, "out": x},
    ],
)  # fmt: skip
def test_outputs_that_hold_the_logits(data, shape):
    found = analyse(Gives(shape), *data, **QUICK)
    assert found.layers == ["pixels", "relu", "logits"] and found.about["layers"][2]["dimension"] == 192


@pytest.mark.parametrize("shape", [lambda x: None, lambda x: {}, lambda x: x.sum(), lambda x: [{"boxes": x}]])
def test_outputs_without_logits_are_left_out_and_said(data, shape):
    found = analyse(Gives(shape), *data, **QUICK)
    assert found.layers == ["pixels", "relu"]
    assert "output of Gives is not a tensor with a row per image" in found.problems[0]


def test_a_torchvision_network(data):
    models = pytest.importorskip("torchvision").models
    images = F.interpolate(data[0], scale_factor=4)
    found = analyse(models.resnet18(num_classes=4), images, data[1], **QUICK)
    assert len(found.layers) == 1 + 17 + 1 and found.layers[1:4] == ["relu", "layer1.0.relu", "layer1.0.relu#2"]
    assert found.table.loc["layer4.1.relu#2", "dimension"] == 512 and found.problems == []
    blocks = analyse(models.resnet18(num_classes=4), images, data[1], layers=["layer4", "layer1"], **QUICK)
    assert blocks.layers == ["layer1", "layer4"]


def test_channels_that_come_last_are_not_averaged(data):
    """ConvNeXt and Swin compute on (N, H, W, C), but their first layers on (N, C, H, W)."""
    models = pytest.importorskip("torchvision").models
    images, labels = F.interpolate(data[0][:8], scale_factor=8), data[1][:8]
    taps = ["features.0.0", "features.1.0.block.4", "features.1", "features.2"]
    found = analyse(models.convnext_tiny(num_classes=4), images, labels, layers=taps, measures=["spectra"])
    assert [layer["dimension"] for layer in found.about["layers"]] == [96, 384, 96, 192]
    found = analyse(models.swin_t(num_classes=4), images, labels, layers=["features.1", "norm"], measures=["spectra"])
    assert [layer["dimension"] for layer in found.about["layers"]] == [96, 768]


def test_timm_networks(data):
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    images, labels = F.interpolate(data[0], scale_factor=4), data[1]
    found = analyse(timm.create_model("resnet18", num_classes=4), images, labels, **QUICK)
    assert found.layers[:3] == ["pixels", "act1", "layer1.0.act1"] and found.layers[-1] == "logits"
    transformer = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=4)
    found = analyse(transformer, images, labels, **QUICK)
    assert found.layers == ["pixels", *(f"blocks.{k}.mlp.act" for k in range(12)), "logits"]
    assert [layer["dimension"] for layer in found.about["layers"][1:13]] == [768] * 12
    named = {"layers": ["patch_embed", "blocks.0", "norm"], "jacobian_images": 2, "jacobian_iterations": 3}
    found = analyse(transformer, images, labels, measures=["classes", "jacobian"], **named)
    assert list(found.table["dimension"]) == [192] * 3 and found.table["jacobian.largest"].gt(0).all()


def test_a_compiled_network(small, data, analysis):
    same(analyse(torch.compile(small, backend="eager"), *data, **QUICK), analysis)


IMAGES, LABELS = torch.rand(12, 3, 8, 8), torch.arange(12) % 4


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None, IMAGES), {}, "analyse measures a torch.nn.Module, not a NoneType"),
        ((Small(), "photos"), {}, "images is a str; it can be a tensor, a NumPy array, a DataLoader or a Dataset"),
        ((Small(), 3), {}, "images is a int"),
        ((Small(), IMAGES.mul(255).byte(), LABELS), {}, "images must be floating-point.*got uint8"),
        ((Small(), IMAGES, LABELS[:5]), {}, "5 labels do not fit 12 samples"),
        ((Small(), IMAGES, LABELS.float()), {}, "labels must be integers"),
        ((Small(), [(IMAGES, LABELS)], LABELS), {}, "labels has no effect with a list"),
        ((Small(), [{"image": IMAGES}]), {}, r"a batch is a dict; it must be \(images, labels\)"),
        ((Small(), Counted([object()], [0])), {}, "an image of the data set is a object: give it a transform"),
        ((Small(), Counted([IMAGES[0], IMAGES[0, :, :4]])), {}, "images of the data set have different sizes"),
        ((Small(), IMAGES[:0]), {}, "no images to analyse"),
        ((Small(), IMAGES[:, :1], LABELS), {}, r"Small does not take images of shape \(1, 8, 8\): .*channels"),
        ((Small(), IMAGES, LABELS), {"layers": ["rleu"]}, "unknown layer of the model: rleu. Did you mean relu"),
        ((Small(), IMAGES, LABELS), {"measures": ["boundery"]}, "boundery. Did you mean boundary"),
        ((Small(), IMAGES, LABELS), {"neighbors": 3}, "unknown setting of the analysis: neighbors. Did you mean neighbours"),
        ((Small(), IMAGES, LABELS), {"classes": 3}, "unknown setting of the analysis: classes"),
        ((Small(), IMAGES, LABELS), {"measures": ["probes"]}, r"the measure probes needs test=\(images, labels\)"),
        ((Small(), IMAGES, LABELS), {"test": IMAGES}, "test has no effect: it needs labels"),
        ((Small(), IMAGES, LABELS), {"max_images": 2}, "max_images=2 is not valid"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, options, message):
    with pytest.raises(UserError, match=message) as error:
        analyse(*arguments, **options)
    assert "\n" not in str(error.value)


def test_the_pixels_are_all_pixels_of_an_image_and_not_its_mean_colour(small):
    """The nearest other digit in plain pixels has another label for 1 in 100; of mean greys it would be 9 in 10."""
    digits = load_digits()
    images, labels = (
        torch.tensor(digits.images, dtype=torch.float32)[:600, None] / 16,
        torch.tensor(digits.target)[:600],
    )
    wide = torch.nn.functional.interpolate(images, 24)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22 * 22, 10))
    found = analyse(network, wide, labels, measures=["boundary", "classes"], pixel_values=None)
    distances = torch.cdist(wide.flatten(1), wide.flatten(1)).fill_diagonal_(torch.inf)
    wrong = 100 * (labels[distances.argmin(1)] != labels).double().mean()
    assert found.table.loc["pixels", "boundary.nested_1"] == pytest.approx(wrong.item()) and wrong < 5
    assert found.table["vectors"].tolist() == ["flattened", "averaged", "flattened"]
    assert found.table["dimension"].tolist() == [576, 4, 10]
    words = found.in_words()
    assert f"boundary points (k = 1) {wrong:.3g} % in pixels (flattened), " in words and " % in logits; within" in words
    few = analyse(network, wide, labels, measures=["boundary"], pixel_values=64)
    assert few.table.loc["pixels", ["vectors", "dimension"]].tolist() == ["projected", 64]
    assert few.table.loc["pixels", "boundary.nested_1"] < 10


def test_images_of_one_class_say_what_they_leave_out(small, data):
    images, _ = data
    one = torch.zeros(len(images), dtype=torch.int64)
    with pytest.warns(UserWarning, match="all images are of one class: left out"):
        found = analyse(small, images, one, test=(images[:9], one[:9]), **QUICK)
    left_out = "left out is what compares classes (classes, separation, boundary, probes)"
    assert found.problems == [f"all images are of one class: {left_out}"] and "; 1 note in .problems" in repr(found)
    assert not {"boundary", "classes"} & {name.partition(".")[0] for name in found.table.columns}
    assert (
        "left out is what compares classes (classes, separation, boundary, probes)"
        in analyse(small, images).problems[0]
    )
