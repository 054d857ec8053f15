"""What bench_scattering.py and measure_gpu.py measure, and how: cases, images, calls, errors; which compiled engines can be
built. No command of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.scattering import LearnedScattering2D, Scattering2D
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.codelets.plans import is_supported
from hybrid.scattering.compiled.cpu.kernels import kernel_for
from hybrid.scattering.compiled.cuda.devices import transform_for
from hybrid.scattering.compiled.engine import is_usable
from hybrid.scattering.geometry import Settings, map_sizes
from hybrid.scattering.learned.module import at_levels

LARGEST_L2, LARGEST_WORST = 3e-7, 1e-6
COLOURS = 3


@dataclass(frozen=True)
class Case:
    """A batch of colour images side × side; gradient: forward, and backward to the images; learned: to the filters instead.

    The wavelets of a learned case are parameters, of which the filters are made in every call. Its engine "fixed" is the
    fixed transform in compiled code, forward and backward to the images.
    """

    side: int
    J: int
    batch: int
    order: int = 2
    gradient: bool = False
    learned: bool = False

    @property
    def settings(self) -> Settings:
        """As the compiled engines take them."""
        return Settings(self.J, (self.side, self.side), 8, self.order, False)


def has_peer() -> bool:
    """Whether pytorch_wavelets is installed (`dtcwt`): another transform, with 6 angles and 49 paths, of the same purpose."""
    try:
        import pytorch_wavelets  # noqa: F401
    except ImportError:
        return False
    return True


def refusal(settings: Settings, device: str) -> str | None:
    """Why the torch engine would compute in the compiled one's place on this device, "cpu" or "cuda"; None: it would not."""
    if not all(map(is_supported, map_sizes(settings.padded, settings.J))):
        return f"no codelets serve {settings.shape[0]}x{settings.shape[1]} images with J={settings.J}"
    try:
        if device == "cpu":
            kernel_for(settings, batch=128)
        else:
            with torch.cuda.device(0):
                transform_for(settings, "forward", torch.device(device, 0))
    except CompilerError as error:
        return str(error)
    return None if is_usable(settings, device, 0) else "the torch engine would compute in its place"


def require_engine(device: str, cases: dict[str, Case]) -> None:
    """Raises UserError where the torch engine would be measured in the place of the compiled one of this device."""
    for name, case in cases.items():
        if reason := refusal(case.settings, device):
            raise UserError(f"{name}: the {device} engine cannot be used here: {reason}")


def make(case: Case, engine: str) -> nn.Module:
    """An engine, or the peer's two layers of scale 2 each."""
    if engine == "dtcwt":
        from pytorch_wavelets import ScatLayer

        return nn.Sequential(ScatLayer(), ScatLayer())
    if case.learned and engine != "fixed":
        own = "torch" if engine == "kymatio" else engine
        learned = LearnedScattering2D(case.J, (case.side, case.side), max_order=case.order, engine=own)
        return LearnedKymatio(learned) if engine == "kymatio" else learned
    engine = "auto" if engine == "fixed" else engine
    try:
        return Scattering2D(case.J, (case.side, case.side), max_order=case.order, engine=engine)
    except ImportError as error:
        raise UserError(str(error)) from error


class LearnedKymatio(nn.Module):
    """The authors' way to learn wavelets: kymatio's transform under autograd, with filters that each call makes anew.

    The filters are those of `LearnedScattering2D`, so that both compute the same; the authors' own are not periodic.
    """

    def __init__(self, learned: LearnedScattering2D) -> None:
        super().__init__()
        self.bank, self.L = learned.bank, learned.L
        fixed = Scattering2D(learned.J, learned.shape, learned.L, learned.max_order, engine="kymatio")
        self.kymatio = fixed.engine.kymatio

    def forward(self, images: Tensor) -> Tensor:
        """(..., H, W) -> (..., P, h, w)."""
        filters = {name: buffer.to(images.dtype) for name, buffer in self.kymatio.named_buffers()}
        spectra, number = self.bank.spectra(), len(self.kymatio.phi["levels"])
        for n, psi in enumerate(self.kymatio.psi):
            j, theta = divmod(n, self.L)
            for level in range(len(psi["levels"])):
                wavelets = at_levels(spectra, ((j, level),))[j, level]
                filters[f"tensor{number}"] = wavelets[theta].to(images.dtype).unsqueeze(-1)
                number += 1
        return torch.func.functional_call(self.kymatio, filters, images.contiguous())


def make_images(case: Case) -> Tensor:
    """Noise whose amplitude falls as 1 / frequency, as in natural images, between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, COLOURS, case.side, case.side)
    frequencies = torch.fft.fftfreq(case.side)[:, None].hypot(torch.fft.rfftfreq(case.side)[None, :])
    noise = torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequencies.clamp(min=1 / case.side)
    images = torch.fft.irfft2(noise, s=shape[-2:])
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low)


def call(module: nn.Module, case: Case, images: Tensor) -> Callable[[], object]:
    """What is timed."""
    parameters = list(module.parameters())
    if parameters:
        return lambda: torch.autograd.grad(module(images).sum(), parameters)
    if not (case.gradient or case.learned):
        return torch.no_grad()(lambda: module(images))
    leaf = images.clone().requires_grad_()
    return lambda: torch.autograd.grad(module(leaf).sum(), leaf)


def wait(device: str) -> None:
    """Until the device has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def memory_of_gpu(function: Callable[[], object]) -> float:
    """Megabytes by which one call raises what torch has given out."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = function()
    growth = torch.cuda.max_memory_allocated() - before
    del result
    return growth / 1e6


@torch.no_grad()
def errors(values: Tensor, reference: Tensor) -> dict[str, float]:
    """Relative errors of (N, C, P, h, w) coefficients."""
    off, scale = ((t.double()).square().sum((0, 1, 3, 4)).sqrt() for t in (values - reference, reference))
    return {"l2": (off.norm() / scale.norm()).item(), "worst": (off / scale).max().item()}


def exact(row: dict[str, Any]) -> bool:
    """Whether these errors are as small as those of this package's engines must be."""
    return row["l2"] <= LARGEST_L2 and row["worst"] <= LARGEST_WORST


def capture(function: Callable[[], object]) -> tuple[torch.cuda.CUDAGraph, object]:
    """A CUDA graph of the call, after one call to warm up, and what its replays will fill."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = function()
    return graph, captured
