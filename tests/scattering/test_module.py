"""Scattering2D as a module: what it accepts, what it refuses, what it survives."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hybrid.scattering import Scattering2D, ScatteringError, TorchScattering2D
from hybrid.scattering.spectral import apply_separable, apply_separable_adjoint

SHAPE, J, L = (16, 20), 2, 4
ENGINES = ["torch", "cpu", "kymatio"]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    if request.param == "kymatio":
        pytest.importorskip("kymatio")
    return Scattering2D(J, SHAPE, L, engine=request.param)


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 2, *SHAPE, generator=torch.Generator().manual_seed(1))


def same(values, expected, tolerance=1e-6):
    assert values.dtype == expected.dtype and values.shape == expected.shape
    torch.testing.assert_close(values, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (32, 32)), "J must be an integer from 1 to 5 for images of 32x32, got 0"),
        ((2.0, (32, 32)), "J must be an integer from 1 to 5"),
        ((True, (32, 32)), "J must be an integer from 1 to 5"),
        (
            (6, (32, 32)),
            "J=6 does not fit images of 32x32: 2\\^J=64 exceeds the smallest dimension, so J can be 1 to 5",
        ),
        ((5, (100, 31)), "J can be 1 to 4 here"),
        ((1, (1, 5)), "too small"),
        ((2, (32,)), "shape must be two positive integers"),
        ((2, (32, -1)), "shape must be two positive integers"),
        ((2, 32), r"shape must be two positive integers \(H, W\), got 32"),
        ((2, None), r"shape must be two positive integers \(H, W\), got None"),
        ((2, "32"), r"shape must be two positive integers \(H, W\), got '32'"),
        (((32, 32), 2), "shape must be two positive integers"),
        ((None, (32, 32)), "J must be an integer from 1 to 5 for images of 32x32, got None"),
        ((2, (32, 32), 0), "L, the number of angles, must be an integer of at least 1, got 0"),
        ((2, (32, 32), 8.0), "L, the number of angles"),
        ((2, (32, 32), 8, 3), "max_order must be 1 or 2, got 3"),
        ((2, (32, 32), 8, 0), "max_order must be 1 or 2, got 0"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_parameters_are_refused(engine, arguments, message):
    with pytest.raises(ScatteringError, match=message) as caught:
        Scattering2D(*arguments, engine=engine)
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)


def test_wrong_images_are_refused(engine):
    for dtype, name in [
        (torch.uint8, "uint8"),
        (torch.int64, "int64"),
        (torch.bool, "bool"),
        (torch.complex64, "complex64"),
    ]:
        with pytest.raises(ValueError, match=rf"real floating-point images, got {name}: convert"):
            engine(torch.zeros(2, *SHAPE).to(dtype))
    for value, name in [([1, 2], "list"), (None, "NoneType"), (0.5, "float")]:
        with pytest.raises(ScatteringError, match=f"should be a torch tensor or a NumPy array, got a {name}"):
            engine(value)
    for shape in [(20, 16), (3, 16, 16)]:
        with pytest.raises(ScatteringError, match=r"Tensor must be of spatial size \(\.\.\., 16, 20\), got \("):
            engine(torch.zeros(shape))
    for shape in [(20,), ()]:
        with pytest.raises(ScatteringError, match=r"at least two dimensions, \(\.\.\., 16, 20\), got \("):
            engine(torch.zeros(shape))


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (2, 1, 3, 2), (0,), (2, 0, 3)])
def test_any_leading_dimensions(engine, batch):
    images = torch.rand(*batch, *SHAPE)
    values = engine(images)
    assert values.shape == (*batch, *engine.output_shape) == (*batch, 25, 4, 5)
    for value, image in zip(values.reshape(-1, 25, 4, 5), images.reshape(-1, *SHAPE), strict=True):
        same(value, engine(image))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(0,), (2, 0, 3)])
def test_an_empty_batch_has_an_empty_gradient(engine, batch, dtype):
    images = torch.zeros(*batch, *SHAPE, dtype=dtype, requires_grad=True)
    values = engine(images)
    assert values.shape == (*batch, 25, 4, 5) and values.requires_grad
    assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    (gradient,) = torch.autograd.grad(values.square().sum(), images, create_graph=True)
    assert gradient.shape == images.shape and gradient.dtype == dtype
    (second,) = torch.autograd.grad(gradient.square().sum(), images, allow_unused=True)
    assert second is None or second.shape == images.shape


def test_an_axis_of_no_size_that_vmap_hides(engine):
    for batch in [(0,), (0, 2), (2, 0)]:
        assert torch.vmap(engine)(torch.rand(*batch, *SHAPE)).shape == (*batch, 25, 4, 5)
    assert torch.vmap(torch.vmap(engine))(torch.rand(2, 0, *SHAPE)).shape == (2, 0, 25, 4, 5)
    gradient = torch.func.grad(lambda image: engine(image).sum())
    assert torch.vmap(gradient)(torch.rand(0, *SHAPE)).shape == (0, *SHAPE)


def test_an_empty_batch_when_compiled(engine):
    torch._dynamo.reset()
    compiled = torch.compile(engine, backend="eager", dynamic=True)
    assert compiled(torch.rand(0, *SHAPE)).shape == (0, 25, 4, 5)


def test_any_strides(engine, images):
    expected = engine(images)
    same(engine(images.contiguous(memory_format=torch.channels_last)), expected)
    same(engine(images.transpose(0, 1)), expected.transpose(0, 1))
    same(engine(images.transpose(-1, -2).contiguous().transpose(-1, -2)), expected)
    same(engine(images[:1].expand(3, -1, -1, -1))[2], expected[0])
    same(engine(torch.cat([images, images], -1)[..., 20:]), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_computed_in_float32(engine, images, dtype):
    same(engine(images.to(dtype)), engine(images.to(dtype).float()), tolerance=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_float32_alone(engine, images, dtype):
    expected, half = engine(images), engine(images.to(dtype))
    with torch.autocast("cpu", dtype=dtype):
        same(engine(images), expected, tolerance=2e-7)
        same(engine(images.to(dtype)), half, tolerance=2e-7)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_reduced_matmul_precision_costs_nothing(images, precision):
    scattering = TorchScattering2D(J, SHAPE, L)
    expected, before = scattering(images), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        same(scattering(images), expected, tolerance=2e-7)
    finally:
        torch.set_float32_matmul_precision(before)


class Products(TorchDispatchMode):
    """The types of the matrices that are multiplied: what a CPU makes of them differs from one to the next."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        if function is torch.ops.aten.mm.default:
            self.types |= {matrix.dtype for matrix in arguments}
        return function(*arguments, **(settings or {}))


@pytest.mark.parametrize("state", ["full", "reduced", "reduced everywhere", "autocast"])
def test_low_pass_is_computed_in_float64_where_float32_products_are_reduced(images, state):
    rows, columns = (torch.rand(4, side, dtype=torch.float64) for side in SHAPE)
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    with contextlib.ExitStack() as stack:
        if state == "autocast":
            stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
        elif state == "reduced everywhere":
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("medium")
        elif state == "reduced":
            if matmul is None:
                pytest.skip("torch < 2.9 has no such setting")
            stack.callback(setattr, matmul, "fp32_precision", matmul.fp32_precision)
            matmul.fp32_precision = "bf16"
        with Products() as products:
            low = apply_separable(images, rows, columns)
            apply_separable_adjoint(low, rows, columns)
    assert low.dtype == torch.float32
    assert products.types == {torch.float32 if state == "full" else torch.float64}


@pytest.mark.parametrize("convert", ["half", "bfloat16", "double", "float"])
def test_conversions_leave_the_filters_alone(engine, images, convert):
    module = getattr(nn.Sequential(copy.deepcopy(engine)), convert)()
    same(module(images), engine(images), tolerance=0)
    same(module(images.double()), engine(images.double()), tolerance=0)


def test_moves(engine, images):
    module = copy.deepcopy(engine).to("cpu", torch.float16, memory_format=torch.channels_last)
    same(module(images), engine(images), tolerance=0)
    assert copy.deepcopy(engine).to("meta")(images.to("meta")).shape == (3, 2, 25, 4, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda(engine, images):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        same(copy.deepcopy(engine).to("cuda")(images.to("cuda")).cpu(), engine(images), tolerance=2e-6)
    finally:
        torch.set_float32_matmul_precision(before)


def test_float64_is_more_exact_than_float32(engine, images):
    double = engine(images.double())
    assert double.dtype == torch.float64
    error = (engine(images) - double).abs().max() / double.abs().max()
    assert 1e-9 < error < 1e-6


def test_nothing_is_saved_or_trained(engine):
    assert not engine.state_dict() and not list(engine.parameters())
    assert all(not buffer.requires_grad for buffer in engine.buffers())
    nn.Sequential(copy.deepcopy(engine)).load_state_dict({}, strict=True)


def test_pickle_copy_and_save(engine, images):
    expected = engine(images)
    same(pickle.loads(pickle.dumps(engine))(images), expected, tolerance=0)
    same(copy.deepcopy(engine)(images), expected, tolerance=0)
    file = io.BytesIO()
    torch.save(engine, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert loaded.paths == engine.paths
    same(loaded(images), expected, tolerance=0)


def test_pickle_pre_padded(images):
    pytest.importorskip("kymatio")
    for engine in ENGINES:
        module = Scattering2D(J, (8, 12), L, pre_pad=True, engine=engine)
        same(pickle.loads(pickle.dumps(module))(images), module(images), tolerance=0)


@pytest.mark.parametrize(
    ("limit", "pieces"), [(3 * 8 * 8 * 24 * 28, [(3, 4), (3, 4), (1, 4)]), (2 * 16 * 24 * 28, [(1, 2)] * 7)]
)
def test_a_large_batch_is_computed_in_pieces_and_a_large_image_by_angles(monkeypatch, limit, pieces):
    scattering = TorchScattering2D(J, SHAPE, L)
    images = torch.rand(7, *SHAPE)
    whole = scattering(images)
    seen = []
    coefficients = scattering.engine.coefficients

    def spy(piece, filters, angles):
        seen.append((len(piece), angles))
        return coefficients(piece, filters, angles)

    monkeypatch.setattr(scattering.engine, "coefficients", spy)
    monkeypatch.setattr("hybrid.scattering.torch_engine._CPU_PIECE", limit)
    same(scattering(images), whole)
    assert seen == pieces


def test_repr_names_the_settings(engine):
    assert "J=2, shape=(16, 20), L=4, max_order=2" in repr(engine)


def test_data_parallel_replicas(engine, images):
    replica = torch.nn.parallel.replicate(engine, [0, 0]) if torch.cuda.is_available() else [copy.copy(engine)] * 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for module in replica:
        same(module(images.to(device)).cpu(), engine(images), tolerance=2e-6)
