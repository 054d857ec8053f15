"""How many processes this run has and which of them this one is, from the variables of torchrun or of SLURM's srun.

torchrun   RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
srun       SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, the first host of SLURM_STEP_NODELIST (or SLURM_JOB_NODELIST)
neither    one process

A leaf without torch: a command must know before it imports anything whether it is the one that speaks.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Literal

from hybrid.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """Process `rank` of `size` (0 is the first), the `local_rank`-th on its machine; all meet at `address`:`port`."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1  # processes that share this one's cores; srun gives each its own
    address: str = "127.0.0.1"
    port: int = 0
    manner: Literal["python", "torchrun", "srun"] = "python"
    run: str = ""  # what tells this run from others that may meet at the same machine
    hosts: tuple[str, ...] = ()  # of each rank, where srun says so

    def place_of(self, rank: int) -> str:
        """ " on node3", or of torchrun, which does not say the names of machines, " (machine 2 of 4)"; "" where unknown."""
        if len(self.hosts) == self.size:
            return f" on {self.hosts[rank]}"
        machines = self.size // self.local_size
        return (
            f" (machine {rank // self.local_size + 1} of {machines})"
            if self.manner == "torchrun" and machines > 1
            else ""
        )

    @property
    def with_store(self) -> str:
        """Words behind "rank 0" for whoever may have taken the store along: " or its torchrun", " on node1" under srun."""
        return " or its torchrun" if self.manner == "torchrun" else self.place_of(0)

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Launch:
        """From the environment's variables (this process's own by default). UserError where they are incomplete.

        The variables of a batch script, which SLURM sets beside those of srun, start nothing: only srun's count.
        """
        variables = os.environ if environment is None else environment
        if "RANK" in variables and "WORLD_SIZE" in variables:
            return cls._of_torchrun(variables)
        if "SLURM_PROCID" in variables and "SLURM_STEP_NUM_TASKS" in variables:
            return cls._of_srun(variables)
        return cls()

    @classmethod
    def _of_torchrun(cls, variables: Mapping[str, str]) -> Launch:
        size = _number(variables, "WORLD_SIZE")
        if size > 1 and (missing := [n for n in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if n not in variables]):
            raise UserError(f"RANK and WORLD_SIZE are set, but {' and '.join(missing)} not: start with torchrun.")
        place = {"address": variables.get("MASTER_ADDR", cls.address), "run": variables.get("TORCHELASTIC_RUN_ID", "")}
        numbers = {"local_rank": "LOCAL_RANK", "local_size": "LOCAL_WORLD_SIZE", "port": "MASTER_PORT"}
        for field, name in numbers.items():
            if name in variables:
                place[field] = _number(variables, name)
        return cls(rank=_own_rank(variables, "RANK", size), size=size, manner="torchrun", **place)

    @classmethod
    def _of_srun(cls, variables: Mapping[str, str]) -> Launch:
        job, step = _number(variables, "SLURM_JOB_ID", 0), _number(variables, "SLURM_STEP_ID", 0)
        hosts = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_JOB_NODELIST") or ""
        size = _number(variables, "SLURM_STEP_NUM_TASKS")
        return cls(
            rank=_own_rank(variables, "SLURM_PROCID", size),
            size=size,
            run=f"{job}.{step}",
            hosts=hosts_of_ranks(hosts, variables.get("SLURM_STEP_TASKS_PER_NODE", "")),
            local_rank=_number(variables, "SLURM_LOCALID"),
            address=variables.get("MASTER_ADDR") or first_host(hosts) or cls.address,
            # two steps on one machine must not meet at one port; below 32768 no system hands out ports by itself
            port=_number(variables, "MASTER_PORT", 20000 + (job * 31 + step) % 10000),
            manner="srun",
        )


def first_host(hosts: str) -> str:
    """The first name of SLURM's list of hosts: "node[03-05,7],login" → "node03"."""
    depth, end = 0, len(hosts)
    for index, letter in enumerate(hosts):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            end = index
            break
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", hosts[:end])


def hosts_of_ranks(hosts: str, tasks: str) -> tuple[str, ...]:
    """The host of each rank, in blocks: ("node[1-2],x", "2(x2),1") → node1 node1 node2 node2 x; () where they do not fit."""
    names = []
    for entry in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)?", hosts):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", entry)
        for span in match[2].split(",") if match else [""]:
            first, _, last = span.partition("-")
            numbers = [first] if not last else [f"{k:0{len(first)}}" for k in range(int(first), int(last) + 1)]
            names += [f"{match[1]}{number}{match[3]}" for number in numbers] if match else [entry]
    counts = [int(count) for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks) for _ in range(int(times or 1))]
    if len(names) != len(counts):
        return ()
    return tuple(name for name, count in zip(names, counts, strict=True) for _ in range(count))


def _own_rank(variables: Mapping[str, str], name: str, size: int) -> int:
    rank = _number(variables, name)
    if rank >= size:
        raise UserError(
            f"this process is rank {rank}, and the run has {size} ({name} counts from 0): it was started once too often."
        )
    return rank


def _number(variables: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = variables.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit():
        raise UserError(
            f"the variable {name} is {text or 'not set'}: it must be a whole number; start with torchrun or srun."
        )
    return int(text)
