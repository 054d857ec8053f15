"""Compiled kernels on one GPU. They are loaded once and launched on torch's current stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cuda.launches import Launch
from hybrid.scattering.compiled.cuda.source import LANES


class Kernels:
    """The functions of one piece of machine code on `device`. A `hybrid.scattering.compiled.cuda.kernels.Launcher`."""

    def __init__(self, code: bytes, names: list[str], shared_bytes: int, device: torch.device) -> None:
        """Load the code. shared_bytes: the most shared memory that any of the kernels is launched with."""
        driver = _driver()
        self._driver, self._device = driver, device
        # torch's context. It must be made current: a new thread has none.
        self._context = _check(*driver.cuDevicePrimaryCtxRetain(_check(*driver.cuDeviceGet(device.index))))
        _check(*driver.cuCtxSetCurrent(self._context))
        self._module = _check(*driver.cuModuleLoadData(code))  # kept: unloading it would take the functions along
        self._functions = {name: _check(*driver.cuModuleGetFunction(self._module, name.encode())) for name in names}
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        for function in self._functions.values():
            _check(*driver.cuFuncSetAttribute(function, attribute, shared_bytes))

    def begin(self) -> Callable[[Launch, int, int], None]:
        """Return a function that launches kernels on the stream that is current now."""
        _check(*self._driver.cuCtxSetCurrent(self._context))
        launch_kernel, functions = self._driver.cuLaunchKernel, self._functions
        stream = torch.cuda.current_stream(self._device).cuda_stream

        def run(launch: Launch, grid: int, parameters: int) -> None:
            function, shared = functions[launch.kernel], launch.shared_bytes
            (status,) = launch_kernel(function, grid, 1, 1, LANES, launch.warps, 1, shared, stream, parameters, 0)
            if int(status) != 0:
                raise CompilerError(f"the GPU's driver refused to launch {launch.kernel}: {status.name}")

        return run


def _driver() -> Any:
    try:
        from cuda.bindings import driver
    except (ImportError, RuntimeError) as error:
        raise CompilerError(f"no cuda-bindings (pip install cuda-bindings): {error}") from error
    return driver


def _check(status: Any, *values: Any) -> Any:
    if int(status) != 0:
        raise CompilerError(f"the GPU's driver refused: {status.name}")
    return values[0] if values else None
