"""Machine code for GPUs, made by NVRTC, NVIDIA's compiler as a library. It needs no GPU, and no toolkit beside torch's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hybrid.cache_folder import NoCacheFolder
from hybrid.errors import first_line
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file

_OPTIONS = ["--std=c++17", "--disable-warnings"]


def load_code(source: str, name: str, capability: tuple[int, int]) -> bytes:
    """Return the machine code (or PTX) of this source for a compute capability, from the cache or compiled now.

    `name` begins the file's name. Raises CompilerError if NVRTC is missing or refuses, or no folder can be written.
    """
    options = [*_OPTIONS, architecture(capability)]
    made_of = "\n".join([*options, ".".join(map(str, version())), source])
    suffix = "ptx" if "compute_" in options[-1] else "cubin"
    try:
        return cached_file(name, made_of, suffix, lambda file: _compile(source, options, file)).read_bytes()
    except NoCacheFolder as error:
        raise CompilerError(f"compiled code has no place: {error}") from error


@cache
def version() -> tuple[int, int]:
    """Return NVRTC's version. Raises CompilerError if it is missing."""
    major, minor = _answer(*nvrtc().nvrtcVersion())
    return major, minor


@cache
def nvrtc() -> ModuleType:
    """Import NVRTC's module. Raises CompilerError if the module, or the library that it loads, is missing."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        raise CompilerError(f"no NVRTC (pip install cuda-bindings nvidia-cuda-nvrtc): {first_line(error)}") from error
    return nvrtc


def architecture(capability: tuple[int, int]) -> str:
    """Return the option for a GPU's machine code; for a GPU newer than NVRTC, the option for PTX, which its driver translates."""
    wanted = capability[0] * 10 + capability[1]
    known = sorted(_answer(*nvrtc().nvrtcGetSupportedArchs()))
    if wanted in known:
        return f"--gpu-architecture=sm_{wanted}"
    older = [arch for arch in known if arch < wanted]
    if not older:
        raise CompilerError(f"NVRTC {version()[0]} compiles for compute capability {known[0] / 10} and newer")
    return f"--gpu-architecture=compute_{older[-1]}"


def _compile(source: str, options: list[str], file: Path) -> None:
    library = nvrtc()
    program = _answer(*library.nvrtcCreateProgram(source.encode(), b"scattering.cu", 0, [], []))
    try:
        (result,) = library.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        if int(result) != 0:
            log = _read(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).decode(errors="replace")
            errors = [line for line in log.splitlines() if "error" in line]
            raise CompilerError(f"NVRTC failed: {(errors or [result.name])[0]}")
        if file.suffix == ".ptx":
            code = _read(library.nvrtcGetPTXSize, library.nvrtcGetPTX, program)
        else:
            code = _read(library.nvrtcGetCUBINSize, library.nvrtcGetCUBIN, program)
    finally:
        library.nvrtcDestroyProgram(program)
    file.write_bytes(code)


def _read(size: Any, fill: Any, program: Any) -> bytes:
    buffer = b" " * _answer(*size(program))
    _answer(*fill(program, buffer))
    return buffer


def _answer(result: Any, *values: Any) -> Any:
    """Return the values of an NVRTC function without its status. Raises CompilerError if that is an error."""
    if int(result) != 0:
        raise CompilerError(f"NVRTC failed: {result.name}")
    return values[0] if len(values) == 1 else values
