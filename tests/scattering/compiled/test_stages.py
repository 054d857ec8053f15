"""The counters of the engine for CPUs: they are in their own library only, and change no value."""

from __future__ import annotations

import ctypes

import pytest
import torch

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cpu.compiler import find_compiler
from hybrid.scattering.compiled.cpu.kernels import Kernel, kernel_for
from hybrid.scattering.compiled.cpu.source import STAGES, cpu_source
from hybrid.scattering.compiled.cpu.stages import StagedKernel
from hybrid.scattering.geometry import Settings

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)

SETTINGS = Settings(2, (8, 12), 4, 2, False)
WAVELET = {"filter", "inverse_columns", "inverse_rows", "lowpass", "output"}
FORWARD = {"forward_rows", "forward_columns"}


@pytest.mark.parametrize("layout", ["images", "rows"])
def test_every_stage_is_counted_and_no_value_changed(layout, monkeypatch):
    monkeypatch.setattr("hybrid.scattering.compiled.cpu.stages.lanes_and_layout", lambda *_: (8, layout))
    images = torch.rand(9, 8, 12)
    staged = StagedKernel(SETTINGS, len(images))
    ticks = staged.ticks(images)
    stages = [{stage for order, stage in ticks if order == wanted} for wanted in range(3)]
    assert stages == [{"input", "lowpass", "output"} | FORWARD, WAVELET | FORWARD, WAVELET]
    assert torch.equal(staged.forward(images), Kernel(SETTINGS, 8, layout, "forward").forward(images))


def test_calls_before_are_not_counted():
    images = torch.rand(9, 8, 12)
    staged = StagedKernel(SETTINGS, len(images))
    counters = (ctypes.c_uint64 * (3 * len(STAGES))).in_dll(staged._library, "stage_ticks")
    counters[:] = [2**60] * len(counters)
    assert max(staged.ticks(images).values()) < 2**60


def test_the_engine_itself_has_no_counters():
    assert not hasattr(kernel_for(SETTINGS, 9)._library, "stage_ticks")
    assert all(f"Stage::{stage}" not in cpu_source((16, 20), 2, 8, "images", "forward") for stage in STAGES)
