"""engine=auto: measured once per machine and size, and said in the log."""

from __future__ import annotations

import logging

import pytest
import torch

from hybrid.cache_folder import NoCacheFolder
from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import CompilerError, fastest_engine
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cpu.compiler import find_compiler
from hybrid.scattering.geometry import Settings

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

IMAGES = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    forget()
    yield
    forget()


def forget():
    """As in a new process."""
    fastest_engine.speedup.cache_clear()
    compiled_engine._choose.cache_clear()


def measured(monkeypatch, *, torch_seconds, compiled_seconds):
    calls = []

    def measure(settings, device, index):
        calls.append((settings, device, index))
        return {"torch": torch_seconds, "compiled": compiled_seconds}

    monkeypatch.setattr(fastest_engine, "measure", measure)
    return calls


def test_the_compiled_engine_where_it_is_faster(monkeypatch, caplog):
    calls = measured(monkeypatch, torch_seconds=3.0, compiled_seconds=0.25)
    scattering = Scattering2D(2, (16, 16))
    values = [scattering(IMAGES) for _ in range(2)]
    assert torch.equal(values[0], Scattering2D(2, (16, 16), engine="cpu")(IMAGES))
    assert len(calls) == 1
    (line,) = [record.getMessage() for record in caplog.records if "measured" in record.getMessage()]
    name = f"cpu engine, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    assert line == f"scattering of 16x16 images, J=2: {name}; measured here, it is faster than the torch engine"
    assert scattering.engine_on("cpu") == scattering.engine_on(torch.device("cpu")) == line


def test_the_torch_engine_where_it_is_faster(monkeypatch, caplog):
    measured(monkeypatch, torch_seconds=1.0, compiled_seconds=2.0)
    assert torch.equal(Scattering2D(2, (16, 16))(IMAGES), TorchScattering2D(2, (16, 16))(IMAGES))
    assert "J=2: torch engine; measured here, it is faster than cpu engine" in caplog.text


def test_another_process_finds_the_measurement(monkeypatch):
    calls = measured(monkeypatch, torch_seconds=1.0, compiled_seconds=2.0)
    for _ in range(2):
        Scattering2D(2, (16, 16))(IMAGES)
        forget()
    assert len(calls) == 1
    Scattering2D(1, (16, 16))(IMAGES)
    assert len(calls) == 2


def test_without_a_folder_it_is_measured_in_every_process(monkeypatch):
    calls = measured(monkeypatch, torch_seconds=2.0, compiled_seconds=1.0)
    settings = Settings(2, (16, 16), 8, 2, False)

    def refuse(*_):
        raise NoCacheFolder("nothing can be written")

    monkeypatch.setattr(fastest_engine, "cached_file", refuse)
    assert fastest_engine.speedup(settings, "cpu", 0) == 2.0 and len(calls) == 1


def test_measuring_takes_seconds_and_no_random_numbers():
    before = torch.get_rng_state()
    seconds = fastest_engine.measure(Settings(2, (16, 16), 8, 2, False), "cpu", 0)
    assert set(seconds) == {"torch", "compiled"} and all(0 < value < 60 for value in seconds.values())
    assert torch.equal(torch.get_rng_state(), before)


def test_measuring_under_autocast_gradients_and_other_modes():
    mine, reference = IMAGES.clone().requires_grad_(), IMAGES.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        Scattering2D(2, (16, 16))(mine).sum().backward()
    TorchScattering2D(2, (16, 16))(reference).sum().backward()
    torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_first_use_within_a_compiled_function():
    scattering = torch.compile(Scattering2D(2, (16, 16)), fullgraph=True)
    torch.testing.assert_close(scattering(IMAGES), TorchScattering2D(2, (16, 16))(IMAGES), rtol=1e-5, atol=1e-6)
