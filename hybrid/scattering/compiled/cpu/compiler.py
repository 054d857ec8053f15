"""The system's C++ compiler: how it is found, its flags, and the libraries that it makes for this CPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path

from hybrid.cache_folder import NoCacheFolder
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file

# -ffp-contract: a product and a sum become one instruction. No -ffast-math: NaN and infinity must go through.
_FLAGS = [
    "-std=gnu++17",
    "-O2",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-w",
    "-fPIC",
    "-shared",
]
# Tried in this order: a compiler may know no OpenMP (Apple's), or no -march=native (old ones on ARM).
_CHOICES = [
    ["-march=native", "-mprefer-vector-width=512", "-fopenmp"],
    ["-march=native", "-fopenmp"],
    ["-mcpu=native", "-fopenmp"],
    ["-march=native"],
    ["-mcpu=native"],
    ["-fopenmp"],
    [],
]
# Seconds. The longest source takes some 30 on one core; a question of one line takes none.
_TIMEOUT, _SAY_AFTER, _QUESTION = 300, 60, 20


def load_library(source: str, name: str) -> ctypes.CDLL:
    """Load the library of this source, which is compiled if it is not in the cache. Its file's name begins with `name`.

    Raises CompilerError if there is no compiler, it fails, or no folder can be written.
    """
    compiler = tuple(find_compiler())
    made_of = identity(compiler) + source
    try:
        return ctypes.CDLL(str(cached_file(name, made_of, "so", lambda file: compile_library(compiler, source, file))))
    except NoCacheFolder as error:
        raise CompilerError(f"compiled code has no place: {error}") from error
    except OSError as error:
        raise CompilerError(f"the compiled library cannot be loaded: {error}") from error


def find_compiler() -> list[str]:
    """Return the command of $CXX, else of c++, g++ or clang++ on the path. Raises CompilerError if there is none."""
    try:
        chosen = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise CompilerError(f"CXX={os.environ['CXX']} cannot be read: {error}") from error
    candidates = [chosen] if chosen else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        path = shutil.which(command[0])
        if path:
            return [path, *command[1:]]
    raise CompilerError(f"no C++ compiler found ({', '.join(command[0] for command in candidates)})")


@cache
def flags_for(compiler: tuple[str, ...]) -> tuple[str, ...]:
    """Return the best flags that this compiler takes. Raises CompilerError if it takes none."""
    for choice in _CHOICES:
        command = [*compiler, *_FLAGS, *choice, "-x", "c++", "-", "-o", os.devnull]
        if _run(command, "int answer() { return 42; }", seconds=_QUESTION).returncode == 0:
            return (*_FLAGS, *choice)
    raise CompilerError(f"{compiler[0]} cannot compile a shared library")


@cache
def identity(compiler: tuple[str, ...]) -> str:
    """Return a hash of all that machine code depends on beside its source: the compiler's version, the flags, the CPU."""
    version = _run([*compiler, "--version"], "", seconds=_QUESTION).stdout
    parts = [*compiler, version, *flags_for(compiler), platform.machine(), _cpu()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def compile_library(compiler: tuple[str, ...], source: str, library: Path) -> None:
    """Write the shared library. Raises CompilerError with the compiler's first error."""
    result = _run([*compiler, *flags_for(compiler), "-x", "c++", "-", "-o", str(library)], source)
    if result.returncode != 0:
        errors = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()
        raise CompilerError(f"{compiler[0]} failed: {errors[0] if errors else f'exit code {result.returncode}'}")
    if not library.is_file() or not library.stat().st_size:
        raise CompilerError(f"{compiler[0]} ended without an error and wrote no library")


def native_lanes() -> int:
    """Return how many float32 numbers a register of this CPU holds; 8 if unknown, which every compiler can split."""
    return 16 if "avx512f" in _cpu().split() else 8


def _run(command: list[str], source: str, *, seconds: float = _TIMEOUT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"}  # messages in ASCII
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        with subprocess.Popen(command, text=True, errors="replace", env=environment, **pipes) as process:
            try:
                out, errors = _communicate(process, source, seconds)
            except BaseException:
                process.kill()
                raise
    except subprocess.TimeoutExpired as error:
        raise CompilerError(f"{command[0]} has not answered for {seconds:g} s") from error
    except OSError as error:
        raise CompilerError(f"{command[0]} cannot be run: {error}") from error
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _communicate(process: subprocess.Popen[str], source: str, seconds: float) -> tuple[str, str]:
    """What a process prints for this input; a warning says when it takes long."""
    if seconds <= _SAY_AFTER:
        return process.communicate(source, timeout=seconds)
    try:
        return process.communicate(source, timeout=_SAY_AFTER)
    except subprocess.TimeoutExpired:
        warnings.warn(f"{process.args[0]} has compiled for {_SAY_AFTER} s; at most {seconds:g} s", stacklevel=2)
        return process.communicate(timeout=seconds - _SAY_AFTER)


@cache
def _cpu() -> str:
    """The CPU's model and instruction sets: -march=native means something else on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = ("model name", "flags", "Features", "CPU part")
    found = {line.split(":")[0].strip(): line.partition(":")[2] for line in lines}  # the last core's
    return " ".join(found.get(name, "") for name in names)
