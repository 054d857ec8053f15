"""The compiled engine's operator: gradients, torch.compile, torch.export."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim, export

from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cpu import kernels
from hybrid.scattering.compiled.cpu.compiler import find_compiler

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

SHAPE = (16, 20)


def engines(J=2, L=4, order=2, shape=SHAPE):
    return Scattering2D(J, shape, L, order, engine="cpu"), TorchScattering2D(J, shape, L, order)


def gradient(engine, images, weights):
    leaf = images.clone().requires_grad_()
    (engine(leaf) * weights).sum().backward()
    return leaf.grad


def check_gradient(J, L, order, shape, batch):
    compiled, reference = engines(J, L, order, shape)
    images, weights = torch.rand(batch, *shape), torch.randn(batch, *compiled.output_shape)
    expected = gradient(reference, images.double(), weights.double())
    # z / |z| magnifies the rounding of small z: kymatio in float32 is 1e-6 to 1e-5 from float64 too
    assert (gradient(compiled, images, weights) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize(("order", "batch"), [(1, 17), (2, 1), (2, 17)])
def test_gradient(order, batch):
    check_gradient(2, 4, order, SHAPE, batch)


def test_gradient_on_two_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for batch in (5, 33, 48):  # shared by path, both, by block
            check_gradient(2, 4, 2, SHAPE, batch)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("J", "L", "order", "shape"), [(1, 8, 2, (33, 47)), (3, 5, 2, (33, 47)), (4, 4, 1, (32, 32)), (2, 2, 2, (120, 64))]
)
def test_gradient_everywhere(J, L, order, shape):
    check_gradient(J, L, order, shape, 5)


def test_gradient_of_a_constant_image_is_that_of_the_lowpass():
    compiled, _ = engines()
    everything = torch.ones(1, *compiled.output_shape)
    lowpass = everything.clone()
    lowpass[:, 1:] = 0
    image = torch.zeros(1, *SHAPE)
    assert torch.equal(gradient(compiled, image, everything), gradient(compiled, image, lowpass))
    assert gradient(compiled, image, lowpass).min() > 0


def test_gradients_of_large_images_take_bounded_memory(monkeypatch):
    """Shorter vectors from a first size on, the torch engine from a second: here 1 pixel each."""
    compiled, _ = engines()
    images, weights = torch.rand(9, *SHAPE), torch.randn(9, *compiled.output_shape)
    expected = gradient(compiled, images, weights)
    monkeypatch.setattr(kernels, "_LARGE", 1)
    built = kernels.kernel_for(compiled.settings, 9, "backward")
    assert built is kernels.kernel_for(compiled.settings, 1, "backward")
    torch.testing.assert_close(gradient(compiled, images, weights), expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(compiled_engine, "_LARGEST_GRADIENT", 1)
    monkeypatch.setattr(compiled_engine, "apply", None)
    torch.testing.assert_close(gradient(compiled, images, weights), expected, rtol=1e-4, atol=1e-5)


def test_nan_reaches_the_gradient():
    images = torch.rand(2, *SHAPE)
    images[0, 3, 3] = torch.nan
    compiled, _ = engines()
    result = gradient(compiled, images, torch.ones(2, *compiled.output_shape))
    assert result[0].isnan().all() and result[1].isfinite().all()


def test_second_and_third_derivative():
    compiled, reference = engines(1, 2, 2, (4, 5))
    images = torch.rand(2, 4, 5)

    def derivatives(engine, values):
        values = values.clone().requires_grad_()
        first = torch.autograd.grad(engine(values).square().sum(), values, create_graph=True)[0]
        second = torch.autograd.grad(first.pow(3).sum(), values, create_graph=True)[0]
        third = torch.autograd.grad(second.square().sum(), values)[0]
        return first, second, third

    for ours, theirs in zip(derivatives(compiled, images), derivatives(reference, images.double()), strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


@pytest.mark.parametrize("count", [1, 7])
def test_the_gradient_of_several_threads_repeats_bit_for_bit(count):
    compiled, _ = engines()
    images, weights = torch.rand(count, *SHAPE), torch.rand(count, *compiled.output_shape)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        first, *others = (gradient(compiled, images, weights) for _ in range(8))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, other) for other in others)


def test_gradient_function_of_torch_func():
    compiled, reference = engines()
    images = torch.rand(3, *SHAPE)
    ours, theirs = (
        torch.vmap(torch.func.grad(lambda image, engine=engine: engine(image).square().sum()))(images)
        for engine in (compiled, reference)
    )
    torch.testing.assert_close(ours, theirs)


def test_compile_is_one_graph_for_every_batch():
    torch._dynamo.reset()
    scattering, _ = engines()
    compiled = torch.compile(scattering, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in [(3, 2), (5, 2), (4, 3)]:
        images = torch.rand(*batch, *SHAPE)
        torch.testing.assert_close(compiled(images), scattering(images))
        weights = torch.randn(*batch, *scattering.output_shape)
        torch.testing.assert_close(gradient(compiled, images, weights), gradient(scattering, images, weights))


def test_the_graph_holds_the_operator():
    torch._dynamo.reset()
    graphs = []
    torch.compile(engines()[0], fullgraph=True, backend=lambda graph, _: graphs.append(graph) or graph)(
        torch.rand(2, *SHAPE)
    )
    assert "hybrid.scattering" in graphs[0].code


def test_an_exported_program_needs_no_compiler():
    scattering, reference = engines()
    program = export(scattering, (torch.rand(3, *SHAPE),), dynamic_shapes=({0: Dim("batch")},))
    assert not any("hybrid" in str(node.target) for node in program.graph.nodes)
    images = torch.rand(7, *SHAPE)
    torch.testing.assert_close(program.module()(images), reference(images), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck's own doing
def test_the_operators_registrations():
    images = torch.rand(5, *SHAPE, requires_grad=True)
    numbers = (2, *SHAPE, 4, 2, False, False)
    found = torch.library.opcheck(torch.ops.hybrid.scattering.default, (images, *numbers))
    gradients = torch.rand(5, 25, 4, 5, requires_grad=True)
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    found |= torch.library.opcheck(
        torch.ops.hybrid.scattering_backward.default, (images, gradients, *numbers), test_utils=tests
    )
    assert set(found.values()) == {"SUCCESS"}
