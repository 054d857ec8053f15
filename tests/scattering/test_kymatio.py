"""Against kymatio 0.3.0. Its own float32 is up to 2.3e-6 off on the worst channel, so values are compared with it in float64."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.filters import morlet_bank
from hybrid.scattering.kymatio_engine import KymatioEngine
from hybrid.scattering.torch_engine import TorchEngine

pytest.importorskip("kymatio")
IMAGES = ["noise", "smooth", "constant", "photo", "cifar"]

# Building kymatio's filters takes most of the time, so the default run has one setting of each kind.
FEW = [
    ((28, 28), 2, 8),
    ((32, 32), 2, 8),
    ((32, 32), 5, 4),
    ((33, 47), 3, 6),
    ((64, 96), 1, 8),
    ((64, 96), 4, 4),
    ((96, 96), 3, 6),
    ((224, 224), 2, 4),
]
ANGLES = (4, 6, 8)
MANY = [
    *[(shape, J, L) for shape in [(28, 28), (32, 32), (33, 47)] for J in range(1, 6) for L in ANGLES],
    *[(shape, J, ANGLES[(J + row) % 3]) for row, shape in enumerate([(64, 96), (96, 96)]) for J in range(1, 6)],
    *[((224, 224), J, 8) for J in range(1, 6)],
]
MANY = [setting for setting in MANY if min(setting[0]) >= 2 ** setting[1]]


@functools.cache
def kymatio(shape, J, L):
    return Scattering2D(J, shape, L, engine="kymatio")


def check(shape, J, L, make_images, channel_error):
    reference = kymatio(shape, J, L)
    # The widest of its filters, in single precision, are that far from ours: 1.1e-6 at J = 5 before any arithmetic of images.
    largest = 1e-6 if J < 5 else 1.3e-6
    for order in (1, 2):
        scattering = TorchScattering2D(J, shape, L, order)
        for kind in [image for image in IMAGES if image != "cifar"]:
            images = make_images(kind, shape).float()
            expected = reference(images.double())[:, : len(scattering.paths)]  # its order 1 is a prefix: tested below
            values = scattering(images)
            assert channel_error(values, expected) <= largest, (order, kind)
            assert (values - expected).norm() <= 3e-7 * expected.norm(), (order, kind)


@pytest.mark.parametrize(("shape", "J", "L"), FEW)
def test_equal_to_kymatio(shape, J, L, make_images, channel_error):
    check(shape, J, L, make_images, channel_error)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "J", "L"), MANY)
def test_equal_to_kymatio_everywhere(shape, J, L, make_images, channel_error):
    check(shape, J, L, make_images, channel_error)


@pytest.mark.parametrize("J", [2, 3])
def test_equal_to_kymatio_on_cifar(J, make_images, channel_error):
    images = make_images("cifar", (32, 32)).float()
    assert channel_error(TorchScattering2D(J, (32, 32))(images), kymatio((32, 32), J, 8)(images)) <= 2e-6


def test_kymatio_order_one_is_a_prefix(make_images):
    images = make_images("photo", (28, 28)).float()
    first = Scattering2D(2, (28, 28), 4, 1, engine="kymatio")(images)
    assert torch.equal(first, Scattering2D(2, (28, 28), 4, engine="kymatio")(images)[:, :9])


def test_pre_padded_images(make_images, channel_error):
    images = make_images("photo", (40, 48)).float()
    ours = TorchScattering2D(2, (33, 40), 4, pre_pad=True)
    reference = Scattering2D(2, (33, 40), 4, pre_pad=True, engine="kymatio")
    assert ours.padded_shape == (40, 48)
    assert channel_error(ours(images), reference(images)) <= 2e-6
    with pytest.raises(ValueError, match=r"\(\.\.\., 40, 48\).*pre_pad"):
        ours(images[..., :33, :40])


def test_gradient_equals_kymatio(make_images):
    images = make_images("photo", (32, 32)).float().requires_grad_()
    weights = torch.randn(81, 8, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = (
        torch.autograd.grad((engine(images) * weights).sum(), images)[0]
        for engine in (TorchScattering2D(2, (32, 32)), kymatio((32, 32), 2, 8))
    )
    # looser than the values: where a modulus is small, its gradient z / |z| is rounding-sensitive
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_single_precision_filters_are_kymatios():
    """The float32 bank makes kymatio's roundings: equal to a few units in the last place of the maximum."""
    engine = kymatio((32, 32), 5, 4).engine.kymatio
    bank = morlet_bank(5, (96, 96), 4, dtype=np.float32)
    for n, psi in enumerate(engine.psi):
        for level, spectrum in enumerate(psi["levels"][: max(psi["j"], 1)]):
            assert abs(bank.psi[psi["j"], level][n % 4] - spectrum).max() <= 3e-7


def test_the_engine_is_chosen_by_name(make_images, channel_error):
    images = make_images("photo", (28, 28)).float()
    ours, theirs = (Scattering2D(2, (28, 28), 4, 1, engine=name) for name in ("torch", "kymatio"))
    assert type(ours.engine) is TorchEngine and type(theirs.engine) is KymatioEngine
    assert ours.paths == theirs.paths and ours.output_shape == theirs.output_shape == (9, 7, 7)
    assert channel_error(ours(images), theirs(images)) <= 2e-6
    with pytest.raises(ValueError, match="'gpu'; valid: auto, torch, cpu, cuda, kymatio"):
        Scattering2D(2, (28, 28), engine="gpu")
