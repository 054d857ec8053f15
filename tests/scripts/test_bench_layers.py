"""scripts/bench_layers.py prints a row for each measure, and the sum over the layers."""

from __future__ import annotations

import bench_layers


def test_every_measure_has_a_row_and_all_layers_their_sum(capsys):
    bench_layers.bench_layers.__wrapped__(bench_layers.Options(samples=200, dimension=4, layers=2, classes=3))
    head, *rows, sums = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [
        "standardize", "classes", "spectra", "neighbours", "separation", "boundary"
    ]  # fmt: skip
    assert sums.startswith("2 layers") and head.endswith("processor")
