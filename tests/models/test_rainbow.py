"""Rainbow resampling: alignment, the covariance of the rows that are drawn, and a network that can be compared."""

from __future__ import annotations

import pytest
import torch

from hybrid.errors import UserError
from hybrid.models import rainbow
from hybrid.models.wavelet_network import WaveletNetwork

SMALL = {
    "banks": ("half_octave", "half_octave_subsampled"),
    "widths": (6, 8),
    "projection": "real",
    "initial": "uniform",
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = WaveletNetwork((1, 8, 8), 3, **SMALL)
    for _ in range(60):
        network(torch.randn(60, 1, 8, 8))
    return network.eval()


def test_an_alignment_undoes_a_turn():
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    values = torch.randn(4, 50)
    torch.testing.assert_close(rainbow.alignment(values, turn @ values), turn.T, rtol=1e-4, atol=1e-5)


def test_without_new_weights_the_network_stays_what_it_is(network, monkeypatch):
    """The running statistics change alone: they are those of the images."""
    monkeypatch.setattr(rainbow, "_drawn", lambda projection, generator: projection.weight)
    images = torch.randn(300, 1, 8, 8)
    same = rainbow.resampled(network, images, torch.Generator())
    found, wanted = same(images), network(images)
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.97


def test_drawn_rows_have_the_covariance_of_the_trained_ones(network):
    weight = network.blocks[0].projection.weight.detach()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([rainbow._drawn(network.blocks[0].projection, generator) for _ in range(3000)]).detach()
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), weight.T @ weight / len(weight), rtol=0, atol=2e-3)


def test_a_resampled_network_is_another_one_and_the_given_one_stays(network):
    images, before = torch.randn(40, 1, 8, 8), {name: value.clone() for name, value in network.state_dict().items()}
    new = rainbow.resampled(network, images, torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not torch.equal(new.blocks[0].projection.weight, network.blocks[0].projection.weight)
    assert new(images).isfinite().all() and not new.training
    again = rainbow.resampled(network, images, torch.Generator().manual_seed(0))
    assert torch.equal(again(images), new(images))


def test_it_takes_real_maps_and_refuses_what_it_does_not_know():
    chosen = {"skip": False, "projection": "real"}
    for more in ({"normalize": "relu"}, {"nonlinearity": "phases"}):
        network = WaveletNetwork((1, 8, 8), 3, banks=("octave",), widths=(6,), **chosen, **more).eval()
        assert rainbow.resampled(network, torch.randn(9, 1, 8, 8), torch.Generator()).training is False
    with pytest.raises(UserError, match="projection=real"):
        rainbow.resampled(WaveletNetwork((1, 8, 8), 3, banks=("octave",), widths=(6,)), torch.randn(4, 1, 8, 8), None)
