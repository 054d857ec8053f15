from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hybrid.analysis.batches import Images, analyse_batches
from hybrid.analysis.boundary import boundary_counts
from hybrid.analysis.features import Standardizer, collect
from hybrid.analysis.layers import layers_of
from hybrid.analysis.measurements import Abandoned, Host
from hybrid.analysis.settings import AnalysisSettings
from hybrid.errors import UserError
from hybrid.scattering import TorchScattering2D

EVERYTHING = AnalysisSettings(
    measures=[
        "contraction", "classes", "spectra", "separation", "boundary", "released_boundary", "probes", "jacobian",
        "stability", "rotation", "shift_consistency",
    ],
    probes=["1nn", "linear"], neighbours=5, pairs=40, pair_images=30, jacobian_images=2, jacobian_iterations=5,
    stability=["translate", "noise"], stability_images=3,
)  # fmt: skip


class Network(nn.Module):
    """A scattering, a convolution, dropout and batch norm that would show if they were left in training mode."""

    def __init__(self, dead: bool = False) -> None:
        super().__init__()
        self.scattering = TorchScattering2D(1, (8, 8), L=2, max_order=1)
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


def batches(images, *sizes):
    pictures, labels = images
    return list(zip(pictures.split(sizes or 60), labels.split(sizes or 60), strict=True))


def every(images, train=None, **more):
    """All sixty images in one batch, the first thirty as they are, the last twenty for the probes."""
    pictures, labels = images
    parts = {"test": [(pictures[40:], labels[40:])], "sample": lambda: (pictures[:30], labels[:30])} | more
    return Images(train=train or batches(images), **parts)


@pytest.fixture(scope="module")
def analysis(network, images):
    return analyse_batches(network, every(images, batches(images, 20, 20, 20)), EVERYTHING)


def test_every_layer_has_every_measure(analysis):
    assert analysis.layers == ["pixels", "S0", "S1", "scattering", "relu", "logits"]
    assert analysis.about["images"] == 60 and analysis.about["test_images"] == 20 and analysis.problems == []
    measures = {"contraction", "step", "classes", "spectra", "separation", "boundary", "probe", "jacobian", "rotation"}
    for row in analysis.rows():
        own = measures | ({"shift_consistency"} if row["layer"] == "logits" else set())
        assert {name.partition(".")[0] for name in row if "." in name} == own
        assert {"probe.1nn", "probe.linear"} < set(row)
        kept = {name.partition(".")[0] for name in analysis.arrays_of(row["layer"])}
        assert kept == own - {"probe"} | {"stability"}
        assert analysis.array(row["layer"], "boundary.released") is not None
    assert set(analysis.about["stability"]) == {"translate", "noise"}
    assert np.allclose(analysis.array("pixels", "contraction.same"), 1)
    assert analysis.rows()[0]["jacobian.median"] == pytest.approx(1)


def test_the_numbers_are_those_of_the_functions_themselves(analysis, network, images):
    pictures, labels = images
    values = collect(network, [(pictures, labels)], layers_of(network, image_shape=(1, 8, 8))).values["relu"]
    counts = boundary_counts(Standardizer.fit(values)(values), labels, 5)
    assert analysis.array("relu", "boundary.nested").tolist() == list(counts.nested)
    numbers = analysis.rows()[4]
    assert numbers["boundary.nested_1"] == pytest.approx(100 * counts.nested[0] / 60)
    assert numbers["classes.ratio"] == pytest.approx(numbers["classes.within"] / numbers["classes.between"])


def test_steps_multiply_to_the_whole_contraction(analysis):
    """Pixels to relu = pixels to scattering times scattering to relu, pair by pair."""
    product = analysis.array("scattering", "step.different") * analysis.array("relu", "step.different")
    np.testing.assert_allclose(product, analysis.array("relu", "contraction.different"), rtol=1e-6)
    np.testing.assert_array_equal(analysis.array("S1", "step.same"), analysis.array("S1", "contraction.same"))


def test_the_model_and_the_random_generators_stay_as_they_were(images):
    network = Network()
    network.train()
    network.drop.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    analyse_batches(network, every(images), EVERYTHING)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and network.norm.training and not network.drop.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_twice_the_same(analysis, network, images):
    again = analyse_batches(network, every(images), EVERYTHING)
    for one, other in zip(analysis.about["layers"], again.about["layers"], strict=True):
        assert one["numbers"] == pytest.approx(other["numbers"], rel=1e-4)  # the batches differ


def test_it_can_be_stopped_between_any_two_of_its_measurements(network, images):
    parts = batches(images, 40, 20)
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
        host = Host(say=said.append, should_stop=should_stop)
        analyse_batches(network, every(images, iter(parts), test=iter(parts)), EVERYTHING, host=host)
        return asked

    total = questions()
    layers, of_vectors, contractions = 6, 7, 2  # of vectors: neighbours, and 6 that each layer has
    assert total >= 2 * len(parts) + layers * (of_vectors + contractions + 1) + 2
    assert all("asked" in pair for pair in zip(said, said[1:], strict=False)), "something was begun without asking"
    for stop_at in (1, *range(2, total, 7), total):
        with pytest.raises(Abandoned):
            questions(stop_at)
        assert said.count("asked") == stop_at and said[-1] == "asked"


def test_what_training_cannot_change_is_taken_over_and_the_rest_measured_again(network, images):
    settings = AnalysisSettings(
        measures=["contraction", "classes", "spectra", "separation", "boundary", "probes"], neighbours=5, pair_images=30
    )
    trained = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    before = analyse_batches(network, every(images), settings)
    whole = analyse_batches(trained, every(images), settings)
    said: list[str] = []
    found = analyse_batches(trained, every(images), settings, earlier=before, host=Host(say=said.append))
    assert found.about == whole.about and found.arrays.keys() == whole.arrays.keys()
    assert all(np.array_equal(found.arrays[name], array) for name, array in whole.arrays.items())
    measured = [line.removeprefix("classes and neighbours in ") for line in said if line.startswith("classes")]
    assert measured == ["relu", "logits"]
    with pytest.raises(ValueError, match="earlier analysis"):
        analyse_batches(trained, every(images), EVERYTHING, earlier=before)


def test_what_a_layer_does_not_allow_is_left_out_and_said(images):
    analysis = analyse_batches(Network(dead=True).eval(), every(images, test=None), EVERYTHING)
    relu = analysis.rows()[4]
    assert "classes.ratio" not in relu and "spectra.effective_rank" not in relu and "boundary.nested_1" in relu
    assert any(problem.startswith("relu: classes: ") for problem in analysis.problems)
    assert "classes.ratio" in analysis.rows()[0]
    assert analysis.table.loc["relu"].isna()["classes.ratio"]


def test_bad_input_is_one_line(network, images):
    pictures, labels = images
    usual = AnalysisSettings()
    with pytest.raises(UserError, match="no images to analyse"):
        analyse_batches(network, Images(train=[]), usual)
    with pytest.raises(UserError, match=r"unknown layer of the model: rleu.*relu"):
        analyse_batches(network, every(images), AnalysisSettings(layers=["rleu"]))
    with pytest.raises(ValueError, match="features must be finite: 1 of 60 samples"):
        spoilt = torch.cat([pictures[:-1], pictures[-1:] * torch.nan])
        analyse_batches(network, Images(train=[(spoilt, labels)]), usual)
    few = AnalysisSettings(measures=["boundary", "classes"], neighbours=30, images=None)
    analysis = analyse_batches(network, Images(train=[(pictures[:6], labels[:6])]), few)
    assert "boundary.nested_1" not in analysis.rows()[0] and "classes.ratio" in analysis.rows()[0]
    assert "a class has 2 images" in analysis.problems[0]
    assert "pixels: neighbours: k=30 is not valid" in analysis.problems[1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"images": 0}, "analysis.images=0"),
        ({"neighbours": 0}, "analysis.neighbours=0"),
        ({"stability": ["wobble"]}, "wobble"),
        ({"measures": []}, "measures is empty"),
        ({"measures": ["probes"], "probes": []}, "probes is empty"),
        ({"measures": ["boundery"]}, "boundery. Did you mean boundary"),
        ({"measures": "boundary"}, "a list of names"),
        ({"probes": ["2nn"]}, "2nn"),
        ({"pooling": "max"}, "analysis.pooling: max"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        AnalysisSettings(**setting)
