"""Whether a GPU computes the compiled transform correctly: found out once per GPU, version and kernel, in its own process.

A wrong kernel may not only give wrong numbers: it may end the process, never finish, or spoil the process's use of the GPU so
that nothing else works there. So the test runs in a child process with a time limit, and engine="auto" takes compiled code on a
GPU only after it has passed. The verdict is kept in the cache folder. `hybrid selftest` runs the test again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from hybrid.cache_folder import NoCacheFolder, cache_folder
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file, is_intact, sources
from hybrid.scattering.compiled.cuda.compiler import version
from hybrid.scattering.geometry import Settings
from hybrid.version import __version__

_log = logging.getLogger(__name__)
LIMIT_S = 900.0  # most of it is for compiling: 5 to 15 s for each size
# Short and long lines, sides that are no powers of two, every J to 4, both orders, few and many angles.
SIZES = (
    Settings(1, (8, 8), 8, 2),
    Settings(1, (16, 20), 4, 1),
    Settings(2, (28, 28), 8, 2),
    Settings(2, (32, 32), 8, 2),
    Settings(3, (33, 47), 3, 2),
    Settings(4, (32, 32), 4, 1),
    Settings(3, (64, 48), 8, 2),
    Settings(2, (96, 96), 8, 2),
    Settings(4, (100, 64), 2, 2),
    Settings(3, (224, 224), 2, 2),
)
_IMAGES = 33  # a block of 32, and one that is nearly empty
# A working engine is off by 1e-7 in values and 1e-6 to 1e-5 in gradients, relative to their norm.
LARGEST_ERROR, LARGEST_GRADIENT_ERROR = 1e-6, 1e-4


@dataclass(frozen=True)
class Verdict:
    """What the self-test of one GPU found.

    passed: whether engine="auto" may take compiled code there. line: the same in one line, with the figures or the reason.
    gpu: its name. versions: of hybrid, torch, CUDA and NVRTC. seconds: how long the test took.
    """

    passed: bool
    line: str
    gpu: str
    versions: str
    seconds: float


@cache
def verdict(device_index: int) -> Verdict:
    """The kept verdict on this GPU with these versions; the self-test runs now where there is none.

    Processes that ask at the same time wait for one test. Where no folder can be written, each process runs its own.
    Raises CompilerError where there is nothing to test: no NVRTC, or a GPU of another maker than NVIDIA.
    """
    return _kept_or_run(device_index, _command(device_index), LIMIT_S, again=False)


def run_selftest(device_index: int, *, command: Sequence[str] | None = None, limit: float = LIMIT_S) -> Verdict:
    """Run the self-test of this GPU again, and keep the new verdict.

    command: the child process, if it is another than `examine` in a Python of its own. limit: seconds after which it is
    killed. Raises CompilerError as `verdict` does.
    """
    verdict.cache_clear()
    return _kept_or_run(device_index, command or _command(device_index), limit, again=True)


def kept_verdicts() -> list[Verdict]:
    """All verdicts in the cache folder, by GPU and versions; none where no folder can be written."""
    try:
        files = sorted(cache_folder().glob("selftest-*.json"))
    except NoCacheFolder:
        return []
    return sorted((_read(file) for file in files if is_intact(file)), key=lambda kept: (kept.gpu, kept.versions))


def _kept_or_run(index: int, command: Sequence[str], limit: float, *, again: bool) -> Verdict:
    if torch.version.hip:
        raise CompilerError("there is no compiled code for AMD's GPUs")
    gpu = torch.cuda.get_device_name(index)
    nvrtc = ".".join(map(str, version()))
    versions = f"hybrid {__version__}, torch {torch.__version__}, CUDA {torch.version.cuda}, NVRTC {nvrtc}"

    def write(path: Path) -> None:
        path.write_text(json.dumps(asdict(_run(command, limit, gpu, versions))))

    name = "selftest-" + "".join(letter if letter.isalnum() else "_" for letter in gpu)
    try:
        return _read(cached_file(name, f"{gpu} {versions} {sources()}", "json", write, again=again))
    except NoCacheFolder:
        return _run(command, limit, gpu, versions)


def _read(file: Path) -> Verdict:
    return Verdict(**json.loads(file.read_text()))


def _run(command: Sequence[str], limit: float, gpu: str, versions: str) -> Verdict:
    _log.warning("the cuda engine is tested on %s, once, in a process of its own; it may take up to %.0f s", gpu, limit)
    started = time.monotonic()
    passed, words = _child(command, limit)
    outcome = "passed" if passed else "did not pass"
    hint = "" if passed else " (hybrid selftest runs it again)"
    line = f"the cuda engine {outcome} its self-test on {gpu}: {words}{hint}"
    return Verdict(passed, line, gpu, versions, round(time.monotonic() - started, 1))


def _command(index: int) -> list[str]:
    return [sys.executable, "-m", "hybrid.scattering.compiled.selftest", str(index)]


def _child(command: Sequence[str], limit: float) -> tuple[bool, str]:
    """Whether the child process says that all is well, and what it says, or how it ended instead."""
    checkout = str(Path(__file__).resolve().parents[3])  # the child must import this package, wherever it was found
    path = os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return False, f"its process did not end within {limit:.0f} s"
    finally:
        _kill(process)
    if process.returncode < 0:
        return False, f"its process was ended by {signal.Signals(-process.returncode).name}"
    try:
        answer = json.loads(output.splitlines()[-1])
        return bool(answer["passed"]), str(answer["words"])
    except (IndexError, KeyError, TypeError, ValueError):
        reason = ([line for line in errors.splitlines() if line.strip()] or ["it said nothing"])[-1].strip()
        return False, f"its process failed with exit code {process.returncode}: {reason}"


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and all that it has started. One that the driver does not let go is left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


def examine(device: torch.device, sizes: Sequence[Settings] = SIZES) -> tuple[bool, str]:
    """Compare the compiled engine with the torch engine in float64 on this device: whether it is right, and the figures in words.

    It is what the child process does. Raises CompilerError where the code cannot be built.
    """
    figures = []
    for settings in sizes:
        values, gradient = _compare(settings, device)
        if not (values <= LARGEST_ERROR and gradient <= LARGEST_GRADIENT_ERROR):  # NaN too
            height, width = settings.shape
            where = f"{height}x{width} images, J={settings.J}, L={settings.L}, order {settings.max_order}"
            return False, f"relative errors of {values:.1e} (values) and {gradient:.1e} (gradient) with {where}"
        figures.append((values, gradient))
    values, gradients = zip(*figures, strict=True)
    return True, (
        f"{len(sizes)} sizes, relative errors up to {max(values):.1e} (values) and {max(gradients):.1e} (gradients)"
    )


def _compare(settings: Settings, device: torch.device) -> tuple[float, float]:
    """Relative errors of values and gradient."""
    from hybrid.scattering.compiled.operator import apply
    from hybrid.scattering.torch_engine import TorchEngine

    generator, engine = torch.Generator().manual_seed(0), TorchEngine(settings).to(device)
    images = torch.rand(_IMAGES, *settings.input_shape, generator=generator).to(device).requires_grad_()
    weights = torch.randn(_IMAGES, *settings.output_shape, generator=generator).to(device)
    exact = images.detach().double().requires_grad_()
    pairs = []
    for values, leaf in ((apply(images, settings), images), (engine(exact), exact)):
        pairs.append((values.detach(), torch.autograd.grad((values * weights).sum(), leaf)[0]))
    errors = [((ours - theirs).norm() / theirs.norm()).item() for ours, theirs in zip(*pairs, strict=True)]
    return errors[0], errors[1]


if __name__ == "__main__":
    passed, words = examine(torch.device("cuda", int(sys.argv[1])))
    print(json.dumps({"passed": passed, "words": words}))
