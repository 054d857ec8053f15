from __future__ import annotations

import pytest

from hybrid.distributed.group import waiting_words
from hybrid.distributed.launch import Launch, first_host
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


def test_a_process_that_waits_alone_says_for_whom_and_how_to_be_the_only_one():
    words = waiting_words(Launch.read({**SRUN, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}))
    assert words.startswith("waiting at gpu07:") and "3 more processes" in words and "10 minutes" in words
    assert "env -u SLURM_STEP_NUM_TASKS" in words
    variables = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_NUM_TASKS"}
    assert Launch.read(variables).size == 1  # what the line advises
    assert "srun" not in waiting_words(Launch.read({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "2"}))
