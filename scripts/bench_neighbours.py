"""How fast the exact search for neighbours is, beside scikit-learn's and faiss's, in one process.

    OMP_NUM_THREADS=2 python scripts/bench_neighbours.py threads=2
    OMP_NUM_THREADS=2 python scripts/bench_neighbours.py threads=2 cases=[20000x512] repeats=9 json=neighbours.json

A case is samples x features, float32 normal numbers, each searched for its k nearest among the others. The searches take turns,
ours, faiss, scikit-learn, ours, …, after one call each to warm up. "wall" is the median over the repeats in seconds, with the
range in brackets; "cpu" is the median processor time of all threads, which suffers less from other programs on the machine.
× is the peer's median divided by ours. faiss is IndexFlatL2 with k + 1 neighbours, since it finds each sample itself
(`pip install faiss-cpu`; it is left out where it is missing). scikit-learn is NearestNeighbors(algorithm="brute"). Both compute
in float32, and their neighbours are not proven. "differ" is the share of samples whose k neighbours are not the same set as ours.
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
import torch
from measured_rows import write_rows
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from hybrid.analysis.nearest import nearest_neighbours
from hybrid.configuration.arguments import check_at_least, check_not_empty, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError

Search = Callable[[Tensor, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    cases: tuple[str, ...] = option("samples x features", default=("12000x32", "50000x32", "50000x64", "20000x512"))
    k: int = option("neighbours of each sample", default=31)
    repeats: int = option("measurements of each", default=5)
    threads: int = option("threads of torch and faiss; scikit-learn's are those of OMP_NUM_THREADS", default=1)
    seed: int = option("of the features", default=0)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_not_empty(self, "cases")
        check_at_least(self, 1, "k", "repeats", "threads")
        for case in self.cases:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", case):
                raise UserError(f"cases={case} is not valid: a case is samples x features, for example 12000x32.")
            if size(case)[0] <= self.k:
                raise UserError(f"cases={case} is not valid: k={self.k} neighbours need more samples than that.")
        check_file("json", self.json)


def size(case: str) -> tuple[int, int]:
    """Samples and features."""
    samples, features = case.split("x")
    return int(samples), int(features)


@command(Options)
def bench_neighbours(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    peers, versions = find_peers(options.threads)
    print(", ".join(versions), f"torch {torch.__version__}, {options.threads} threads, k={options.k}")
    print(f"{'case':>10} {'search':>13} {'wall, s':>22} {'×':>6} {'cpu, s':>8} {'×':>6} {'differ':>9} {'load':>5}")
    rows = []
    for case in options.cases:
        rows.extend(measure(case, {"ours": ours} | peers, options))
        for row in rows[-1 - len(peers) :]:
            print(line(row), flush=True)
    write_rows(options, rows, versions=versions)


def find_peers(threads: int) -> tuple[dict[str, Search], list[str]]:
    """The searches that are installed, by name, and their versions in words."""
    peers: dict[str, Search] = {}
    versions = []
    try:
        import faiss
    except ImportError:
        versions.append("faiss is not installed")
    else:
        faiss.omp_set_num_threads(threads)
        versions.append(f"faiss {faiss.__version__}")

        def with_faiss(features: Tensor, k: int) -> np.ndarray:
            index = faiss.IndexFlatL2(features.shape[1])
            index.add(features.numpy())
            return index.search(features.numpy(), k + 1)[1][:, 1:]

        peers["faiss"] = with_faiss
    peers["scikit-learn"] = with_scikit_learn
    return peers, [*versions, f"scikit-learn {sklearn.__version__}"]


def ours(features: Tensor, k: int) -> np.ndarray:
    """(N, k) indices."""
    return nearest_neighbours(features, k).indices.numpy()


def with_scikit_learn(features: Tensor, k: int) -> np.ndarray:
    """(N, k) indices."""
    model = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.numpy())
    return model.kneighbors(return_distance=True)[1]


def measure(case: str, searches: dict[str, Search], options: Options) -> list[dict[str, Any]]:
    """A row for each search, with all its seconds."""
    samples, dimension = size(case)
    features = torch.randn(samples, dimension, generator=torch.Generator().manual_seed(options.seed))
    wall: dict[str, list[float]] = {name: [] for name in searches}
    cpu: dict[str, list[float]] = {name: [] for name in searches}
    found = {name: search(features, options.k) for name, search in searches.items()}
    for _ in range(options.repeats):
        for name, search in searches.items():
            started = time.perf_counter(), time.process_time()
            search(features, options.k)
            wall[name].append(time.perf_counter() - started[0])
            cpu[name].append(time.process_time() - started[1])
    own = np.sort(found["ours"], 1)
    return [
        {
            "case": case,
            "search": name,
            "wall": wall[name],
            "cpu": cpu[name],
            "wall_ratio": statistics.median(wall[name]) / statistics.median(wall["ours"]),
            "cpu_ratio": statistics.median(cpu[name]) / statistics.median(cpu["ours"]),
            "differ": float((np.sort(found[name], 1) != own).any(1).mean()),
            "load": os.getloadavg()[0],
        }
        for name in searches
    ]


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    wall = f"{statistics.median(row['wall']):.3f} [{min(row['wall']):.3f}, {max(row['wall']):.3f}]"
    cpu = f"{statistics.median(row['cpu']):>8.3f} {row['cpu_ratio']:>6.2f}"
    name = f"{row['case']:>10} {row['search']:>13}"
    return f"{name} {wall:>22} {row['wall_ratio']:>6.2f} {cpu} {row['differ']:>9.2%} {row['load']:>5.1f}"


if __name__ == "__main__":
    bench_neighbours()
