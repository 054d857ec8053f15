"""The device of a run: which one a name means on this machine, and for each process of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid.distributed.launch import Launch
from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")


def resolve_device(name: str, *, path: str = "trainer.device") -> torch.device:
    """The torch device of a name (auto, cpu, cuda, cuda:N), or a UserError that lists the devices of this machine.

    Apple's MPS is not among them: the scattering transform needs float64.
    """
    present = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device(present[1] if len(present) > 1 else "cpu")
    if name == "cuda" and "cuda:0" in present:
        return torch.device("cuda:0")
    if name not in present:
        raise UserError(f"{path}={name} is not on this machine. Valid: auto, {', '.join(present)}.")
    return torch.device(name)


def rank_device(name: str, launch: Launch) -> torch.device:
    """The device of this process of a run, which has a GPU of its own; UserError where there is none."""
    if launch.size > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return _own_gpu(launch)
    if launch.size > 1 and name.startswith("cuda:"):
        raise UserError(
            f"trainer.device={name} would put all {launch.size} processes on one GPU. Valid: auto, cuda, cpu."
        )
    return resolve_device(name)


def device_name(device: torch.device) -> str:
    """The GPU's own name, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _own_gpu(launch: Launch) -> torch.device:
    """One GPU for each process of this machine; srun may show each process its own GPU alone."""
    count = torch.cuda.device_count()
    if launch.manner == "srun" and count == 1:
        return torch.device("cuda:0")
    if launch.local_rank >= count:
        raise UserError(
            f"process {launch.local_rank} of this machine has no GPU: there are {count}; start as many processes."
        )
    return torch.device("cuda", launch.local_rank)
