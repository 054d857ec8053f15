"""Who of a distributed run's processes is still alive: a thread beside each of them, so that none waits for the dead.

Every rank leaves its name and, again and again, a sign of life in the store at which the ranks met. A rank that fails leaves
its reason there. A process that is killed can leave nothing: ranks on the same machine see that its process is gone, and the
rank before it in the ring that its signs of life stop. Whoever finds out tells the others, through the store as well. If the
store itself does not answer, because the machine that keeps it is gone, a second thread notices that the first one waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

from hybrid.distributed.launch import Launch
from hybrid.errors import LOST, PeerLost, first_line
from hybrid.escaping import say

GRACE = 5.0  # seconds that a process may take to end by itself, once it is known that another has died
_FAILURE = "failure"


class Watch:
    """Finds out, within `timeout` seconds, that another rank has died or failed; `store` is this thread's own connection."""

    def __init__(self, launch: Launch, store: dist.Store, *, timeout: float) -> None:
        self.launch, self.store, self.timeout = launch, store, timeout
        self.on_exit: Callable[[PeerLost], None] = lambda lost: None
        self.done = False  # nothing is left that a death could spoil
        self._lost: PeerLost | None = None
        self._taken, self._stopped = threading.Event(), threading.Event()
        # Time is counted in rounds of this process's own, not by a clock: one that was suspended for an hour blames nobody.
        self._heard, self._silent_rounds, self._rounds = b"", 0, 0
        self.store.append("members", json.dumps({"rank": launch.rank, **_describe_self()}) + "\n")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._run, self._guard)]
        for thread in self._threads:
            thread.start()

    def post(self, error: BaseException, *, exit_code: int) -> None:
        """Leave word that this rank has failed; the first to do so is the one that the others name.

        The store may end with rank 0's process, so that rank waits, up to GRACE seconds, until the others have read it.
        """
        self._post(self.launch.rank, f"failed: {first_line(error)[:300]}", exit_code)
        if self.launch.rank == 0:
            others = [f"heard/{rank}" for rank in range(1, self.launch.size)]
            until = time.monotonic() + GRACE
            with contextlib.suppress(RuntimeError):
                while time.monotonic() < until and not self.store.check(others):
                    time.sleep(0.05)

    def heard(self, word: str, *, say: bool) -> bool:
        """Whether any rank has said this word; `say` says it."""
        with contextlib.suppress(RuntimeError):  # the store is gone: then the ranks end, whatever was said
            if say:
                self.store.set(f"word/{word}", "1")
            return say or self.store.check([f"word/{word}"])
        return say

    def find(self) -> PeerLost | None:
        """Who was lost, waiting for the news as long as it may take; None if all ranks live. It is the caller's from now on."""
        self._taken.set()
        until = time.monotonic() + self.timeout + 2 * self._interval
        while self._lost is None and time.monotonic() < until and not self._stopped.is_set():
            time.sleep(0.05)
        return self._lost

    def stop(self) -> None:
        """Watch no longer: the ranks have parted in good order, or this one is ending."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=1)

    @property
    def _interval(self) -> float:
        return min(1.0, self.timeout / 10)

    def _run(self) -> None:
        members: dict[int, dict[str, Any]] = {}
        while not self._stopped.wait(self._interval if self._rounds else 0):
            self._rounds += 1
            try:
                self.store.set(f"beat/{self.launch.rank}", str(self._rounds))
                if len(members) < self.launch.size:
                    members = self.read_members()
                self._lost = self._look(members)
            except RuntimeError:  # the store is gone, and with it whoever kept it
                self._lost = self._loss(*(self._dead(members) or (0, f"{self.launch.with_store} died".strip(), LOST)))
            if self._lost is not None:
                return self._end()
        return None

    def _guard(self) -> None:
        """End the process if the store has not answered for the whole time limit: its machine is gone without a word."""
        seen = waited = 0
        while not self._stopped.wait(self._interval) and self._lost is None:
            waited = waited + 1 if seen == self._rounds else 0
            seen = self._rounds
            if waited * self._interval > self.timeout:
                what = f"{self.launch.with_store} has given no sign of life for {self.timeout:g} seconds"
                self._lost = self._loss(0, what.strip(), LOST)
                self._end()

    def read_members(self) -> dict[int, dict[str, Any]]:
        """The ranks that have come so far: rank -> its process, host and table of processes."""
        lines = self.store.get("members").decode().splitlines()
        return {member["rank"]: member for member in map(json.loads, lines)}

    def check(self) -> None:
        """Raise PeerLost if a rank is known to be lost."""
        if self._lost is not None:
            self._taken.set()
            raise self._lost

    def _look(self, members: dict[int, dict[str, Any]]) -> PeerLost | None:
        if self.store.check([_FAILURE]):
            failure = json.loads(self.store.get(_FAILURE))
            self.store.set(f"heard/{self.launch.rank}", "1")
            return self._loss(**failure) if failure["rank"] != self.launch.rank else None
        lost = self._dead(members) or self._silent(members)
        if lost is not None:
            self._post(*lost)
            return self._look(members)
        return None

    def _dead(self, members: dict[int, dict[str, Any]]) -> tuple[int, str, int] | None:
        """A rank on this machine whose process is gone."""
        here = members.get(self.launch.rank, {}).get("processes")
        for rank, member in members.items():
            if here and member["processes"] == here and not _alive(member["pid"]):
                return rank, f"(process {member['pid']} on {member['host']}) died", LOST
        return None

    def _silent(self, members: dict[int, dict[str, Any]]) -> tuple[int, str, int] | None:
        """The next rank of the ring, if it has given no new sign of life for the whole time limit."""
        after = (self.launch.rank + 1) % self.launch.size
        beat = self.store.get(f"beat/{after}") if self.store.check([f"beat/{after}"]) else b""
        self._silent_rounds = self._silent_rounds + 1 if beat == self._heard else 0
        self._heard = beat
        if after not in members or self._silent_rounds * self._interval < self.timeout:
            return None
        member = members[after]
        where = f"(process {member['pid']} on {member['host']})"
        return after, f"{where} has given no sign of life for {self.timeout:g} seconds", LOST

    def _post(self, rank: int, what: str, exit_code: int) -> None:
        news = json.dumps({"rank": rank, "what": what, "exit_code": exit_code})
        with contextlib.suppress(RuntimeError):  # the store may be gone: then the others see that themselves
            self.store.compare_set(_FAILURE, "", news)
            self.store.set(f"heard/{self.launch.rank}", "1")

    @staticmethod
    def _loss(rank: int, what: str, exit_code: int) -> PeerLost:
        speaks_itself = exit_code == 2  # in one line, which is all that is to be said
        speaker = 1 if rank == 0 and not speaks_itself else 0
        return PeerLost(f"rank {rank} {what}", speaker=speaker, exit_code=exit_code)

    def _end(self) -> None:
        """Let the main thread end in good order; where it cannot, because it waits for the dead, end the process."""
        if self._stopped.wait(GRACE) or self._taken.is_set() or self._lost is None or self.done:
            return
        self.on_exit(self._lost)
        if self._lost.speaker == self.launch.rank:
            say(self._lost.line, file=sys.stderr)
        os._exit(self._lost.exit_code)


def outlive_no_parent() -> threading.Event:
    """End this process some seconds after the one that started it is gone, whatever it is doing; set the event to let it be.

    torchrun that is killed outright (out of memory, say) cannot end its ranks; one that is just looking for the others would
    look for them for ever, and keep its GPU.
    """
    parent, enough = os.getppid(), threading.Event()

    def work() -> None:
        while os.getppid() == parent:
            if enough.wait(1):
                return
        if enough.wait(3 * GRACE):  # the watch, where there is one already, knows better what to say
            return
        print("error: the torchrun of this rank has died; the same command continues.", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=work, daemon=True).start()
    return enough


def _describe_self() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": platform.node(), "processes": _process_table()}


def _process_table() -> str | None:
    """What two processes have in common that can see each other; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"  # containers have tables of their own
    except OSError:
        return None


def _alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
