"""Learned wavelets in compiled code: values, gradients, and when torch operations compute instead.

The sizes are those of test_cpu_gradient.py, so that one library serves both.
"""

from __future__ import annotations

import pytest
import torch
from torch.export import export

from hybrid.scattering import LearnedScattering2D, ScatteringError
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cpu import kernels
from hybrid.scattering.compiled.cpu.compiler import find_compiler, native_lanes
from hybrid.scattering.compiled.cpu.kernels import Kernel
from hybrid.scattering.compiled.cpu.learned_tables import LearnedTables, as_row

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

SHAPE = (16, 20)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def transforms(J=2, shape=SHAPE, L=4, order=2, form="canonical", init="random_orientation", boundary="reflect"):
    """The compiled engine, and the same filters in float64 by torch operations."""
    init = "tight_frame" if form == "pixelwise" else init
    chosen = {"max_order": order, "form": form, "init": init, "boundary": boundary}
    compiled = LearnedScattering2D(J, shape, L, **chosen, engine="cpu")
    exact = LearnedScattering2D(J, shape, L, **chosen, engine="torch").double()
    with torch.no_grad():
        for parameter in compiled.parameters():
            parameter += parameter.abs().max() * 0.02 * torch.randn_like(parameter)
    exact.load_state_dict(compiled.state_dict())
    return compiled, exact


def gradients(transform, images, weights, *, of_images=True):
    leaf = images.clone().requires_grad_(of_images)
    inputs = [*([leaf] if of_images else []), *transform.parameters()]
    return torch.autograd.grad((transform(leaf) * weights).sum(), inputs)


def check(compiled, exact, batch, channel_error):
    images, weights = torch.rand(batch, *compiled.shape), torch.randn(batch, *compiled.output_shape)
    values, reference = compiled(images), exact(images.double())
    assert (values - reference).norm() <= 3e-7 * reference.norm()
    assert channel_error(values, reference) <= 1e-6
    pairs = zip(gradients(compiled, images, weights), gradients(exact, images.double(), weights.double()), strict=True)
    assert all((ours - theirs).norm() <= 1e-5 * theirs.norm() for ours, theirs in pairs)


@pytest.mark.parametrize("form", ["canonical", "equivariant", "pixelwise"])
def test_values_and_gradients(form, channel_error):
    check(*transforms(form=form), 17, channel_error)


@pytest.mark.parametrize(("order", "batch"), [(1, 17), (2, 1)])
def test_orders_and_batches(order, batch, channel_error):
    check(*transforms(order=order), batch, channel_error)


def test_threads_share_blocks_and_paths_and_results_repeat(threads, channel_error):
    threads(3)
    compiled, exact = transforms()
    check(compiled, exact, 2 * native_lanes() + 1, channel_error)  # paths alone
    check(compiled, exact, 5 * native_lanes() - 3, channel_error)  # both
    images, weights = torch.rand(5 * native_lanes() - 3, *SHAPE), torch.rand(1, *compiled.output_shape)
    first, *others = (gradients(compiled, images, weights) for _ in range(5))
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    alone = gradients(compiled, images, weights, of_images=False)  # the images' gradient changes nothing
    assert all(torch.equal(a, b) for a, b in zip(first[1:], alone, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("J", "L", "order", "shape"), [(1, 8, 2, (33, 47)), (3, 5, 2, (33, 47)), (4, 4, 1, (32, 32)), (2, 2, 2, (120, 64))]
)
def test_values_and_gradients_everywhere(J, L, order, shape, channel_error):
    check(*transforms(J, shape, L, order), 5, channel_error)


@pytest.mark.slow
def test_periodic_images(channel_error):
    check(*transforms(boundary="periodic"), 5, channel_error)


def test_lanes_that_are_rows_read_the_same_numbers():
    compiled, exact = transforms()
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_engine, "apply_learned", lambda images, filters, _: seen.append(filters) or images)
        compiled._transformed(torch.rand(1, *SHAPE))
    row = as_row(seen[0], compiled.settings)
    assert LearnedTables(compiled.settings, 4, by_rows=True).size == len(row)
    images = torch.rand(3, *SHAPE)
    rows = Kernel(compiled.settings, native_lanes(), "rows", "forward").forward(images, row)
    torch.testing.assert_close(rows, exact(images.double()).float(), rtol=1e-5, atol=1e-6)


def test_wrong_gradients_of_filters_are_found_when_a_library_is_loaded(monkeypatch):
    kernel = Kernel(LearnedScattering2D(2, SHAPE, 2).settings, 4, "images", "backward")
    kernels._check_filters(kernel)
    right = LearnedTables.gradient
    monkeypatch.setattr(LearnedTables, "gradient", lambda self, sums: right(self, sums.roll(1)))
    with pytest.raises(CompilerError, match="wrong gradients of filters here, relative error"):
        kernels._check_filters(kernel)


def test_second_derivatives_are_those_of_torch_operations():
    def derivatives(transform, images, *, of_images):
        leaf = images.clone().requires_grad_(of_images)
        inputs = [*([leaf] if of_images else []), *transform.parameters()]
        first = torch.autograd.grad(transform(leaf).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(part.pow(3).sum() for part in first), inputs)

    compiled, exact = transforms(form="pixelwise", L=2)
    images = torch.rand(2, *SHAPE)
    for of_images in (True, False):
        found = derivatives(compiled, images, of_images=of_images)
        expected = derivatives(exact, images.double(), of_images=of_images)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def test_any_strides_no_image_and_padded_images():
    compiled, _ = transforms(init="tight_frame", L=1)
    images = torch.rand(2, 3, *reversed(SHAPE)).transpose(-1, -2)
    assert torch.equal(compiled(images), compiled(images.contiguous()))
    assert compiled(images[:0]).shape == (0, 3, *compiled.output_shape)
    padded, exact = (LearnedScattering2D(2, SHAPE, 1, boundary="none", engine=engine) for engine in ("cpu", "torch"))
    images = torch.rand(2, *compiled.padded_shape)
    torch.testing.assert_close(padded(images), exact(images), rtol=1e-5, atol=1e-6)


def test_nan_stays_in_its_image_and_reaches_the_filters():
    compiled, _ = transforms()
    images = torch.rand(2, *SHAPE)
    images[1, 3, 3] = torch.nan
    values = compiled(images)
    assert values[0].isfinite().all() and values[1, 1:].isnan().all()
    assert all(part.isnan().any() for part in gradients(compiled, images, 1.0, of_images=False))


def test_one_graph_holds_the_operator():
    torch._dynamo.reset()
    compiled, _ = transforms()
    graphs = []

    def backend(graph, _):
        graphs.append(graph.code)
        return graph

    images, weights = torch.rand(3, *SHAPE), torch.randn(3, *compiled.output_shape)
    whole = torch.compile(compiled, fullgraph=True, backend=backend)
    expected = gradients(compiled, images, weights, of_images=False)
    found = torch.autograd.grad((whole(images) * weights).sum(), list(compiled.parameters()))
    assert "hybrid.learned_scattering" in graphs[0]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck's own doing
@pytest.mark.parametrize("of_images", [True, False])
def test_the_operators_registrations(of_images):
    images, filters = torch.rand(5, *SHAPE, requires_grad=True), torch.rand(4 * 2 * 24 * 28, requires_grad=True)
    numbers = (2, *SHAPE, 4, 2, False, False)
    operators = torch.ops.hybrid
    found = torch.library.opcheck(operators.learned_scattering.default, (images, filters, *numbers))
    arguments = (images, filters, torch.rand(5, 25, 4, 5, requires_grad=True), of_images, *numbers)
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    found |= torch.library.opcheck(operators.learned_scattering_backward.default, arguments, test_utils=tests)
    assert set(found.values()) == {"SUCCESS"}


def test_what_torch_operations_do(monkeypatch):
    """float64, other devices, torch.func, export, and gradients of large images; the compiled code is never asked."""
    monkeypatch.setattr(compiled_engine, "apply_learned", None)
    compiled, exact = transforms()
    images = torch.rand(3, *SHAPE)
    expected = exact(images.double())
    torch.testing.assert_close(compiled(images.double()), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.vmap(compiled)(images), expected.float(), rtol=1e-5, atol=1e-6)
    program = export(compiled, (images,))
    torch.testing.assert_close(program.module()(images), expected.float(), rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(compiled_engine, "_LARGEST_GRADIENT", 1)
    torch.testing.assert_close(compiled(images), expected.float(), rtol=1e-5, atol=1e-6)
    meta = compiled.engine_on("meta")
    assert meta.endswith("torch engine (learned wavelets on a device of type meta)")


def test_the_engine_is_chosen_by_name():
    words = {name: LearnedScattering2D(2, SHAPE, engine=name).engine_on("cpu") for name in ("auto", "cpu", "torch")}
    assert (
        "cpu engine, " in words["auto"] and "cpu engine, " in words["cpu"] and words["torch"].endswith("torch engine")
    )
    assert "engine=cpu" in repr(LearnedScattering2D(2, SHAPE, engine="cpu"))
    for engine in ("cuda", "kymatio"):
        with pytest.raises(ScatteringError, match="unknown engine of learned wavelets .*valid: auto, torch, cpu"):
            LearnedScattering2D(2, SHAPE, engine=engine)
