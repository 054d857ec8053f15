"""Channel numbers against the outputs: which wavelet answers which wave."""

from __future__ import annotations

import math

import pytest
import torch

from hybrid.scattering import Path, TorchScattering2D, pyscatwave_order, scattering_paths
from hybrid.scattering.filters import angle, centre_frequency


@pytest.mark.parametrize(
    ("J", "L", "order", "count"), [(2, 8, 2, 81), (3, 8, 2, 217), (4, 8, 2, 417), (2, 8, 1, 17), (1, 6, 2, 7)]
)
def test_count_and_order(J, L, order, count):
    paths = scattering_paths(J, L, order)
    assert len(paths) == len(set(paths)) == count
    assert paths[0] == Path(0, None, None, None, None)
    assert list(paths[1 : 1 + J * L]) == [Path(1, j, t, None, None) for j in range(J) for t in range(L)]
    second = [path[1:] for path in paths[1 + J * L :]]
    assert second == sorted(second) and all(j2 > j1 for j1, _, j2, _ in second)


def wave(shape, frequency, alpha):
    r, c = (torch.arange(n, dtype=torch.float64) for n in shape)
    return torch.cos(frequency * (r[:, None] * math.cos(alpha) + c[None, :] * math.sin(alpha)))


@pytest.mark.parametrize("L", [4, 6, 8])
def test_a_sinusoid_answers_most_in_its_own_path(L):
    scattering = TorchScattering2D(3, (64, 96), L, 1)
    for j in range(3):
        for theta in range(L):
            values = scattering(wave((64, 96), centre_frequency(j), angle(theta, L)))
            strongest = values[1:].mean((1, 2)).argmax().item() + 1
            assert scattering.paths[strongest] == Path(1, j, theta)


@pytest.mark.parametrize(("theta1", "theta2"), [(0, 5), (3, 3), (7, 2)])
def test_a_modulated_sinusoid_answers_most_in_its_second_order_path(theta1, theta2):
    """A fast wave whose amplitude is a slow wave: the modulus of the first wavelet gives the slow one to the second."""
    scattering = TorchScattering2D(4, (96, 96))
    carrier, envelope = (
        wave((96, 96), centre_frequency(0), angle(theta1)),
        wave((96, 96), centre_frequency(3), angle(theta2)),
    )
    values = scattering((1 + 0.5 * envelope) * carrier)
    second = [n for n, path in enumerate(scattering.paths) if path.order == 2]
    strongest = second[values[second].mean((1, 2)).argmax().item()]
    assert scattering.paths[strongest] == Path(2, 0, theta1, 3, theta2)


@pytest.mark.parametrize(("J", "L", "max_order"), [(2, 2, 2), (3, 8, 2), (4, 3, 2), (2, 8, 1), (1, 8, 2)])
def test_pyscatwaves_order_follows_its_loops(J, L, max_order):
    """Its transform computes and stores: for each first wavelet its first order, then all second orders of a larger j."""
    theirs = [Path(0)]
    for j1 in range(J):
        for theta1 in range(L):
            theirs.append(Path(1, j1, theta1))
            if max_order == 2:
                theirs += [Path(2, j1, theta1, j2, theta2) for j2 in range(j1 + 1, J) for theta2 in range(L)]
    ours = scattering_paths(J, L, max_order)
    assert [ours[number] for number in pyscatwave_order(J, L, max_order)] == theirs
