"""Print versions, devices, compiler, engines and folders, for bug reports.

    hybrid info

Nothing is compiled or measured but a line of C++.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hybrid.configuration.arguments import command
from hybrid.configuration.paths import ConfigFolders
from hybrid.escaping import say

_OPTIONAL = ("onnx", "onnxscript", "onnxruntime", "safetensors", "submitit", "optuna", "pandas")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command has no options."""


@command(Options)
def info(options: Options) -> None:
    """Print a line for each fact."""
    for name, words in (*_software(), *_machine(), *_engines(), *_folders()):
        say(f"{name:<12} {words}")


def _software() -> Iterator[tuple[str, str]]:
    import hybrid
    from hybrid.runs.environment import describe_environment, version_of

    facts = describe_environment()
    commit = f", commit {facts['commit']}" if facts["commit"] else ""
    yield "hybrid", f"{facts['hybrid']}{commit}, in {Path(hybrid.__file__).parent}"
    yield "python", f"{facts['python']}, {sys.executable}"
    versions = facts["packages"] | {name: version_of(name) for name in _OPTIONAL}
    yield "packages", ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield "missing", ", ".join(name for name, version in versions.items() if not version) or "none"


def _machine() -> Iterator[tuple[str, str]]:
    import torch

    from hybrid.runs.environment import describe_environment

    facts = describe_environment()
    yield "system", facts["system"]
    yield "processor", f"{facts['processor'] or platform.machine()}, {facts['cores']} cores, {facts['threads']} threads"
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield (
            f"cuda:{index}",
            f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}",
        )
    if not torch.cuda.is_available():
        yield "cuda", f"no GPU that torch can use (torch is built for CUDA {facts['cuda'] or 'none'})"


def _engines() -> Iterator[tuple[str, str]]:
    """The C++ compiler, whether each engine of the scattering transform works here, and where compiled code is kept."""
    from hybrid.runs.environment import version_of

    yield from _cpu_engine()
    yield from _cuda_engine()
    kymatio = version_of("kymatio")
    yield "kymatio", f"works, version {kymatio}" if kymatio else "is not installed"
    yield "cache", _cache()


def _cpu_engine() -> Iterator[tuple[str, str]]:
    from hybrid.scattering.compiled import CompilerError
    from hybrid.scattering.compiled.cpu.compiler import find_compiler, flags_for

    try:
        compiler = tuple(find_compiler())
        flags = " ".join(flags_for(compiler))
    except CompilerError as error:
        yield "engine cpu", f"does not work: {error}"
        return
    said = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout.splitlines()
    yield "compiler", f"{' '.join(compiler)} ({said[0] if said else 'it does not say its version'}), {flags}"
    yield "engine cpu", "works: its code is compiled at the first use of a size"


def _cuda_engine() -> Iterator[tuple[str, str]]:
    from hybrid.scattering.compiled import CompilerError
    from hybrid.scattering.compiled.cuda.compiler import version
    from hybrid.scattering.compiled.selftest import kept_verdicts

    try:
        yield "engine cuda", f"NVRTC {'.'.join(map(str, version()))} compiles its code"
    except CompilerError as error:
        yield "engine cuda", f"does not work: {error}"
    for verdict in kept_verdicts():
        yield "selftest", f"{verdict.line} ({verdict.versions})"


def _cache() -> str:
    from hybrid.cache_folder import NoCacheFolder, cache_folder

    try:
        folder = cache_folder()
    except NoCacheFolder as error:
        return str(error)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder}, {size / 2**20:.1f} MiB"


def _folders() -> Iterator[tuple[str, str]]:
    yield "configs", ", ".join(map(str, ConfigFolders.read().folders))
    names = sorted(name for name in os.environ if name.startswith("HYBRID_"))
    yield "variables", " ".join(f"{name}={os.environ[name]}" for name in names) or "none of HYBRID_… is set"
