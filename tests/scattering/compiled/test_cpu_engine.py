"""The compiled engine's values: at most 1e-6 on the worst channel, 3e-7 over all."""

from __future__ import annotations

import copy
import logging

import pytest
import torch

from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled import engine as module_under_test
from hybrid.scattering.compiled.cpu import kernels
from hybrid.scattering.compiled.cpu.compiler import find_compiler, native_lanes
from hybrid.scattering.compiled.cpu.kernels import Kernel, kernel_for
from hybrid.scattering.geometry import Settings

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

LAYOUTS = ["images", "rows"]
FEW = [
    ((28, 28), 2, 8, 2),
    ((33, 47), 3, 3, 2),
]  # the low-pass of (33, 47) is a transform at one level, a window at others
MANY = [
    *[(shape, J, 4, 2) for shape in [(28, 28), (32, 32)] for J in range(1, 5)],
    *[((33, 47), J, L, 2) for J, L in [(1, 1), (2, 5), (4, 6)]],
    ((33, 47), 5, 4, 1),
    ((32, 32), 5, 4, 2),
    ((2, 3), 1, 8, 2),
    ((64, 96), 3, 4, 2),
    ((96, 96), 2, 8, 2),
    ((96, 96), 3, 6, 1),
    ((250, 130), 2, 2, 2),
]


def check(values, reference, channel_error, *, worst=1e-6, overall=3e-7):
    assert values.dtype == torch.float32
    assert (values - reference).norm() <= overall * reference.norm()
    assert channel_error(values, reference) <= worst


def check_kernel(layout, shape, J, L, order, make_images, channel_error, exact):
    kernel = Kernel(Settings(J, shape, L, order, False), native_lanes(), layout, "forward")
    for kind in ("noise", "smooth", "constant"):
        images = make_images(kind, shape).float()
        reference = exact(images, J, shape, L, order)
        check(kernel.forward(images), reference, channel_error)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("shape", "J", "L", "order"), FEW)
def test_values(layout, shape, J, L, order, make_images, channel_error, exact):
    check_kernel(layout, shape, J, L, order, make_images, channel_error, exact)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prime_number_of_samples(layout, make_images, channel_error, exact):
    """122 points are 61 · 2 in two passes, but 61 are no codelet: the low-pass is a window."""
    check_kernel(layout, (118, 6), 1, 2, 1, make_images, channel_error, exact)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(MANY)))
def test_values_everywhere(number, make_images, channel_error, exact):
    layout = LAYOUTS[number % 2]  # each library takes seconds to compile
    check_kernel(layout, *MANY[number], make_images, channel_error, exact)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_every_vector_length(lanes, channel_error, exact):
    """A compiler splits vectors that the CPU has not."""
    images = torch.rand(5, 4, 6)
    for layout in LAYOUTS:
        kernel = Kernel(Settings(1, (4, 6), 4, 2, False), lanes, layout, "forward")
        check(kernel.forward(images), exact(images, 1, (4, 6), 4, 2), channel_error)


@pytest.mark.parametrize("batch", [1, 3, 17, 128])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("order", [1, 2])
def test_any_batch_and_threads(batch, threads, order, channel_error, exact):
    images, before = torch.rand(batch, 28, 28), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        check(
            Scattering2D(2, (28, 28), 8, order, engine="cpu")(images),
            exact(images, 2, (28, 28), 8, order),
            channel_error,
        )
        rows = Kernel(Settings(2, (28, 28), 8, order, False), native_lanes(), "rows", "forward")
        check(rows.forward(images[:17]), exact(images[:17], 2, (28, 28), 8, order), channel_error)
    finally:
        torch.set_num_threads(before)


def test_the_layout_follows_size_and_batch():
    def layout(side, batch, direction="forward"):
        return kernels._layout(Settings(2, (side, side), 8, 2, False), batch, direction)

    assert [layout(side, 128) for side in (32, 96, 224)] == ["images", "images", "rows"]
    assert [layout(side, 3) for side in (32, 96, 224)] == ["images", "rows", "rows"]
    assert layout(224, 3, "backward") == "images"


def test_pre_padded_images(channel_error):
    images = torch.rand(3, 36, 36)
    compiled = Scattering2D(2, (28, 28), pre_pad=True, engine="cpu")
    assert channel_error(compiled(images), TorchScattering2D(2, (28, 28), pre_pad=True)(images.double())) <= 2e-6
    with pytest.raises(ValueError, match=r"\(\.\.\., 36, 36\).*pre_pad"):
        compiled(images[..., :28, :28])


@pytest.mark.parametrize(("shape", "J"), [((12, 8), 2), pytest.param((8, 24), 3, marks=pytest.mark.slow)])
def test_periodic_images(shape, J):
    images, exact = torch.rand(5, *shape), TorchScattering2D(J, shape, 2, boundary="periodic")
    compiled = Scattering2D(J, shape, 2, boundary="periodic", engine="cpu")
    expected = exact(images.double())
    for layout in LAYOUTS:
        values = Kernel(compiled.settings, native_lanes(), layout, "forward").forward(images)
        assert (values - expected).norm() <= 3e-7 * expected.norm()
    moved = compiled(images.roll(2**J, -1).requires_grad_())
    torch.testing.assert_close(moved, compiled(images).roll(1, -1), rtol=0, atol=1e-6)
    leaves = images.clone().requires_grad_(), images.double().requires_grad_()
    ours, theirs = (
        torch.autograd.grad(each(x).square().sum(), x)[0] for each, x in zip((compiled, exact), leaves, strict=True)
    )
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_and_infinity_stay_in_their_image(value, layout):
    images = torch.rand(3, 28, 28)
    clean = images.clone()
    images[1, 14, 14] = value
    kernel = Kernel(Settings(2, (28, 28), 8, 2, False), native_lanes(), layout, "forward")
    values = kernel.forward(images)
    assert values[1, 1:].isnan().all() and not values[1, 0].isfinite().all()
    assert torch.equal(values[[0, 2]], kernel.forward(clean)[[0, 2]])
    assert torch.equal(kernel.forward(clean), kernel.forward(clean))  # nothing is left of it


def test_constant_images_have_no_waves():
    values = Scattering2D(2, (28, 28), engine="cpu")(torch.full((2, 28, 28), 0.7))
    assert values[:, 1:].abs().max() < 1e-6


def test_one_line_says_which_engine(caplog):
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    module_under_test._choose.cache_clear()
    scattering = Scattering2D(2, (28, 28), engine="cpu")
    for _ in range(3):
        scattering(torch.rand(5, 28, 28))
    lines = [record.getMessage() for record in caplog.records if "engine" in record.getMessage()]
    assert lines == [
        f"scattering of 28x28 images, J=2: cpu engine, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    ]


def test_sizes_without_codelets_take_the_torch_engine(caplog):
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    module_under_test._choose.cache_clear()
    scattering, images = Scattering2D(1, (138, 20), 2, engine="cpu"), torch.rand(2, 138, 20)
    assert scattering.padded_shape[0] == 2 * 71
    assert torch.equal(scattering(images), TorchScattering2D(1, (138, 20), 2)(images))
    assert "torch engine (padded to 142x24" in caplog.text


def test_what_the_torch_engine_does(monkeypatch):
    """float64, other devices and torch.func; the compiled one is never asked."""
    monkeypatch.setattr(module_under_test, "apply", None)
    scattering, images = Scattering2D(2, (28, 28), engine="cpu"), torch.rand(3, 28, 28)
    assert scattering(images.double()).dtype == torch.float64
    assert copy.deepcopy(scattering).to("meta")(images.to("meta")).device.type == "meta"
    assert torch.vmap(scattering)(images).shape == (3, 81, 7, 7)


def test_a_model_holds_one_scattering_module():
    """A search for a model's scattering must not find the engines that it holds."""
    assert sum(isinstance(part, Scattering2D) for part in Scattering2D(2, (28, 28), engine="cpu").modules()) == 1


def test_the_kernel_is_made_once():
    settings = Settings(2, (28, 28), 8, 2, False)
    assert kernel_for(settings, 17) is kernel_for(settings, 128)
    assert kernel_for(settings, 1) is not kernel_for(settings, 128)
