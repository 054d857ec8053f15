"""Several nodes on one machine, to try what happens on a cluster: each has a hostname, a process table and a network of its own.

    python scripts/cluster/nodes.py to=nodes nodes=3 slots=2     starts them with a real SLURM, until Ctrl-C

A login node and node1, node2 … are Linux namespaces on one bridge; they share all folders. The login node holds the process
tables of the others, so that the end of its first process ends all, and leaves no process, link or bridge behind. What is
not simulated: clocks, kernels and disks of their own, and GPUs.

As root, with Debian's packages: apt-get install iproute2 util-linux, and for SLURM slurm-wlm munge
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from hybrid.configuration.arguments import command, option  # noqa: E402
from hybrid.errors import UserError  # noqa: E402

LOGIN = "login"
_COMMANDS = ("ip", "unshare", "nsenter", "setpriv", "mount")
_OF_SLURM = ("slurmctld", "slurmd", "munged", "mungekey")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_ISOLATED = ("--net", "--uts", "--mount", "--pid")
# The first process of a node takes the children of those that have ended, and forgets them.
_INIT = """
hostname "$0" && mount --bind "$1" /etc/hosts && ip link set lo up || exit 1
echo ready
exec "$2" -S -c 'import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); [signal.pause() for _ in iter(int, 1)]'
"""


def missing(*, slurm: bool = False) -> str | None:
    """Why no nodes can be started here, in words; None if they can."""
    if os.geteuid():
        return "needs root"
    if absent := [
        name for name in (*_COMMANDS, *(_OF_SLURM if slurm else ())) if shutil.which(name, path=_PATH) is None
    ]:
        return f"needs {', '.join(absent)}: apt-get install iproute2 util-linux{' slurm-wlm munge' if slurm else ''}"
    tried = subprocess.run(["unshare", *_ISOLATED, "--fork", "--mount-proc", "ip", "link", "add", "br0", "type", "bridge"],
                           capture_output=True, text=True, env={**os.environ, "PATH": _PATH})  # fmt: skip
    return f"the kernel allows no namespaces or bridges here: {tried.stderr.strip()}" if tried.returncode else None


class Nodes:
    """A login node and `count` others, from `start()` to `stop()`. A context, too."""

    def __init__(self, folder: Path, count: int) -> None:
        """folder: for the nodes' files."""
        self.folder, self.names = folder, [f"node{number}" for number in range(1, count + 1)]
        self._first: dict[str, int] = {}  # the process of a node that its namespaces hang on, as this system numbers it
        self._keepers: list[subprocess.Popen] = []

    def __enter__(self) -> Nodes:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all. Raises UserError where that cannot be done."""
        if reason := missing():
            raise UserError(f"simulated nodes: {reason}")
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{self.address(name)} {name}\n" for name in (LOGIN, *self.names)]
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        self._begin(LOGIN)
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("addr", "add", f"{self.address(LOGIN)}/24", "dev", "br0")
        self._ip("link", "set", "br0", "up")
        for name in self.names:
            self.boot(name)

    def stop(self) -> None:
        """End every process of the nodes; bridge and links end with them."""
        if LOGIN in self._first:
            _kill(self._first.pop(LOGIN))
        for keeper in self._keepers:
            keeper.wait(timeout=60)
        self._keepers, self._first = [], {}

    def address(self, name: str) -> str:
        """The address of a node."""
        return "10.0.0.1" if name == LOGIN else f"10.0.0.{10 + int(name.removeprefix('node'))}"

    def boot(self, name: str) -> None:
        """Start a node, or start it again after a power cut."""
        self._begin(name)
        number = name.removeprefix("node")
        self._ip("link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", str(self._first[name]))
        self._ip("link", "set", f"to{number}", "master", "br0", "up")
        self.run(name, "ip", "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        self.run(name, "ip", "link", "set", "eth0", "up")

    def cut_power(self, name: str) -> None:
        """Take a node away at once: nobody gets a last word from it."""
        self.link(name, "down")
        _kill(self._first.pop(name))
        self._ip("link", "del", f"to{name.removeprefix('node')}", check=False)  # its end may have removed it already

    def link(self, name: str, state: str) -> None:
        """Set a node's link "up" or "down": what is sent meanwhile is lost."""
        self._ip("link", "set", f"to{name.removeprefix('node')}", state)

    def run(self, name: str, *words: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        """Run a command on a node and wait for it."""
        done = subprocess.run(
            self.words(name, words), capture_output=True, text=True, timeout=300, **_environment(options)
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)} on {name}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def popen(self, name: str, *words: str, **options) -> subprocess.Popen[str]:
        """Start a command on a node. The options are Popen's."""
        return subprocess.Popen(self.words(name, words), text=True, **_environment(options))

    def words(self, name: str, words: Sequence[str]) -> list[str]:
        """The command that runs a command on a node, in the current folder. To kill the one kills the other."""
        enter = ["nsenter", "--target", str(self._first[name]), *_ISOLATED, f"--wd={os.getcwd()}", "--"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", *words]

    def move_to(self, name: str) -> None:
        """Go on, in a new process, on a node; this one waits for that and ends as it does. For a forked process alone."""
        here = os.getcwd()
        spaces = [os.open(f"/proc/{self._first[name]}/ns/{kind}", os.O_RDONLY) for kind in ("uts", "net", "mnt", "pid")]
        for space in spaces:
            if ctypes.CDLL(None, use_errno=True).setns(space, 0):  # os.setns needs Python 3.12
                raise OSError(ctypes.get_errno(), f"setns to {name}")
            os.close(space)
        os.chdir(here)
        platform._uname_cache = None  # Python remembers the host's name
        pid = os.fork()
        if pid:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code < 0:
                os.kill(os.getpid(), -code)
            os._exit(code)

    def _begin(self, name: str) -> None:
        begin = ["unshare", *_ISOLATED, "--fork", "--kill-child", "--mount-proc", "--"]
        # the death of this program ends the login node, and with it all
        begin = ["setpriv", "--pdeathsig", "KILL", *begin] if name == LOGIN else self.words(LOGIN, begin)
        init = ["sh", "-c", _INIT, name, str(self.folder / "hosts"), sys.executable]
        options = _environment({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True})
        keeper = subprocess.Popen([*begin, *init], stdin=subprocess.DEVNULL, text=True, **options)
        self._keepers.append(keeper)
        with keeper.stdout, keeper.stderr:
            if keeper.stdout.readline() != "ready\n":
                raise UserError(f"simulated nodes: {name} cannot be started: {keeper.stderr.read().strip()}")
        last = keeper.pid
        while children := _children(last):
            last = children[0]
        self._first[name] = last

    def _ip(self, *words: str, check: bool = True) -> None:
        """Change the login node's network. Numbers of processes are those of this system."""
        command = ["nsenter", "--target", str(self._first[LOGIN]), "--net", "--", "ip", *words]
        done = subprocess.run(command, capture_output=True, text=True, **_environment({}))
        if check and done.returncode:
            raise UserError(f"simulated nodes: ip {' '.join(words)}: {done.stderr.strip()}")


class Slurm:
    """A real SLURM on nodes: its controller on the login node, a slurmd on each of the others."""

    def __init__(self, nodes: Nodes, *, slots: int, settings: Sequence[str] = ()) -> None:
        """slots: jobs of one core that a node takes at a time. settings: further lines of slurm.conf."""
        self.nodes, self.folder = nodes, nodes.folder / "slurm"
        self._slots, self._settings = slots, settings
        self._script = str(ROOT / "scripts" / "cluster" / "local_slurm.sh")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which SLURM's commands find it."""
        return {**os.environ, "PATH": _PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start controller and nodes, and wait until these are idle."""
        places = [f"{name}={self.nodes.address(name)}" for name in self.nodes.names]
        more = "\n".join(self._settings)
        host = f"{LOGIN}({self.nodes.address(LOGIN)})"
        environment = {**self.environment, "SLURM_MORE": more, "SLURM_CONTROLLER": host}
        self.nodes.run(LOGIN, self._script, "start", str(self.folder), str(self._slots), *places, env=environment)
        for name in self.nodes.names:
            self.begin(name)
        self.wait_for_idle()

    def begin(self, name: str) -> None:
        """Start a node's slurmd."""
        self.nodes.run(name, "slurmd", "-N", name, env=self.environment)

    def wait_for_idle(self, *, seconds: float = 60) -> None:
        """Wait until no node has anything to do. Raises RuntimeError after some time."""
        until = time.monotonic() + seconds
        while (states := self.states()) != dict.fromkeys(self.nodes.names, "idle"):
            if time.monotonic() > until:
                raise RuntimeError(f"SLURM's nodes are not idle: {states}")
            time.sleep(0.2)

    def states(self) -> dict[str, str]:
        """SLURM's word for the state of each node, such as "idle" or "down*"."""
        said = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T").split()
        return dict(zip(said[::2], said[1::2], strict=True))

    def ask(self, *words: str) -> str:
        """What a command of SLURM's prints, given on the login node."""
        return self.nodes.run(LOGIN, *words, env=self.environment, check=False).stdout


def _environment(options: dict) -> dict:
    return {**options, "env": {**(options.get("env") or os.environ), "PATH": _PATH}}


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill(pid: int) -> None:
    """End a node's first process, and wait until the kernel has ended all others of its table."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    to: str = option("a folder for state and logs, on a disk that keeps owners and modes")
    nodes: int = option("beside the login node", default=2)
    slots: int = option("jobs of one core that a node takes at a time", default=2)


@contextlib.contextmanager
def slurm_on_nodes(folder: Path, count: int, *, slots: int, settings: Sequence[str] = ()) -> Iterator[Slurm]:
    """Nodes with a SLURM that ends with the context. Raises UserError where that cannot be done."""
    if reason := missing(slurm=True):
        raise UserError(f"simulated nodes: {reason}")
    with Nodes(folder, count) as nodes:
        slurm = Slurm(nodes, slots=slots, settings=settings)
        slurm.start()
        yield slurm


@command(Options)
def nodes(options: Options) -> int:
    """Start nodes and SLURM, say how to use them, and wait for Ctrl-C."""
    with slurm_on_nodes(Path(options.to).resolve(), options.nodes, slots=options.slots) as slurm:
        print(f"{slurm.ask('sinfo')}\nA shell on the login node, in which sbatch, srun and squeue work:\n")
        print(f"    SLURM_CONF={slurm.folder}/slurm.conf {' '.join(slurm.nodes.words(LOGIN, ['bash']))}\n")
        print(f"and node1 … in place of {LOGIN}. Ctrl-C ends all.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    nodes()
