"""The settings of configs/cluster/*.yaml, checked."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

from hybrid.errors import UserError

_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """configs/cluster/local.yaml, which says what each setting means."""

    where: Literal["local"]
    name: str | None
    workers: int
    devices: Literal["auto"] | list[int]

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_counts(self, "workers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """configs/cluster/slurm.yaml, which says what each setting means."""

    where: Literal["slurm"]
    name: str | None
    nodes: int
    gpus: int
    processes: int | None
    cpus: int
    memory: float | None
    time: str
    partition: str | None
    account: str | None
    qos: str | None
    parallel: int
    warning: int
    requeues: int
    setup: list[str]
    extra: dict[str, Any]
    wait: bool

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_counts(self, "nodes", "cpus", "parallel")
        for field in ("gpus", "requeues"):
            if getattr(self, field) < 0:
                raise UserError(f"cluster.{field}={getattr(self, field)} is not valid: it must be 0 or more.")
        if self.processes is not None and self.processes < 1:
            raise UserError(f"cluster.processes={self.processes} is not valid: it must be at least 1, or null.")
        if not 1 <= self.warning < 60 * self.minutes:
            raise UserError(f"cluster.warning={self.warning} must lie between 1 s and the time limit, {self.time}.")
        if self.memory is not None and not self.memory > 0:
            raise UserError(f"cluster.memory={self.memory} is not valid: it must be above 0 GiB.")

    @property
    def minutes(self) -> int:
        """The time limit of a run, rounded up to a minute, as SLURM counts."""
        match = _TIME.fullmatch(self.time)
        if match is None:
            raise UserError(f"cluster.time={self.time} is not valid: write h:mm:ss or d-hh:mm:ss, such as '4:00:00'.")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return max(1, (days * 24 + hours) * 60 + minutes + (seconds > 0))

    def sbatch(self) -> dict[str, Any]:
        """The parameters as submitit's AutoExecutor calls them."""
        parameters: dict[str, Any] = {
            "timeout_min": self.minutes,
            "nodes": self.nodes,
            "tasks_per_node": self.processes or max(1, self.gpus),
            "cpus_per_task": self.cpus,
            "slurm_array_parallelism": self.parallel,
            "slurm_signal_delay_s": self.warning,
            "stderr_to_stdout": True,
            "mem_gb": self.memory,
            "gpus_per_node": self.gpus or None,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_additional_parameters": dict(self.extra) or None,
        }
        return {name: value for name, value in parameters.items() if value is not None}


def check_name(name: str | None) -> None:
    """Raise UserError unless this can be the name of a sweep's or a search's folder."""
    if name is not None and not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name):
        raise UserError(f"cluster.name={name} is not valid: it is a folder's name, of letters, digits and . _ + -.")


def _check_counts(settings: Any, *fields: str) -> None:
    for field in fields:
        if getattr(settings, field) < 1:
            raise UserError(f"cluster.{field}={getattr(settings, field)} is not valid: it must be at least 1.")
