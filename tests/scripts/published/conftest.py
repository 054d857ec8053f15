"""A checkout with a list of three rows, and an archive of runs that were never trained."""

from __future__ import annotations

import json

import pytest
from published.archive import archive_runs
from published.files import Places
from published.rows import read_page

from hybrid.runs.reading import find_runs

LIST = """
text: What reproduces.
sections:
  - name: digits
    title: Digits
    source: somebody, somewhere.
    keys: [model, data.subset.n]
    rows:
      - {name: first, labels: 100, run: experiment=digits data.subset.n=100, takes: a minute, published: 91.5 ± 0.5,
         mark: read, main: true}
      - {name: first, labels: 1000, run: "experiment=digits data.subset.n=1000 trainer.duration='30 epochs'", takes: two minutes}
      - {name: other, takes: no recipe, published: "95.5", mark: read}
"""
SESSION = {
    "started": "2026-11-21T14:47:54+00:00", "step": 0, "command": "train.py experiment=digits run.root=/home/ada/secret seed=1",
    "host": "adas-laptop", "ranks": 1, "commit": "0123456789abcdef+changes", "processor": "Abacus", "cores": 2, "threads": 1,
    "system": "Linux-of-ada",
}  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """A checkout with a list of three rows, no runs, and a README."""
    places = Places(tmp_path / "checkout")
    places.rows.parent.mkdir(parents=True)
    places.rows.write_text(LIST)
    (places.root / "README.md").write_text(
        "# r\n\n<!-- main table, written by scripts/results.py -->\n<!-- end of the main table -->\n\nend\n"
    )
    return places


@pytest.fixture
def archive(places, tmp_path):
    """archive() takes the runs of this test into the archive of `places`: (folders, runs of no row)."""

    def do(**images: str):
        return archive_runs(
            find_runs(tmp_path / "runs", debug=True), read_page(places.rows), places.runs, images=images
        )

    return do


@pytest.fixture
def write_session():
    """write_session(folder, …) adds what a run notes of its machine, and of its data."""

    def do(folder, **more):
        (folder / "environment.json").write_text(json.dumps({"sessions": [SESSION | more]}))
        return folder

    return do


@pytest.fixture
def cells():
    """cells(page, "first") gives the cells of the table rows whose first cell begins so."""

    def do(page: str, beginning: str) -> list[list[str]]:
        lines = [line for line in page.splitlines() if line.startswith(f"| {beginning}")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    return do
