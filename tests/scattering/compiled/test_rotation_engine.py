"""The compiled transform on rotations and translations: values and gradients of the torch engine in float64."""

import pytest
import torch

from hybrid import RotoTranslationScattering2D
from hybrid.scattering.compiled import CompilerError, rotation_engine
from hybrid.scattering.compiled.cpu import rotation_kernels
from hybrid.scattering.compiled.cpu.compiler import find_compiler, native_lanes
from hybrid.scattering.compiled.cpu.rotation_kernels import RotationKernel

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

LAYOUTS = ["images", "rows"]
CASES = [
    {"J": 2, "shape": (12, 12), "L": 4},
    {"J": 2, "shape": (20, 16), "L": 5, "joint": False, "boundary": "periodic"},
]
MANY = [
    {"J": 2, "shape": (32, 32), "L": 8},
    {"J": 3, "shape": (33, 47), "L": 4},
    {"J": 1, "shape": (8, 9), "L": 2},
    {"J": 2, "shape": (16, 19), "L": 8, "K": 2, "joint": False, "boundary": "none"},
    {"J": 3, "shape": (8, 16), "boundary": "periodic"},
    {"J": 3, "shape": (24, 16), "L": 6, "joint": False},
]


def ids(settings):
    return "-".join(map(str, settings.values()))


def images_of(scattering, count=5):
    return torch.rand(count, *scattering.settings.input_shape, generator=torch.Generator().manual_seed(1))


def check_values_and_gradients(settings):
    scattering = RotoTranslationScattering2D(**settings, engine="cpu")
    images = images_of(scattering)
    expected = scattering(images.double())
    for layout in LAYOUTS:
        values = RotationKernel(scattering.rotation, native_lanes(), layout, "forward").forward(images)
        assert (values - expected).norm() <= 3e-7 * expected.norm()
    values = scattering(images.requires_grad_())
    assert values.dtype == torch.float32 and (values - expected).norm() <= 3e-7 * expected.norm()
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(values, images, weights)
    exact = images.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(scattering(exact), exact, weights.double())
    assert (gradient - expected).norm() <= 1e-6 * expected.norm()
    assert scattering.engine_on("cpu").split(": ")[1].startswith("cpu engine")


@pytest.mark.parametrize("settings", CASES, ids=ids)
def test_values_and_gradients(settings):
    check_values_and_gradients(settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", MANY, ids=ids)
def test_values_and_gradients_everywhere(settings):
    check_values_and_gradients(settings)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_every_vector_length(lanes):
    scattering = RotoTranslationScattering2D(1, (4, 6), 2)
    images = images_of(scattering, 9)
    values = []
    for layout, direction in (("rows", "forward"), ("images", "forward"), ("images", "backward")):
        kernel = RotationKernel(scattering.rotation, lanes, layout, direction)
        rotation_kernels.check_rotation_kernel(kernel)
        values += [kernel.forward(images)] if direction == "forward" else []
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6)


def test_batches_layouts_and_threads_change_nothing():
    scattering = RotoTranslationScattering2D(**CASES[0], engine="cpu")
    images = images_of(scattering, 6).requires_grad_()
    values = scattering(images)
    (gradient,) = torch.autograd.grad(values.square().sum(), images)
    turned = images.detach().transpose(-1, -2).contiguous().transpose(-1, -2)  # other strides
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(scattering(turned), values)
        torch.testing.assert_close(torch.stack([scattering(image) for image in images]), values, rtol=1e-5, atol=1e-6)
        assert torch.equal(torch.autograd.grad(scattering(images).square().sum(), images)[0], gradient)
    finally:
        torch.set_num_threads(before)
    assert scattering(images[:0]).shape == (0, *scattering.output_shape)
    image = images.detach().clone()
    image[1, 3, 3] = torch.nan
    broken = scattering(image)
    assert broken[1, 1:].isnan().all() and torch.equal(broken[[0, 2]], values[[0, 2]])
    assert scattering(torch.full((12, 12), 0.7))[1:].abs().max() < 1e-6
    blank = torch.zeros(1, 12, 12, requires_grad=True)
    scattering(blank).sum().backward()
    assert blank.grad.isfinite().all()


def test_second_derivatives_and_tracers():
    scattering = RotoTranslationScattering2D(**CASES[0], engine="cpu")
    images = images_of(scattering, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(scattering(images).square().sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), images)
    exact = images.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(scattering(exact).square().sum(), exact, create_graph=True)
    (expected,) = torch.autograd.grad(gradient.square().sum(), exact)
    assert (second - expected).norm() <= 1e-4 * expected.norm()
    numbers = 2, 12, 12, 4, 2, True, False, False
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.hybrid.roto_translation.default, (images.detach(), *numbers), test_utils=checks)


def test_the_torch_engine_computes_the_rest():
    kept = RotoTranslationScattering2D(2, (16, 16), 4, average_angles=False, engine="cpu")
    assert "torch engine (average_angles=False)" in kept.engine_on("cpu")
    many = RotoTranslationScattering2D(1, (4, 4), 26, K=1)
    assert "torch engine (L=26; compiled code has at most 24 angles)" in many.engine_on("cpu")
    prime = RotoTranslationScattering2D(1, (130, 4), 4)
    assert "torch engine (padded to 134x8, which codelets do not serve)" in prime.engine_on("cpu")
    images = torch.rand(2, 16, 16)
    assert torch.equal(kept(images), RotoTranslationScattering2D(2, (16, 16), 4, average_angles=False)(images))


def test_without_a_compiler_the_torch_engine_computes(monkeypatch):
    def fail(*_):
        raise CompilerError("no C++ compiler found")

    monkeypatch.setattr(rotation_kernels, "load_library", fail)
    scattering = RotoTranslationScattering2D(1, (6, 6), 2)
    try:
        images = torch.rand(2, 6, 6)
        torch.testing.assert_close(
            scattering(images), RotoTranslationScattering2D(1, (6, 6), 2, engine="torch")(images)
        )
        assert "no C++ compiler found" in scattering.engine_on("cpu")
    finally:
        rotation_engine._choose.cache_clear()


def test_a_wrong_kernel_is_not_used(monkeypatch):
    kernel = RotationKernel(RotoTranslationScattering2D(**CASES[0]).rotation, native_lanes(), "images", "forward")
    monkeypatch.setattr(kernel, "forward", lambda images: torch.zeros(2, *kernel.settings.output_shape))
    with pytest.raises(CompilerError, match="the forward code computes wrong numbers here, relative error 1"):
        rotation_kernels.check_rotation_kernel(kernel)
