"""Runs whose ranks are on nodes of their own: hostname, process table and network, simulated on this machine.

The ranks are forked, and move to the nodes: no second of imports. With SLURM and torchrun there are some of the tries of
scripts/cluster/try_nodes.py.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nodes as machines
import pytest
import torch
import try_nodes
from hold import Hold

from hybrid.configuration.composition import compose
from hybrid.errors import LOST, UserError
from hybrid.runs import RunFolder
from hybrid.training import checkpoint
from hybrid.training.run import run

pytestmark = pytest.mark.xdist_group("nodes")  # one worker has the nodes, for all of them


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two nodes without SLURM."""
    if reason := machines.missing():
        pytest.skip(reason)
    with machines.Nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture
def on_nodes(nodes, ranks, tmp_path, monkeypatch):
    """on_nodes(*overrides, of_rank_1=[…]) trains with a rank on each node; a rank waits at the places that `hold` names."""
    (tmp_path / "holds").mkdir()
    monkeypatch.setenv("HYBRID_HOLD", str(tmp_path / "holds"))

    def start(*overrides: str, of_rank_1: tuple[str, ...] = ()):
        def work():
            own = of_rank_1 if os.environ["RANK"] == "1" else ()
            run(config(tmp_path / "runs", "trainer.rank_timeout='2 seconds'", *overrides, *own), callbacks=[Hold()])
            return platform.node()

        return ranks(2, work, nodes=nodes)

    return start


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """seed -> the last checkpoint of an undisturbed run of two ranks on one machine; filled as tests ask for it."""
    return {"folder": tmp_path_factory.mktemp("whole")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two nodes with SLURM."""
    if reason := machines.missing(slurm=True):
        pytest.skip(reason)
    pytest.importorskip("submitit", reason="needs the extra slurm")
    folder = tmp_path_factory.mktemp("lab")
    base = tmp_path_factory.getbasetemp()
    for parent in (folder, base, base.parent, base.parent.parent):  # munge, another user, must get to its socket
        if parent.stat().st_uid == 0 and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    with try_nodes.laboratory(folder, count=2) as lab:
        yield lab


def config(root: Path, *overrides: str):
    base = [word for word in try_nodes.BASE if not word.startswith(("callbacks", "trainer.rank_timeout"))]
    return compose([*base, f"run.root={root}", *overrides])


def folder_of(tmp_path: Path) -> RunFolder:
    (path,) = (tmp_path / "runs").glob("*/config.yaml")
    return RunFolder(path.parent)


def hold(tmp_path: Path, place: str) -> Path:
    file = tmp_path / "holds" / place
    file.touch()
    return file


def reached(file: Path) -> dict:
    until = time.monotonic() + 60
    while not file.stat().st_size:
        assert time.monotonic() < until, f"nobody came to {file.name}"
        time.sleep(0.02)
    return json.loads(file.read_text())


def test_nodes_are_apart_and_leave_nothing_behind(tmp_path):
    if reason := machines.missing():
        pytest.skip(reason)
    nodes = machines.Nodes(tmp_path / "nodes", 2)
    with nodes:
        first = list(nodes._first.values())
        assert [nodes.run(name, "hostname").stdout for name in nodes.names] == ["node1\n", "node2\n"]
        processes = nodes.run("node1", "sh", "-c", "ls -d /proc/[0-9]*").stdout.split()
        assert "/proc/1" in processes and len(processes) < 5
        listen = (
            "import socket; s = socket.create_server(('', 7777)); print('here', flush=True); s.accept(); s.accept()"
        )
        server = nodes.popen("node2", sys.executable, "-c", listen, stdout=subprocess.PIPE)
        assert server.stdout.readline() == "here\n"
        reach = [sys.executable, "-c", "import socket; socket.create_connection(('node2', 7777), timeout=1)"]
        nodes.link("node2", "down")
        assert nodes.run("node1", *reach, check=False).returncode == 1
        nodes.link("node2", "up")
        nodes.run("node1", *reach)
        nodes.cut_power("node2")
        server.communicate(timeout=20)
        assert server.returncode
        nodes.boot("node2")
        assert nodes.run("node2", "hostname").stdout == "node2\n"
        first += nodes._first.values()
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_where_no_nodes_can_be_started_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(machines.os, "geteuid", lambda: 1000)
    assert machines.missing() == "needs root"
    with pytest.raises(UserError, match="simulated nodes: needs root"):
        machines.Nodes(tmp_path, 2).start()
    monkeypatch.setattr(machines.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machines, "_PATH", str(tmp_path))
    assert "needs ip, unshare, nsenter, setpriv, mount: apt-get install iproute2" in machines.missing()
    monkeypatch.setattr(machines.shutil, "which", lambda name, path: name)
    refused = subprocess.CompletedProcess([], 1, stderr="unshare: unshare failed: Operation not permitted\n")
    monkeypatch.setattr(machines.subprocess, "run", lambda *words, **options: refused)
    assert machines.missing().endswith("here: unshare: unshare failed: Operation not permitted")


def test_a_try_that_does_not_exist_is_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        try_nodes.try_nodes(["tries=swep"])
    assert (
        end.value.code == 2
        and "tries=swep: there is no such try. Valid: sweep, sweep preempted" in capsys.readouterr().err
    )


def test_ranks_with_different_configurations_end_before_anything_is_written(on_nodes, tmp_path):
    group = on_nodes(of_rank_1=("optimizer.lr=0.02",))
    assert group.wait() == [2, 2]
    assert (
        "error: rank 1 on node2 has optimizer.lr=0.02, and rank 0 on node1 has auto: all ranks of a run"
        in group.said(0)
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_ranks_killed_in_an_analysis_and_in_an_evaluation_lose_no_work(on_nodes, nodes, ranks, whole, tmp_path):
    """Rank 1 in the analysis after step 9, then rank 0, which keeps the store, in the evaluation after step 12."""
    analysed = ("analysis=light", "analysis.every=9 steps", "analysis.figures=never", "analysis.measures=[contraction]")
    for killed, place in ((1, "seed0.rank1.forward9"), (0, "seed0.rank0.forward12")):
        file = hold(tmp_path, place)
        group = on_nodes(*analysed)
        nodes.run(reached(file)["host"], "kill", "-KILL", str(reached(file)["pid"]))
        file.unlink()
        codes = group.wait()
        assert codes[killed] == -signal.SIGKILL and codes[1 - killed] == LOST
        assert f"error: rank {killed} " in group.said(1 - killed)
    assert on_nodes(*analysed).results() == ["node1", "node2"]
    folder = folder_of(tmp_path)
    assert {path.stem for path in folder.analysis.glob("step-*.npz")} == {"step-9", "step-18", "step-24"}
    _check_as_undisturbed(ranks, whole, folder, steps=[0, 5, 10])


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["power cut", "link down"])
def test_a_lost_node_loses_no_work(on_nodes, nodes, ranks, whole, tmp_path, fault):
    """Rank 1 is lost as it has done step 12; the same command goes on from step 10, and ends as if nothing had been."""
    place = hold(tmp_path, "seed0.rank1.step12")
    group = on_nodes()
    assert reached(place)["host"] == "node2"
    if fault == "power cut":
        nodes.cut_power("node2")
        nodes.boot("node2")
    else:
        nodes.link("node2", "down")
    place.unlink()
    codes = group.wait()
    nodes.link("node2", "up")
    assert codes == [LOST, LOST if fault == "link down" else -signal.SIGKILL]
    assert "on node2) has given no sign of life for 2 seconds; the same command continues" in group.said(0)
    assert on_nodes().results() == ["node1", "node2"]
    _check_as_undisturbed(ranks, whole, folder_of(tmp_path), steps=[0, 10])


@pytest.mark.slow
def test_a_link_that_is_down_for_a_moment_is_waited_for(on_nodes, nodes, ranks, whole, tmp_path):
    place = hold(tmp_path, "seed0.rank1.step12")
    group = on_nodes()
    reached(place)
    nodes.link("node2", "down")
    place.unlink()
    time.sleep(0.7)
    nodes.link("node2", "up")
    assert group.results() == ["node1", "node2"]
    _check_as_undisturbed(ranks, whole, folder_of(tmp_path), steps=[0])


def _check_as_undisturbed(ranks, whole, folder: RunFolder, *, steps: list[int], seed: int = 0) -> None:
    assert [session["step"] for session in json.loads(folder.environment.read_text())["sessions"]] == steps
    if seed not in whole:
        cfg = config(whole["folder"], f"seed={seed}")
        ranks(2, lambda: run(cfg)).results()
        whole[seed] = checkpoint.load(RunFolder.of(cfg).checkpoints / "last.pt")
    ours = checkpoint.load(folder.checkpoints / "last.pt")
    assert ours["step"] == whole[seed]["step"] == 24
    assert all(torch.equal(value, whole[seed]["model"][name]) for name, value in ours["model"].items())


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.parametrize(
    "name", ["sweep preempted by a signal", "sweep cancelled", "sweep rank killed", "torchrun rank killed"]
)
def test_a_try_of_the_program_is_right(lab, name):
    """First, middle and last element of a sweep are preempted, cancelled, or lose a rank; two agents restart their ranks."""
    lab.use(name.replace(" ", "-"))
    assert "the same weights" in try_nodes.TRIES[name](lab)  # it raises Wrong for anything else
