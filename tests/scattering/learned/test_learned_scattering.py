import copy
import functools
import math
import pickle

import numpy as np
import pytest
import torch

import hybrid
from hybrid import Scattering2D
from hybrid.scattering import ScatteringError, TorchScattering2D
from hybrid.scattering.learned.bounds import Interval
from hybrid.scattering.learned.morlet import Wavelets, morlet_spectra, quadratic_form, rotated

# By torch operations: tests/scattering/compiled/test_learned_engine.py compares compiled code with them.
LearnedScattering2D = functools.partial(hybrid.LearnedScattering2D, engine="torch")
FORMS = ("canonical", "equivariant", "pixelwise")


@pytest.mark.parametrize(("form", "count"), [("canonical", 64), ("equivariant", 8), ("pixelwise", 25_600)])
def test_before_training_it_is_the_fixed_transform(form, count):
    learned, fixed = LearnedScattering2D(2, (32, 32), form=form), TorchScattering2D(2, (32, 32))
    assert sum(parameter.numel() for parameter in learned.parameters()) == count
    assert learned.paths == fixed.paths and learned.output_shape == fixed.output_shape
    bank = torch.stack([torch.from_numpy(fixed.filter_bank().psi[j, 0]) for j in range(2)])
    torch.testing.assert_close(learned.filters().double(), bank, rtol=0, atol=1e-6)
    for dtype in (torch.float32, torch.float64):
        images = torch.rand(2, 3, 32, 32, dtype=dtype)
        torch.testing.assert_close(learned(images), fixed(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("J", "shape", "L", "max_order"), [(3, (24, 36), 3, 2), (1, (5, 4), 1, 2), (2, (9, 16), 8, 1)])
def test_other_sizes(J, shape, L, max_order):
    learned = LearnedScattering2D(J, shape, L, max_order=max_order)
    images = torch.rand(2, *shape)
    torch.testing.assert_close(learned(images), TorchScattering2D(J, shape, L, max_order)(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("theta", "width", "slant", "slope"), [(0.3, 0.8, 0.5, 5.854), (1.1, 1.6, 0.7, 0.0142)])
def test_the_slope_of_the_envelope_by_the_orientation(theta, width, slant, slope):
    """The authors' released code has 7.805 and .0279 here, because it forgets that the other axis turns, too."""
    values = [torch.tensor(number, dtype=torch.float64) for number in (theta, 1.0, width, slant)]
    wavelet = Wavelets(values[0].requires_grad_(), *values[1:])
    one, two = torch.tensor(1.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    quadratic_form(*rotated(one, two, wavelet.orientation), wavelet).backward()
    assert wavelet.orientation.grad.item() == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_slopes_of_the_spectra_are_finite_differences():
    values = [torch.tensor(pair, dtype=torch.float64).requires_grad_() for pair in
              ([0.3, -1.0], [2.2, 1.3], [0.8, 1.5], [0.5, 0.9])]  # fmt: skip
    assert torch.autograd.gradcheck(lambda *four: morlet_spectra((8, 6), Wavelets(*four)), values)


@pytest.mark.parametrize("form", FORMS)
def test_slopes_of_the_coefficients_are_finite_differences(form):
    torch.manual_seed(0)
    learned = LearnedScattering2D(2, (8, 8), 2, form=form).double()
    images = torch.rand(2, 8, 8, dtype=torch.float64)
    weights = torch.randn(2, *learned.output_shape, dtype=torch.float64)
    (learned(images) * weights).sum().backward()
    for parameter in learned.bank.parameters():
        step = 1e-6 * torch.randn_like(parameter)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                values.append((learned(images) * weights).sum())
                parameter -= sign * step
        expected = (values[0] - values[1]) / 2
        torch.testing.assert_close((parameter.grad * step).sum(), expected, rtol=1e-5, atol=1e-13)


@pytest.mark.parametrize("maps", [8, 3])
def test_slopes_in_pieces_are_those_of_the_plain_operations(monkeypatch, maps):
    torch.manual_seed(0)
    learned = LearnedScattering2D(3, (16, 20), 4).double()
    images = torch.rand(5, 16, 20, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(5, *learned.output_shape, dtype=torch.float64)
    inputs = [images, *learned.parameters()]
    plain = learned.engine.coefficients(images, learned._multipliers(images.dtype), 4)
    expected = torch.autograd.grad(plain, inputs, weights)
    monkeypatch.setattr("hybrid.scattering.torch_engine._CPU_PIECE", maps * math.prod(learned.padded_shape) * 32)
    for ours, theirs in zip(torch.autograd.grad(learned(images), inputs, weights), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_second_derivatives_reach_the_parameters():
    learned = LearnedScattering2D(1, (8, 8), 2).double()
    images = torch.rand(1, 8, 8, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(learned(images).square().sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in learned.parameters())


def test_equivariant_filters_turn_with_the_image():
    """A quarter turn of the image, which is square and periodic here, moves the L = 8 angles by four."""
    learned = LearnedScattering2D(2, (16, 16), form="equivariant")
    with torch.no_grad():
        learned.bank.orientation += 0.2
        learned.bank.width *= 1.1
    spectra = learned.filters()
    turned = torch.roll(spectra.rot90(1, (-2, -1)), 1, -2)  # about frequency 0
    torch.testing.assert_close(turned[:, 4:], spectra[:, :4], rtol=0, atol=1e-9)


def test_bounds_hold_whatever_the_step():
    learned = LearnedScattering2D(2, (16, 16))
    for step in (1e4, -2e4):
        with torch.no_grad():
            for parameter in learned.parameters():
                parameter += step
        assert (learned.width >= 0.5).all() and (learned.width <= 24).all()
        assert (learned.frequency >= 0).all() and (learned.frequency <= math.pi).all()
        assert (learned.slant >= 0.1).all() and (learned.slant <= 2).all()
        assert learned(torch.rand(1, 16, 16)).isfinite().all()


def test_without_bounds_the_parameters_are_the_physical_values():
    learned = LearnedScattering2D(2, (16, 16), bounds=False)
    with torch.no_grad():
        learned.bank.slant -= 3
    torch.testing.assert_close(learned.slant, torch.full((2, 8), -2.5, dtype=torch.float64))


def test_an_interval_is_the_identity_at_its_anchor():
    interval, anchor = Interval(0.5, 40.0), torch.tensor([0.8, 1.6], dtype=torch.float64)
    raw = anchor.clone().requires_grad_()
    interval.inside(raw, anchor).sum().backward()
    torch.testing.assert_close(raw.grad, torch.ones_like(raw))
    values = torch.tensor([3.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(interval.inside(interval.raw(values, anchor), anchor), values)


@pytest.mark.parametrize("bounds", [True, False])
def test_random_begins_from_the_seed(bounds):
    def drawn(seed, init="random"):
        torch.manual_seed(seed)
        return LearnedScattering2D(2, (32, 32), init=init, bounds=bounds)

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert torch.equal(first.filters(), again.filters()) and not torch.equal(first.filters(), other.filters())
    assert (first.frequency >= 0.499).all() and (first.frequency <= 1.001).all()
    assert (first.width >= 0.999).all() and (first.width <= 5.001).all() and first.width.median() > 3
    assert (first.slant >= 0.499).all() and (first.slant <= 1.501).all()
    angles = drawn(1, "random_orientation")
    torch.testing.assert_close(angles.width, LearnedScattering2D(2, (32, 32)).width)
    assert torch.equal(angles.orientation, first.orientation)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"form": "free"}, "unknown form 'free'; valid: canonical, equivariant, pixelwise"),
        ({"init": "zeros"}, "unknown init 'zeros'; valid: tight_frame, random, random_orientation"),
        ({"form": "pixelwise", "init": "random"}, "init=random has no effect with form=pixelwise"),
        ({"form": "pixelwise", "bounds": False}, "bounds=False has no effect with form=pixelwise"),
        ({"bounds": 1}, "bounds must be True or False, got 1"),
        ({"J": 5}, "J can be 1 to 4 here"),
    ],
)
def test_mistakes_are_one_line(settings, words):
    with pytest.raises(ScatteringError, match=words.replace("(", r"\(")) as caught:
        LearnedScattering2D(**{"J": 2, "shape": (16, 16), **settings})
    assert "\n" not in str(caught.value)


def test_pixelwise_has_no_widths():
    with pytest.raises(ScatteringError, match="form=pixelwise has no width"):
        _ = LearnedScattering2D(1, (8, 8), form="pixelwise").width


def test_images_of_any_type_and_none():
    learned = LearnedScattering2D(2, (16, 16), 4)
    images = torch.rand(2, 3, 16, 16)
    assert learned(images.half()).dtype == learned(images.bfloat16()).dtype == torch.float32
    assert learned(images.numpy()).dtype == np.float32
    assert learned(torch.empty(0, 3, 16, 16)).shape == (0, 3, *learned.output_shape)
    halved, expected = copy.deepcopy(learned).half(), learned(images)
    assert torch.equal(halved(images), expected) and halved.bank.width.dtype == torch.float32
    assert learned.double().bank.width.dtype == torch.float64


def test_it_is_copied_pickled_and_its_state_holds_the_parameters():
    learned = LearnedScattering2D(2, (16, 16), 4)
    with torch.no_grad():
        learned.bank.width += 0.3
    images = torch.rand(2, 16, 16)
    fresh = LearnedScattering2D(2, (16, 16), 4)
    fresh.load_state_dict(learned.state_dict())
    for twin in (fresh, copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
        assert torch.equal(twin(images), learned(images))
    assert set(learned.state_dict()) == {f"bank.{name}" for name in Wavelets._fields}


def test_its_filters_can_be_fixed():
    learned = LearnedScattering2D(3, (16, 16), 4)
    with torch.no_grad():
        learned.bank.width += 0.3
        learned.bank.orientation += 0.1
    fixed = TorchScattering2D(3, (16, 16), 4, bank=learned.own_filters())
    images = torch.rand(2, 16, 16)
    torch.testing.assert_close(fixed(images), learned(images), rtol=0, atol=1e-6)
    assert (fixed(images) - Scattering2D(3, (16, 16), 4, engine="torch")(images)).abs().max() > 1e-3


def test_a_graph_has_the_same_values_and_gradients():
    learned = LearnedScattering2D(2, (8, 8), 1)
    images = torch.rand(2, 8, 8)
    learned(images).square().sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in learned.named_parameters()}
    learned.zero_grad()
    torch._dynamo.reset()
    whole = torch.compile(learned, backend="aot_eager", fullgraph=True)
    coefficients = whole(images)
    torch.testing.assert_close(coefficients, learned(images), rtol=1e-5, atol=1e-6)
    coefficients.square().sum().backward()
    for name, parameter in learned.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5)
