"""One block: beside the released arrangement, equivariance, its layers one by one."""

from __future__ import annotations

import pytest
import torch
from released_wavelet_block import ReleasedBlock
from torch import nn

from hybrid.models.wavelet_block import BlockSettings, WaveletBlock
from hybrid.models.wavelet_layers import (
    Concentration,
    Modulus,
    Phases,
    PixelNorm,
    Projection,
    SoftThreshold,
    Standardize,
    parseval_step,
)

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def as_complex(maps):
    return torch.complex(maps[:, ::2].contiguous(), maps[:, 1::2].contiguous())


def as_pairs(maps):
    return torch.view_as_real(maps).movedim(-1, 2).flatten(1, 2)


def block(shape=(2, 8, 8), width=3, *, bank="half_octave_subsampled", complex_input=True, atoms=0, **settings):
    return WaveletBlock(
        shape, width, bank=bank, complex_input=complex_input, atoms=atoms, settings=BlockSettings(**settings)
    )


def complex_weight(own: WaveletBlock):
    """Of the projection, in the order of the released concatenation."""
    weight = own.projection.weight
    return weight if weight.dim() == 2 else torch.complex(*weight)


@pytest.mark.parametrize("projection", ["real", "complex"])
@pytest.mark.parametrize("bank", ["half_octave", "half_octave_subsampled"])
def test_a_block_is_the_released_one_with_its_gradients(bank, projection):
    own = block(bank=bank, projection=projection)
    theirs = ReleasedBlock(complex_weight(own).detach().clone(), bank=bank, L=4, side=8)
    maps = torch.randn(5, 4, 8, 8, requires_grad=True)
    complex_maps = as_complex(maps.detach()).requires_grad_()
    found, wanted = own(maps), theirs(complex_maps)
    torch.testing.assert_close(as_complex(found), wanted, rtol=1e-4, atol=2e-6)
    direction = torch.randn_like(found)
    (found * direction).sum().backward()
    (as_pairs(wanted) * direction).sum().backward()
    torch.testing.assert_close(maps.grad, as_pairs(complex_maps.grad), rtol=1e-3, atol=1e-5)
    wanted_gradient = theirs.weight.grad
    of_weight = own.projection.weight.grad
    of_weight = of_weight if projection == "real" else torch.complex(*of_weight)
    torch.testing.assert_close(of_weight, wanted_gradient, rtol=1e-3, atol=1e-5)


def test_a_first_block_takes_real_maps_as_complex_ones_without_imaginary_part():
    own, same = block(complex_input=False), block(complex_input=True)
    same.load_state_dict(own.state_dict())
    maps = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(
        own(maps), same(as_pairs(torch.complex(maps, torch.zeros_like(maps)))), rtol=1e-4, atol=1e-5
    )


def test_a_phase_of_the_input_turns_what_skips_and_leaves_the_moduli():
    own, maps = block().eval(), torch.randn(2, 4, 8, 8)
    turned = as_pairs(as_complex(maps) * torch.exp(torch.tensor(0.7j)))
    (kept, size), (kept_turned, size_turned) = (own._parts(own.wavelets(each)) for each in (maps, turned))
    torch.testing.assert_close(size_turned, size, rtol=1e-4, atol=1e-5)
    expected = as_complex(kept) * torch.exp(torch.tensor(0.7j))
    torch.testing.assert_close(as_complex(kept_turned), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "complex_input", "inputs"),
    [
        ({}, True, 2 * 2 * 5),
        ({"skip": False}, True, 2 * 5),
        ({"nonlinearity": "threshold"}, True, 2 * 2 * 5),
        ({"nonlinearity": "phases", "skip": False, "projection": "real", "L": 8}, False, 2 * 33),
        ({"normalize": "relu", "skip": False, "projection": "real", "L": 6}, False, 2 * 7),
    ],
    ids=str,
)
def test_the_channels_that_are_mixed(settings, complex_input, inputs):
    own = block(complex_input=complex_input, **settings)
    assert own.projection.weight.shape[-1] == inputs
    maps = torch.randn(2, 4 if complex_input else 2, 8, 8)
    assert own(maps).shape == (2, 3 * (1 + own.settings.complex_maps), 4, 4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonlinearity": "phases"}, "skip=true has no effect"),
        ({"nonlinearity": "phases", "skip": False}, "projection=real"),
        ({"normalize": "relu", "projection": "real"}, "skip=false"),
        ({"normalize": "relu", "nonlinearity": "threshold"}, "threshold gives complex maps"),
        ({"concentrate": "relu"}, "concentrate takes real maps"),
        ({"nonlinearity": "moduls"}, "Did you mean modulus"),
    ],
)
def test_settings_without_effect_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        BlockSettings(**settings)


def test_four_phases_give_back_the_coefficients():
    maps = torch.randn(2, 6, 3, 3)
    phases = Phases()(maps).unflatten(1, (3, 4))
    assert torch.equal((phases[:, :, :2] - phases[:, :, 2:]).flatten(1, 2), maps)


def test_the_modulus_has_gradient_0_at_0_both_ways_and_one_value():
    maps = torch.randn(1, 4, 2, 2, dtype=DOUBLE)
    maps[0, :2, 0, 0] = 0
    found = []
    for training in (True, False):
        own = maps.clone().requires_grad_()
        size = Modulus().train(training)(own)
        size.sum().backward()
        found += [size.detach(), own.grad]
    torch.testing.assert_close(found[0], as_complex(maps).abs())
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[3])
    assert (found[1][0, :2, 0, 0] == 0).all()


def test_the_soft_threshold_keeps_the_phase():
    layer = SoftThreshold(2)
    maps = torch.randn(3, 4, 5, 5)
    maps[0, :2, 0, 0] = 0
    found = as_complex(layer(maps)).detach()
    size = as_complex(maps).abs()
    torch.testing.assert_close(found.abs(), (size - 0.1).relu())
    kept = found.abs() > 0
    torch.testing.assert_close((found / as_complex(maps))[kept].imag, torch.zeros(int(kept.sum())), rtol=0, atol=1e-6)


def test_a_pixel_has_norm_1_and_a_blank_one_has_a_gradient():
    maps = torch.randn(2, 4, 3, 3)
    maps[0, :, 0, 0] = 0
    maps.requires_grad_()
    norms = PixelNorm()(maps).square().sum(1)
    norms.sum().backward()
    assert norms[0, 0, 0].item() == 0 and norms[0, 0, 1].item() == pytest.approx(1, abs=1e-5)
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize(
    ("complex_channels", "real_channels", "weights"), [(3, 2, "real"), (3, 2, "complex"), (0, 4, "real")], ids=str
)
def test_the_gradient_goes_through_the_statistics_of_the_batch(complex_channels, real_channels, weights):
    norm = Standardize(complex_channels, real_channels).double()
    projection = Projection(
        complex_channels, real_channels, 2, weights=weights, complex_output=complex_channels > 0
    ).double()
    maps = [
        torch.randn(2, count, 2, 2, dtype=DOUBLE, requires_grad=True)
        for count in (2 * complex_channels, real_channels)
        if count
    ]

    def mixed(weight, *maps):
        changed = {"weight": weight}
        return torch.func.functional_call(projection, changed, (norm(*maps), *maps), {"of_batch": norm.of_batch})

    assert torch.autograd.gradcheck(mixed, (projection.weight, *maps))


def test_standardizing_commutes_with_a_phase_and_evaluation_knows_no_batch():
    norm, maps = Standardize(2, 0), torch.randn(6, 4, 3, 3) + 0.5
    turned = as_pairs(as_complex(maps) * torch.exp(torch.tensor(1j)))
    (mean, scale), (turned_mean, turned_scale) = norm(maps)[0], norm(turned)[0]
    torch.testing.assert_close(scale, turned_scale)
    expected = torch.view_as_complex(mean.view(2, 2)) * torch.exp(torch.tensor(1j))
    torch.testing.assert_close(torch.view_as_complex(turned_mean.view(2, 2)), expected)
    assert int(norm.num_batches_tracked) == 2
    norm.eval()
    assert torch.equal(norm(maps), norm(maps[:1]))
    fresh = Standardize(2, 0, momentum=1.0)
    fresh(maps)
    assert torch.allclose(fresh.running_var, maps.transpose(0, 1).flatten(1).var(1), rtol=1e-4)


def test_evaluation_and_training_are_one_formula():
    own = block(projection="complex")
    maps = torch.randn(4, 4, 8, 8)
    own.norm.momentum = 1.0
    trained = own(maps)
    count = 4 * 4 * 4
    own.norm.running_var.mul_((count - 1) / count)
    torch.testing.assert_close(own.eval()(maps), trained, rtol=1e-4, atol=1e-5)


def test_two_ranks_with_halves_of_a_batch_are_one_with_all_of_it():
    own, maps = block(projection="complex").double(), torch.randn(2, 4, 8, 8, dtype=DOUBLE)
    found = []
    for images in (torch.cat([maps, maps]), maps):
        images = images.clone().requires_grad_()
        result = own(images)
        result.pow(3).sum().backward()
        found.append((result[:2].detach(), images.grad[:2], own.norm.running_var.clone()))
        own.norm.reset_running_stats()
        own.norm.synchronize(lambda sums: 2 * sums)  # the other rank has the same images
    for whole, half in zip(*found, strict=True):
        torch.testing.assert_close(whole, half)


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 7), (7, 3)])
def test_initial_mixtures_are_unitary_or_orthogonal(outputs, inputs):
    real = Projection(0, inputs, outputs, complex_output=False).weight
    both = torch.complex(*Projection(inputs, 0, outputs, weights="complex").weight)
    for weight in (real, both):
        small = weight @ weight.mH if outputs < inputs else weight.mH @ weight
        torch.testing.assert_close(small, torch.eye(3, dtype=weight.dtype), rtol=0, atol=1e-5)
    uniform = Projection(0, 400, outputs, complex_output=False, initial="uniform").weight
    assert 0.045 < uniform.abs().max() <= 0.05


def test_a_tight_frame_without_threshold_is_the_identity_and_atoms_have_their_norm():
    layer = Concentration(4, 16, form="threshold")
    torch.testing.assert_close(layer.frame().norm(dim=1), torch.full((16,), 0.5))
    assert Concentration(4, 2, form="relu").frame().norm(dim=1).tolist() == pytest.approx([1, 1])
    with torch.no_grad():  # 16 atoms of one norm that are tight: a Hadamard matrix's columns
        two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        hadamard = torch.kron(torch.kron(two, two), torch.kron(two, two))
        layer.weight.copy_(hadamard[:, :4])
    layer.rho = nn.Identity()
    maps = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(layer(maps), maps, rtol=1e-4, atol=1e-5)


def test_a_parseval_step_goes_towards_singular_values_of_1():
    left, _, right = torch.linalg.svd(torch.randn(3, 5), full_matrices=False)
    for shape in (right, right.T):
        tight = shape.clone()
        parseval_step(tight)
        torch.testing.assert_close(tight, shape, rtol=0, atol=1e-6)
    weight = left @ torch.diag(torch.tensor([0.9, 1.0, 1.1])) @ right
    parseval_step(weight, beta=0.1)
    found = torch.linalg.svdvals(weight).sort().values
    torch.testing.assert_close(found, torch.tensor([0.9171, 1.0, 1.0769]), rtol=0, atol=1e-4)
