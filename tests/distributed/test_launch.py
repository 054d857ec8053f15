from __future__ import annotations

import pytest

from hybrid.distributed.launch import Launch, first_host, hosts_of_ranks
from hybrid.distributed.meeting import waiting_words
from hybrid.errors import UserError

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
SRUN = {
    "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0", "SLURM_JOB_NODELIST": "gpu[07-08,11]",
}  # fmt: skip


def test_plain_python_is_one_process():
    assert Launch.read({"PATH": "/bin"}) == Launch(rank=0, size=1, local_rank=0, manner="python")


def test_torchrun():
    launch = Launch.read({**TORCHRUN, **SRUN})  # srun may have started torchrun
    assert launch == Launch(rank=3, size=4, local_rank=1, address="node1", port=29500, manner="torchrun")


def test_workers_share_the_cores_of_their_machine(monkeypatch):
    from hybrid.data.file_loader import worker_count

    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    assert worker_count("auto") == 12 and worker_count(3) == 3
    for name, value in {**TORCHRUN, "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert worker_count("auto") == 3 and worker_count(5) == 5


def test_srun():
    launch = Launch.read(SRUN)
    assert (launch.rank, launch.size, launch.local_rank) == (5, 8, 1)
    assert (launch.address, launch.manner) == ("gpu07", "srun")
    assert 20000 <= launch.port < 30000
    assert Launch.read({**SRUN, "SLURM_STEP_ID": "1"}).port != launch.port
    assert Launch.read({**SRUN, "SLURM_STEP_NODELIST": "gpu11"}).address == "gpu11"
    assert Launch.read({**SRUN, "MASTER_ADDR": "x", "MASTER_PORT": "4"}).port == 4


def test_a_batch_script_is_one_process_though_slurm_numbers_it():
    script = {key: value for key, value in SRUN.items() if "STEP" not in key}
    assert Launch.read({**script, "SLURM_PROCID": "0"}).size == 1


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("node[1-4]", "node1"),
        ("node[03,07-09],other", "node03"),
        ("rack[2-3]n[10-12].site", "rack2n10.site"),
        ("", ""),
    ],
)
def test_the_first_of_a_list_of_hosts(hosts, first):
    assert first_host(hosts) == first


def test_incomplete_variables_are_named():
    with pytest.raises(UserError, match="LOCAL_RANK and MASTER_PORT"):
        Launch.read({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x"})
    with pytest.raises(UserError, match="WORLD_SIZE is two"):
        Launch.read({**TORCHRUN, "WORLD_SIZE": "two"})


def test_a_process_that_waits_says_for_whom_where_and_how_to_be_the_only_one():
    launch = Launch.read(
        {**SRUN, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "1(x3)"}
    )
    words = waiting_words(launch, [1, 2])
    assert words.startswith(
        f"waiting at gpu07:{launch.port}, up to 10 minutes, for rank 1 on gpu08, rank 2 on gpu11 of 3 "
    )
    assert "env -u SLURM_STEP_NUM_TASKS" in words and "env -u" not in waiting_words(launch, [2])
    variables = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_NUM_TASKS"}
    assert Launch.read(variables).size == 1  # what the line advises
    torchrun = Launch.read({**TORCHRUN, "RANK": "0", "LOCAL_WORLD_SIZE": "2"})
    assert "for rank 3 (machine 2 of 2) of 4 processes" in waiting_words(torchrun, [3])


@pytest.mark.parametrize(
    ("hosts", "tasks", "ranks"),
    [
        ("n1", "2", ("n1", "n1")),
        ("n[09-10],x", "2(x2),1", ("n09", "n09", "n10", "n10", "x")),
        ("r[1,3]a", "1(x2)", ("r1a", "r3a")),
        ("n[1-3]", "1(x2)", ()),
        ("n1", "", ()),
    ],
)
def test_the_host_of_each_rank(hosts, tasks, ranks):
    assert hosts_of_ranks(hosts, tasks) == ranks


def test_a_rank_too_many_is_refused():
    with pytest.raises(UserError, match="rank 4, and the run has 4 .RANK counts from 0."):
        Launch.read({**TORCHRUN, "RANK": "4"})


def test_where_rank_0_was_is_said_and_torchrun_is_named_under_torchrun_alone():
    """The store ends with rank 0 under srun, and with the first agent under torchrun."""
    variables = {
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_LOCALID": "0",
        "SLURM_STEP_NODELIST": "node[1-2]",
    }
    of_srun = Launch.read({**variables, "SLURM_STEP_TASKS_PER_NODE": "1(x2)"})
    assert of_srun.with_store == " on node1"
    assert Launch.read(variables).with_store == ""
    assert Launch(rank=1, size=2, manner="torchrun").with_store == " or its torchrun"
