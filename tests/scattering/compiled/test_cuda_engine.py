"""engine=cuda without a GPU: what compiles, how it would be launched, what is said where it cannot be used."""

from __future__ import annotations

import contextlib
import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cuda import compiler, devices, driver
from hybrid.scattering.compiled.cuda.compiler import architecture, load_code
from hybrid.scattering.compiled.cuda.launches import Launch
from hybrid.scattering.compiled.cuda.source import cuda_source, kernel_names
from hybrid.scattering.geometry import Settings

try:
    compiler.nvrtc()
    NO_NVRTC = ""
except CompilerError as error:
    NO_NVRTC = str(error)
needs_nvrtc = pytest.mark.skipif(bool(NO_NVRTC), reason=NO_NVRTC)
SHAPE = (16, 20)
NUMBERS = (2, *SHAPE, 4, 2, False, False)


@pytest.fixture(autouse=True)
def forgetful():
    """What was found out is forgotten before and after."""
    for function in (compiled_engine._choose, devices._transform, compiler.nvrtc, compiler.version):
        function.cache_clear()
    yield
    for function in (compiled_engine._choose, devices._transform, compiler.nvrtc, compiler.version):
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
    scattering, images = Scattering2D(2, SHAPE, 4, engine="cuda"), torch.rand(3, *SHAPE)
    assert scattering.engine.devices == ("cuda",)
    for _ in range(2):
        assert torch.equal(scattering(images), TorchScattering2D(2, SHAPE, 4)(images))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("J=2: torch engine (images on a device of type cpu, engine=cuda)")


class FakeDriver:
    """Remembers what it is asked for; every function answers `status` and a number."""

    def __init__(self, status=0):
        self.calls = []
        self.status = type("Status", (), {"name": "CUDA_ERROR_OF_SOME_KIND", "__int__": lambda _: status})()
        self.CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="shared")

    def __getattr__(self, name):
        def function(*arguments):
            self.calls.append((name, *arguments))
            return (self.status,) if name in ("cuLaunchKernel", "cuCtxSetCurrent") else (self.status, 7)

        return function


def test_launches_go_to_the_current_stream_in_torchs_context(monkeypatch):
    fake = FakeDriver()
    monkeypatch.setattr(driver, "_driver", lambda: fake)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=1234))
    loaded = driver.Kernels(b"code", ["last_rows_0"], 5000, torch.device("cuda", 1))
    launch = Launch("last_rows_0", 112, 1, 1, 1, {}, None, {"keeps": 112})
    loaded.begin()(launch, 99, 4321)
    names = [name for name, *_ in fake.calls]
    assert names[:4] == ["cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuModuleLoadData"]
    assert fake.calls[0] == ("cuDeviceGet", 1) and ("cuFuncSetAttribute", 7, "shared", 5000) in fake.calls
    assert fake.calls[-2] == ("cuCtxSetCurrent", 7)
    assert fake.calls[-1] == ("cuLaunchKernel", 7, 99, 1, 1, 32, 8, 1, (2 * 112 + 112) * 128, 1234, 4321, 0)


def test_a_driver_that_refuses_is_one_line(monkeypatch):
    monkeypatch.setattr(driver, "_driver", lambda: FakeDriver(status=1))
    with pytest.raises(CompilerError, match="driver refused: CUDA_ERROR_OF_SOME_KIND"):
        driver.Kernels(b"code", ["last_rows_0"], 0, torch.device("cuda", 0))


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
