from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hybrid.analysis.analyse import analyse
from hybrid.analysis.boundary import boundary_counts
from hybrid.analysis.features import Standardizer, collect
from hybrid.analysis.layers import layers_of
from hybrid.analysis.measuring import Abandoned
from hybrid.analysis.record import Record
from hybrid.analysis.settings import AnalysisSettings
from hybrid.errors import UserError
from hybrid.scattering import Scattering2D

EVERYTHING = AnalysisSettings(
    measures=[
        "contraction", "classes", "spectra", "separation", "boundary", "released_boundary", "probes", "jacobian",
        "stability",
    ],
    probes=["1nn", "linear"], neighbours=5, pairs=40, pair_images=30, jacobian_images=2, jacobian_iterations=5,
    stability=["translate", "noise"], stability_images=3,
)  # fmt: skip


class Network(nn.Module):
    """A scattering, a convolution, dropout and batch norm that would show if they were left in training mode."""

    def __init__(self, dead: bool = False) -> None:
        super().__init__()
        self.scattering = Scattering2D(1, (8, 8), L=2, max_order=1)
        self.conv, self.norm, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.drop, self.linear = nn.Dropout(0.5), nn.Linear(6, 3)
        if dead:
            nn.init.zeros_(self.norm.weight)

    def forward(self, images):
        maps = self.relu(self.norm(self.conv(self.scattering(images).flatten(1, 2))))
        return self.linear(self.drop(maps.mean((2, 3))))


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    pictures = torch.rand(60, 1, 8, 8, generator=generator) * 0.5 + labels.view(-1, 1, 1, 1) * 0.15
    return pictures, labels


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return Network()


@pytest.fixture(scope="module")
def report(network, images):
    pictures, labels = images
    return analyse(
        network,
        zip(pictures.split(20), labels.split(20), strict=True),
        sample=(pictures[:30], labels[:30]),
        test=[(pictures[40:], labels[40:])],
        settings=EVERYTHING,
    )


def test_every_layer_has_every_measure(report):
    assert [each.layer.name for each in report.layers] == ["pixels", "S0", "S1", "scattering", "relu", "logits"]
    assert report.images == 60 and report.test_images == 20 and report.problems == ()
    for each in report.layers:
        measured = (each.contraction, each.step, each.classes, each.spectra, each.separation, each.boundary)
        assert all(part is not None for part in (*measured, each.released_boundary, each.jacobian))
        assert set(each.probes) == {"1nn", "linear"}
    assert set(report.stability) == {"translate", "noise"}
    assert report.layers[0].contraction.same.allclose(torch.ones(1, dtype=torch.float64))
    assert report.layers[0].numbers()["jacobian.median"] == pytest.approx(1)


def test_the_numbers_are_those_of_the_functions_themselves(report, network, images):
    pictures, labels = images
    values = collect(network, [(pictures, labels)], layers_of(network, image_shape=(1, 8, 8))).values["relu"]
    counts = boundary_counts(Standardizer.fit(values)(values), labels, 5)
    assert report.layers[4].boundary.nested == counts.nested
    numbers = report.layers[4].numbers()
    assert numbers["boundary.nested_1"] == pytest.approx(100 * counts.nested[0] / 60)
    assert numbers["classes.ratio"] == pytest.approx(numbers["classes.within"] / numbers["classes.between"])


def test_steps_multiply_to_the_whole_contraction(report):
    """Pixels to relu = pixels to scattering times scattering to relu, pair by pair."""
    by_name = {each.layer.name: each for each in report.layers}
    product = by_name["scattering"].step.different * by_name["relu"].step.different
    torch.testing.assert_close(product, by_name["relu"].contraction.different)
    torch.testing.assert_close(by_name["S1"].step.same, by_name["S1"].contraction.same)


def test_the_model_and_the_random_generators_stay_as_they_were(images):
    pictures, labels = images
    network = Network()
    network.train()
    network.drop.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    analyse(network, [(pictures, labels)], sample=images, settings=EVERYTHING)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and network.norm.training and not network.drop.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_twice_the_same(report, network, images):
    pictures, labels = images
    again = analyse(
        network,
        [(pictures, labels)],
        sample=(pictures[:30], labels[:30]),
        test=[(pictures[40:], labels[40:])],
        settings=EVERYTHING,
    )
    for one, other in zip(report.layers, again.layers, strict=True):
        assert one.numbers() == pytest.approx(other.numbers(), rel=1e-4)  # the batches differ


def test_it_can_be_stopped_between_any_two_of_its_measurements(network, images):
    pictures, labels = images
    batches = [(pictures[:40], labels[:40]), (pictures[40:], labels[40:])]
    said: list[str] = []

    def questions(stop_at=None):
        """How often it asks whether to stop, until it ends or is told so; `said` is where it was."""
        asked = 0

        def should_stop():
            nonlocal asked
            asked += 1
            said.append("asked")
            return asked == stop_at

        said.clear()
        analyse(network, iter(batches), sample=(pictures[:30], labels[:30]), test=iter(batches), settings=EVERYTHING,
                say=said.append, should_stop=should_stop)  # fmt: skip
        return asked

    total = questions()
    layers, of_vectors, contractions = 6, 7, 2  # of vectors: neighbours, and 6 that each layer has
    assert total >= 2 * len(batches) + layers * (of_vectors + contractions + 1) + 2
    assert all("asked" in pair for pair in zip(said, said[1:], strict=False)), "something was begun without asking"
    for stop_at in (1, *range(2, total, 7), total):
        with pytest.raises(Abandoned):
            questions(stop_at)
        assert said.count("asked") == stop_at and said[-1] == "asked"


def test_what_training_cannot_change_is_taken_over_and_the_rest_measured_again(network, images):
    settings = AnalysisSettings(
        measures=["contraction", "classes", "spectra", "separation", "boundary", "probes"], neighbours=5, pair_images=30
    )
    pictures, labels = images
    trained = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    arguments = {"sample": (pictures, labels), "test": [(pictures[:20], labels[:20])], "settings": settings}
    before = analyse(network, [(pictures, labels)], **arguments)
    whole = analyse(trained, [(pictures, labels)], **arguments)
    found = analyse(trained, [(pictures, labels)], earlier=before, **arguments)
    for mine, other, old in zip(found.layers, whole.layers, before.layers, strict=True):
        assert mine.numbers() == other.numbers()
        assert (mine.separation is old.separation) == (mine.layer.name in ("pixels", "S0", "S1", "scattering"))
    with pytest.raises(ValueError, match="earlier report"):
        analyse(trained, [(pictures, labels)], earlier=before, settings=EVERYTHING)


def test_what_a_layer_does_not_allow_is_left_out_and_said(images):
    pictures, labels = images
    report = analyse(Network(dead=True).eval(), [(pictures, labels)], sample=images, settings=EVERYTHING)
    relu = next(each for each in report.layers if each.layer.name == "relu")
    assert relu.classes is None and relu.spectra is None and relu.boundary is not None
    assert any(problem.startswith("relu: classes: ") for problem in report.problems)
    assert report.layers[0].classes is not None


def test_bad_input_is_one_line(network, images):
    pictures, labels = images
    with pytest.raises(UserError, match="no images to analyse"):
        analyse(network, [])
    with pytest.raises(UserError, match=r"unknown layer of the model: rleu.*relu"):
        analyse(network, [(pictures, labels)], settings=AnalysisSettings(layers=["rleu"]))
    with pytest.raises(ValueError, match="NaN or infinite features for 1 of 60 images"):
        analyse(network, [(torch.cat([pictures[:-1], pictures[-1:] * torch.nan]), labels)])
    few = AnalysisSettings(measures=["boundary", "classes"], neighbours=30, images=None)
    report = analyse(network, [(pictures[:6], labels[:6])], settings=few)
    assert report.layers[0].boundary is None and report.layers[0].classes is not None
    assert (
        "a class has 2 images" in report.problems[0] and "pixels: neighbours: k=30 is not valid" in report.problems[1]
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"images": 0}, "analysis.images=0"),
        ({"neighbours": 0}, "analysis.neighbours=0"),
        ({"stability": ["wobble"]}, "wobble"),
        ({"measures": []}, "measures is empty"),
        ({"measures": ["probes"], "probes": []}, "probes is empty"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        AnalysisSettings(**setting)


def test_a_record_comes_back_from_the_disk_as_it_was(report, tmp_path):
    record = report.record(model="tiny", class_names=["a", "b", "c"])
    (tmp_path / "r.npz").write_bytes(record.to_bytes())
    again = Record.load(tmp_path / "r.npz")
    assert again.about == record.about and again.arrays.keys() == record.arrays.keys()
    assert all(np.array_equal(again.arrays[name], array) for name, array in record.arrays.items())
    assert again.rows()[4]["boundary.nested_1"] == report.layers[4].numbers()["boundary.nested_1"]
    assert again.array("relu", "boundary.nested").tolist() == list(report.layers[4].boundary.nested)
    assert again.array("relu", "stability.noise").shape == (len(report.stability["noise"].strengths),)


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no analysis"):
        Record.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "hostile.npz", about=np.array({"format": 1}, dtype=object))
    for name in ("text", "other", "hostile"):
        with pytest.raises(UserError, match=f"{name}.npz cannot be read as an analysis"):
            Record.load(tmp_path / f"{name}.npz")
