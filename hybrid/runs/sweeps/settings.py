"""The settings of configs/cluster/*.yaml, checked."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any, Literal

from hybrid.errors import UserError
from hybrid.ranges import Count, Level, Range

_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """configs/cluster/local.yaml, which says what each setting means."""

    where: Literal["local"]
    name: str | None
    workers: Count
    warm: bool
    devices: Literal["auto"] | list[Level]

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """configs/cluster/slurm.yaml, which says what each setting means."""

    where: Literal["slurm"]
    name: str | None
    nodes: Count
    gpus: Level
    processes: Count | None
    cpus: Count
    memory: Annotated[float, Range(0, 1_000_000, above=True)] | None
    time: str
    partition: str | None
    account: str | None
    qos: str | None
    parallel: Count
    warning: Count
    requeues: Level
    setup: list[str]
    extra: dict[str, Any]
    wait: bool

    def __post_init__(self) -> None:
        check_name(self.name)
        self._check_words()
        if not 1 <= self.warning < 60 * self.minutes:
            raise UserError(f"cluster.warning={self.warning} must lie between 1 s and the time limit, {self.time}.")

    def _check_words(self) -> None:
        """A line break in an option of sbatch would begin a line of the job's script, which the shell runs."""
        words = {f"cluster.{name}": getattr(self, name) for name in ("partition", "account", "qos", "time")}
        words |= {f"cluster.extra.{key}": value for key, value in self.extra.items()}
        for name, value in words.items():
            if not re.fullmatch(r"[\w.-]+", name) or not str(value).isprintable():
                raise UserError(
                    f"{name}={value!r} is not valid: it must be one line, and its name letters, digits and -."
                )

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
