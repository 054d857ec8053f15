"""How the ranks of a run find each other: each says hello in a store, rank 0 answers, and who is missing is said.

A store may outlive the processes: that of torchrun remembers the attempts before a restart, and how many those were, two
machines count differently. So rank 0's process chooses a new name for each meeting, and gives it to those alone whose hello
is new. Everything else of the run lies in the store under that name. From then on each rank is watched (`watch`).
"""

from __future__ import annotations

import datetime
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence

import torch.distributed as dist

from hybrid.distributed.launch import Launch
from hybrid.distributed.watch import Watch
from hybrid.errors import UserError
from hybrid.escaping import say

# They all start by importing the same things; on a busy file system that takes long.
PATIENCE = datetime.timedelta(minutes=10)
_SAY_AFTER, _SAY_EVERY = 10.0, 60.0  # seconds of waiting
_FASTEST, _SLOWEST = 0.01, 0.5  # seconds between two looks at the store


def meet(launch: Launch, *, timeout: float) -> tuple[Watch, dist.Store]:
    """Wait for all ranks. Returns the watch over them, and the store's part that belongs to this meeting.

    Raises UserError if ranks are missing after ten minutes, or the port is taken; PeerLost if one dies meanwhile.
    """
    meeting = _Meeting(launch)
    name = meeting.agree_on_a_name()
    connection = dist.TCPStore(
        launch.address, launch.port, is_master=False, wait_for_workers=False
    )  # of the watch's own
    watch = Watch(launch, dist.PrefixStore(name, connection), timeout=timeout)
    try:
        meeting.wait_for_all(watch)
    except BaseException:
        watch.stop()
        raise
    return watch, dist.PrefixStore(f"{name}/group", meeting.store)


def waiting_words(launch: Launch, missing: Sequence[int]) -> str:
    """Tell the user for whom a rank waits, and how a single process is started within a job of SLURM."""
    shown = ", ".join(f"rank {rank}{launch.place_of(rank)}" for rank in missing[:8])
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    limit = PATIENCE.seconds // 60
    words = f"waiting at {launch.address}:{launch.port}, up to {limit} minutes, for {shown}{more} of {launch.size} processes"
    if launch.manner == "srun" and launch.rank == 0 and len(missing) == launch.size - 1:
        words += (
            f": srun says that there are {launch.size}. If this is the only one, as in the shell of `srun --pty bash`, stop it "
            "and start it with `env -u SLURM_STEP_NUM_TASKS hybrid train …`"
        )
    return words


class _Meeting:
    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        serves = launch.rank == 0 and not agents
        if not serves:  # asked first by a plain socket: torch's own would wait without a word
            self._wait(self._is_reachable, lambda: [0])
        self._store = dist.TCPStore(
            launch.address, launch.port, is_master=serves, wait_for_workers=False, timeout=PATIENCE, multi_tenant=True
        )
        # another run's store at the same port gets no word of ours
        self.store = dist.PrefixStore(f"hybrid/{launch.run}", self._store)
        self._answered: dict[int, bytes] = {}

    def agree_on_a_name(self) -> str:
        """Rank 0's process chooses the meeting's name; the others say hello and wait to be told."""
        own, rank = uuid.uuid4().hex, self.launch.rank
        if rank == 0:
            self.name = own
        else:
            self.store.set(f"hello/{rank}", own)
            self._wait(lambda: self._is_told(own), lambda: [0])
        return f"hybrid/{self.launch.run}/{self.name}"

    def wait_for_all(self, watch: Watch) -> None:
        """Wait until every rank is in the watch's list."""

        def all_are_there() -> bool:
            watch.check()
            if self.launch.rank == 0:
                self._answer()
            return len(watch.read_members()) == self.launch.size

        self._wait(all_are_there, lambda: sorted(set(range(self.launch.size)) - set(watch.read_members())))

    def _is_told(self, own: str) -> bool:
        if self.store.get(f"hello/{self.launch.rank}").decode() != own:
            raise UserError(
                f"another process has come as rank {self.launch.rank} of this run, too: it was started twice."
            )
        if not self.store.check([f"name/{self.launch.rank}"]):
            return False
        whose, _, self.name = self.store.get(f"name/{self.launch.rank}").decode().partition(" ")
        return whose == own

    def _answer(self) -> None:
        """Tell the meeting's name to whoever has said hello since the last look."""
        for rank in range(1, self.launch.size):
            if not self.store.check([f"hello/{rank}"]):
                continue
            hello = self.store.get(f"hello/{rank}")
            if self._answered.get(rank) != hello:
                self.store.set(f"name/{rank}", f"{hello.decode()} {self.name}")
                self._answered[rank] = hello

    def _is_reachable(self) -> bool:
        try:
            socket.create_connection((self.launch.address, self.launch.port), timeout=2).close()
        except OSError:
            return False
        return True

    def _wait(self, done: Callable[[], bool], missing: Callable[[], list[int]]) -> None:
        began, say_at, pause = time.monotonic(), _SAY_AFTER, _FASTEST
        while not done():
            waited = time.monotonic() - began
            if waited > PATIENCE.total_seconds():
                raise UserError(f"rank {self.launch.rank} has waited in vain: {waiting_words(self.launch, missing())}.")
            if waited > say_at and self._speaks:
                say(waiting_words(self.launch, missing()), file=sys.stderr)
            if waited > say_at:
                say_at += _SAY_EVERY
            time.sleep(pause)
            pause = min(2 * pause, _SLOWEST)

    @property
    def _speaks(self) -> bool:
        """Of each machine one, and rank 1, which may be on that of a missing rank 0."""
        return self.launch.local_rank == 0 or self.launch.rank == 1
