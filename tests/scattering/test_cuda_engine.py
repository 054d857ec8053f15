"""engine=cuda: what compiles, what is said where it cannot be used, and, where there is a GPU, what it computes."""

from __future__ import annotations

import contextlib
import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hybrid.scattering import CudaScattering2D, Scattering2D, compiled_engine, make_scattering
from hybrid.scattering.cache import CompilerError
from hybrid.scattering.cuda import compiler, devices, kernels
from hybrid.scattering.cuda.compiler import architecture, load_code
from hybrid.scattering.cuda.source import cuda_source, kernel_names
from hybrid.scattering.tables import Settings

try:
    compiler.nvrtc()
    NO_NVRTC = ""
except CompilerError as error:
    NO_NVRTC = str(error)
needs_nvrtc = pytest.mark.skipif(bool(NO_NVRTC), reason=NO_NVRTC)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHAPE = (16, 20)
NUMBERS = (2, *SHAPE, 4, 2, False)


@pytest.fixture(autouse=True)
def forgetful():
    """What was found out is forgotten before and after."""
    for function in (compiled_engine._is_usable, devices._transform, compiler.nvrtc, compiler.version):
        function.cache_clear()
    yield
    for function in (compiled_engine._is_usable, devices._transform, compiler.nvrtc, compiler.version):
        function.cache_clear()


def check_compiles(padded, J, direction, capability, folder, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(folder))
    code = load_code(cuda_source(padded, J, direction), "test", capability)
    assert code[:4] == b"\x7fELF"
    for name, level in kernel_names(J, direction):
        assert f"{name}_{level}".encode() in code
    (file,) = folder.glob("test-*.cubin")
    assert file.read_bytes() == code


@needs_nvrtc
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_source_compiles_for_a_gpu(direction, tmp_path, monkeypatch):
    check_compiles((20, 52), 1, direction, (9, 0), tmp_path, monkeypatch)


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize(("padded", "J"), [((40, 40), 2), ((112, 112), 3), ((240, 240), 3), ((272, 272), 4)])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_source_compiles_everywhere(direction, padded, J, capability, tmp_path, monkeypatch):
    check_compiles(padded, J, direction, capability, tmp_path, monkeypatch)


@needs_nvrtc
def test_a_second_process_compiles_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    source = 'extern "C" __global__ void nothing() {}'
    code = load_code(source, "test", (9, 0))
    monkeypatch.setattr(compiler, "_compile", None)
    assert load_code(source, "test", (9, 0)) == code


@needs_nvrtc
def test_which_machine_code_a_gpu_gets():
    assert architecture((9, 0)) == "--gpu-architecture=sm_90"
    assert architecture((90, 0)).startswith("--gpu-architecture=compute_")  # for a driver to translate
    with pytest.raises(CompilerError, match="and newer"):
        architecture((1, 0))


@needs_nvrtc
def test_an_error_in_the_source_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    with pytest.raises(CompilerError, match='NVRTC failed: .*error: identifier "nonsense" is undefined') as caught:
        load_code("nonsense x;", "wrong", (9, 0))
    assert "\n" not in str(caught.value)


def pretend_gpu(monkeypatch, shared=232448):
    """Enough of one to come to the question whether its code can be built."""
    properties = SimpleNamespace(name="pretended", shared_memory_per_block_optin=shared, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)


def the_line(caplog, settings, device="cuda"):
    """The only line of the log about compiled code that cannot be used, however often it is asked for."""
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    assert not any(compiled_engine.is_usable(settings, device, 0) for _ in range(2))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "torch engine" in line and "\n" not in line
    return line


def test_without_nvrtc_the_torch_engine_is_used(monkeypatch, caplog):
    pretend_gpu(monkeypatch)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    line = the_line(caplog, Settings(2, SHAPE, 4, 2, False))
    assert "no NVRTC (pip install cuda-bindings" in line and "16x20 images, J=2" in line


def test_with_too_little_shared_memory_the_torch_engine_is_used(monkeypatch, caplog):
    pretend_gpu(monkeypatch, shared=48 * 1024)
    assert "pretended has too little shared memory" in the_line(caplog, Settings(3, (224, 224), 8, 2, False))


def test_sizes_without_codelets_take_the_torch_engine(monkeypatch, caplog):
    assert "padded to 142x24, which codelets do not serve" in the_line(caplog, Settings(1, (138, 20), 2, 2, False))


def test_images_on_a_cpu_take_the_torch_engine(caplog):
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    scattering, images = make_scattering(2, SHAPE, 4, engine="cuda"), torch.rand(3, *SHAPE)
    assert type(scattering) is CudaScattering2D
    for _ in range(2):
        assert torch.equal(scattering(images), Scattering2D(2, SHAPE, 4)(images))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("J=2: torch engine (images on a device of type cpu, engine=cuda)")


def test_a_graph_that_is_captured_too_early_says_what_to_do(monkeypatch):
    pretend_gpu(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="once before a CUDA graph is captured"):
        devices.transform_for(Settings(2, SHAPE, 4, 2, False), "forward", torch.device("cuda", 0))


def test_tracers_know_shapes_on_a_gpu():
    with FakeTensorMode():
        images = torch.empty(3, *SHAPE, device="cuda")
        values = torch.ops.hybrid.scattering(images, *NUMBERS)
        gradients = torch.ops.hybrid.scattering_backward(images, values, *NUMBERS)
    assert values.shape == (3, 25, 4, 5) and gradients.shape == images.shape
    assert values.device.type == gradients.device.type == "cuda"


def gradient(engine, images, weights):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad((engine(leaf) * weights).sum(), leaf)[0]


GPU_SETTINGS = [
    ((32, 32), 2, 8, 2),
    ((33, 47), 3, 3, 2),
    ((96, 96), 3, 8, 2),
    ((224, 224), 3, 2, 2),
    ((32, 32), 4, 4, 1),
]


@needs_gpu
@pytest.mark.parametrize(("shape", "J", "L", "order"), GPU_SETTINGS)
@pytest.mark.parametrize("batch", [1, 33])
def test_values_and_gradient_on_a_gpu(shape, J, L, order, batch, caplog, exact, channel_error):
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    images = torch.rand(batch, *shape)
    scattering = make_scattering(J, shape, L, order, engine="auto").to("cuda")
    assert channel_error(scattering(images.cuda()).cpu(), exact(images, J, shape, L, order)) <= 1e-6
    assert "cuda engine" in caplog.text
    weights = torch.randn(batch, *scattering.output_shape)
    expected = gradient(Scattering2D(J, shape, L, order), images.double(), weights.double())
    result = gradient(scattering, images.cuda(), weights.cuda())
    assert (result.cpu() - expected).norm() <= 1e-5 * expected.norm()
    assert torch.equal(result, gradient(scattering, images.cuda(), weights.cuda()))  # no order of work in it


@needs_gpu
def test_pieces_on_a_gpu(monkeypatch):
    scattering, images = CudaScattering2D(2, SHAPE).to("cuda"), torch.rand(1000, *SHAPE, device="cuda")
    whole = scattering(images)
    monkeypatch.setattr(kernels, "WORKSPACE_BYTES", 2**20)
    assert torch.equal(scattering(images), whole)


@needs_gpu
def test_a_cuda_graph_holds_values_and_gradient():
    scattering = CudaScattering2D(2, SHAPE, 4).to("cuda")
    images = torch.rand(40, *SHAPE, device="cuda", requires_grad=True)
    weights = torch.randn(40, *scattering.output_shape, device="cuda")

    def step():
        values = scattering(images)
        return values, torch.autograd.grad((values * weights).sum(), images)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        images.copy_(torch.rand_like(images))
    graph.replay()
    assert all(map(torch.equal, captured, step()))


@needs_gpu
def test_compile_autocast_and_second_derivative_on_a_gpu():
    torch._dynamo.reset()
    scattering, reference = (kind(1, (4, 5), 2).to("cuda") for kind in (CudaScattering2D, Scattering2D))
    images = torch.rand(3, 4, 5, device="cuda")
    compiled = torch.compile(scattering, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(images), scattering(images))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(scattering(images), compiled(images))

    def second(engine):
        leaf = images.clone().requires_grad_()
        first = torch.autograd.grad(engine(leaf).square().sum(), leaf, create_graph=True)[0]
        return torch.autograd.grad(first.pow(3).sum(), leaf)[0]

    torch.testing.assert_close(second(scattering), second(reference), rtol=1e-3, atol=1e-4)


@needs_gpu
def test_what_the_torch_engine_does_on_a_gpu():
    scattering, images = CudaScattering2D(2, SHAPE, 4).to("cuda"), torch.rand(3, *SHAPE, device="cuda")
    assert scattering(images.double()).dtype == torch.float64
    assert torch.vmap(scattering)(images).shape == (3, 25, 4, 5)
