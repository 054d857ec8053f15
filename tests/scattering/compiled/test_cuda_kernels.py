"""The CUDA kernels' arithmetic, run on the CPU: held to the same errors as the CPU engine."""

from __future__ import annotations

import pytest
import torch

from hybrid.scattering import TorchScattering2D
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.check import check
from hybrid.scattering.compiled.cpu.compiler import find_compiler
from hybrid.scattering.compiled.cuda import kernels
from hybrid.scattering.compiled.cuda.kernels import choose_schedule
from hybrid.scattering.geometry import Settings

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

SMALL = Settings(2, (28, 28), 8, 2, False)
TWO_PASSES = Settings(3, (96, 96), 2, 2, False)  # 112 and 56 numbers a line, shared by a team's warps, and 28
MANY = [
    Settings(1, (2, 3), 3, 2, False),
    Settings(1, (33, 47), 8, 1, False),
    Settings(4, (32, 32), 4, 2, False),
    Settings(3, (33, 47), 3, 2, False),
    Settings(2, (64, 96), 2, 2, False),
    Settings(1, (92, 50), 2, 1, False),  # lines of 94 = 47 · 2 numbers
    Settings(3, (224, 224), 1, 2, False),
    Settings(1, (126, 62), 1, 1, False),  # lines of 128 and 64: two passes with twiddle factors
]


def gradient(settings, images, weights):
    engine = TorchScattering2D(settings.J, settings.shape, settings.L, settings.max_order, boundary=settings.boundary)
    leaf = images.double().requires_grad_()
    return torch.autograd.grad((engine(leaf) * weights.double()).sum(), leaf)[0]


def check_values(on_cpu, settings, batch, channel_error, exact, **options):
    images = torch.rand(batch, *settings.shape)
    values = on_cpu(settings, **options).forward(images)
    reference = exact(images, settings.J, settings.shape, settings.L, settings.max_order)
    assert values.dtype == torch.float32
    assert (values - reference).norm() <= 3e-7 * reference.norm()
    assert channel_error(values, reference) <= 1e-6


def check_gradient(on_cpu, settings, batch, **options):
    images, weights = torch.rand(batch, *settings.input_shape), torch.randn(batch, *settings.output_shape)
    expected = gradient(settings, images, weights)
    result = on_cpu(settings, "backward", **options).backward(images, weights)
    assert (result - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("batch", [1, 33])
def test_values(on_cpu, batch, channel_error, exact):
    check_values(on_cpu, SMALL, batch, channel_error, exact)


@pytest.mark.parametrize("backwards", [False, True])
def test_values_of_long_lines_whichever_warp_comes_first(on_cpu, backwards, channel_error, exact):
    check_values(on_cpu, TWO_PASSES, 2, channel_error, exact, backwards=backwards)


@pytest.mark.parametrize("batch", [1, 33])
def test_gradient(on_cpu, batch):
    check_gradient(on_cpu, SMALL, batch)


@pytest.mark.parametrize("backwards", [False, True])
def test_gradient_of_long_lines_whichever_warp_comes_first(on_cpu, backwards):
    check_gradient(on_cpu, TWO_PASSES, 1, backwards=backwards)


@pytest.mark.slow
@pytest.mark.parametrize("settings", MANY, ids=str)
def test_values_and_gradients_everywhere(on_cpu, settings, channel_error, exact):
    check_values(on_cpu, settings, 2, channel_error, exact)
    check_gradient(on_cpu, settings, 2)


@pytest.mark.slow
def test_a_team_that_does_not_wait_is_noticed(on_cpu, cuda_on_cpu, monkeypatch, channel_error, exact):
    """Of the test itself: every wait left out gives wrong values in one of the two orders of warps."""
    source = cuda_on_cpu.cuda_source
    wait = "team.meet();\n    for (int k1"  # between the two passes of a transform
    monkeypatch.setattr(
        cuda_on_cpu, "cuda_source", lambda *a, **k: source(*a, **k).replace(wait, wait.partition("\n")[2])
    )
    with pytest.raises(AssertionError):
        check_values(on_cpu, TWO_PASSES, 1, channel_error, exact)


def test_pre_padded_images(on_cpu, channel_error):
    settings = Settings(2, (28, 28), 4, 2, True)
    images = torch.rand(3, 36, 36)
    expected = TorchScattering2D(2, (28, 28), 4, pre_pad=True)(images.double())
    assert channel_error(on_cpu(settings).forward(images), expected) <= 2e-6
    check_gradient(on_cpu, settings, 3)


def test_periodic_images(on_cpu, channel_error):
    settings = Settings(2, (12, 8), 2, 2, periodic=True)
    images = torch.rand(3, 12, 8)
    expected = TorchScattering2D(2, (12, 8), 2, boundary="periodic")(images.double())
    assert channel_error(on_cpu(settings).forward(images), expected) <= 2e-6
    check_gradient(on_cpu, settings, 3)


def test_no_images(on_cpu):
    transform = on_cpu(SMALL)
    assert transform.forward(torch.rand(0, 28, 28)).shape == (0, 81, 7, 7)
    assert on_cpu(SMALL, "backward").backward(torch.rand(0, 28, 28), torch.rand(0, 81, 7, 7)).shape == (0, 28, 28)
    assert transform._launcher.launches == 0


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pieces_and_groups_of_angles_change_nothing(on_cpu, direction, monkeypatch):
    """One piece; pieces of one block; and so little workspace that the angles of order 1 come one at a time."""
    images, weights = torch.rand(70, 28, 28), torch.randn(70, *SMALL.output_shape)
    whole = choose_schedule(SMALL, direction, 2**40)[0]
    results, launches = [], []
    for budget in (2**40, whole.bytes_per_block, 1):
        monkeypatch.setattr(kernels, "WORKSPACE_BYTES", budget)
        transform = on_cpu(SMALL, direction)
        results.append(transform.forward(images) if direction == "forward" else transform.backward(images, weights))
        launches.append(transform._launcher.launches)
    assert launches[1] == 3 * launches[0] and launches[2] > 2 * launches[1]
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_few_launches():
    """A launch costs a GPU's host some microseconds, and this many are one transform of any batch that fits."""
    assert [len(choose_schedule(SMALL, way, 2**40)[0].launches) for way in ("forward", "backward")] == [13, 24]


def test_workspace_is_bounded():
    for side, L in ((32, 8), (96, 8), (224, 8), (32, 16)):
        for direction in ("forward", "backward"):
            settings = Settings(2, (side, side), L, 2, False)
            schedule, blocks = choose_schedule(settings, direction, 2**28)
            assert schedule.bytes_per_block * blocks <= 2**28
    assert choose_schedule(SMALL, "forward", 1)[1] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_stay_in_their_image(on_cpu, value):
    images = torch.rand(3, 28, 28)
    clean, transform = images.clone(), on_cpu(SMALL)
    images[1, 14, 14] = value
    values = transform.forward(images)
    assert values[1, 1:].isnan().all() and not values[1, 0].isfinite().all()
    assert torch.equal(values[[0, 2]], transform.forward(clean)[[0, 2]])
    gradients = on_cpu(SMALL, "backward").backward(images, torch.ones(3, *SMALL.output_shape))
    assert gradients[1].isnan().all() and gradients[[0, 2]].isfinite().all()


def test_gradient_of_a_constant_image_is_that_of_the_lowpass(on_cpu):
    everything = torch.ones(1, *SMALL.output_shape)
    lowpass = everything.clone()
    lowpass[:, 1:] = 0
    transform, image = on_cpu(SMALL, "backward"), torch.zeros(1, 28, 28)
    assert torch.equal(transform.backward(image, everything), transform.backward(image, lowpass))
    assert transform.backward(image, lowpass).min() > 0


def test_gradients_that_begin_anywhere_in_memory(on_cpu):
    settings = Settings(1, (4, 8), 2, 1, False)  # rows of 4 coefficients, read as one long word
    images = torch.rand(2, 4, 8)
    memory = torch.randn(1 + 2 * settings.output_shape[0] * 8)
    weights = memory[1:].view(2, *settings.output_shape)
    assert weights.data_ptr() % 16 != 0
    expected = gradient(settings, images, weights)
    assert (on_cpu(settings, "backward").backward(images, weights) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_kernels_that_compute_wrong_numbers_are_noticed_when_they_are_loaded(on_cpu, direction, monkeypatch):
    """As by a GPU or a compiler that does something else: here one launch of all is left out."""
    transform = on_cpu(SMALL, direction)
    check(transform)
    run = transform._launcher._run
    left_out = "last_rows_1" if direction == "forward" else "image_rows_0"
    monkeypatch.setattr(transform._launcher, "_run", lambda launch, *a: launch.kernel == left_out or run(launch, *a))
    with pytest.raises(CompilerError, match=f"the {direction} code computes wrong numbers here"):
        check(transform)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("settings", [SMALL, TWO_PASSES], ids=["short", "long"])
def test_the_workspace_is_written_before_it_is_read_and_not_beyond_its_end(on_cpu, settings, direction, monkeypatch):
    transform, empty = on_cpu(settings, direction), torch.empty
    images, weights = torch.rand(2, *settings.shape), torch.randn(2, *settings.output_shape)
    made = []

    def poisoned(numbers, **options):
        made.append((empty(numbers + 4096, **options).fill_(torch.nan), numbers))
        return made[-1][0]

    monkeypatch.setattr(kernels.torch, "empty", poisoned)
    values = transform.forward(images) if direction == "forward" else transform.backward(images, weights)
    ((memory, numbers),) = made
    assert values.isfinite().all() and memory[numbers:].isnan().all()
