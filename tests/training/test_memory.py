from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybrid.training import memory as module
from hybrid.training.memory import free_memory

CPU = torch.device("cpu")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_what_is_free_is_less_than_the_machine_has():
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 2**20 < free_memory(CPU) < total


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/job/step", {"/sys/fs/cgroup/job/memory.max": "9000", "/sys/fs/cgroup/job/memory.current": "4000"}),
        (
            "4:cpu,memory:/box",
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9000",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "4000",
            },
        ),
    ],
)
def test_a_limit_of_a_group_above_counts_without_its_cached_files(monkeypatch, groups, files):
    folder = next(iter(files)).rsplit("/", 1)[0]
    content = {
        **files,
        f"{folder}/memory.stat": "anon 7\ninactive_file 100\n",
        "/proc/self/cgroup": f"1:pids:/\n{groups}\n",
    }
    monkeypatch.setattr(module, "_read", lambda path: content.get(str(path), ""))
    assert free_memory(CPU) == 5100
    content[f"{folder}/memory.max"] = content[f"{folder}/memory.limit_in_bytes"] = "max"
    assert free_memory(CPU) > 2**20
