"""docs/RESULTS.md: published figures beside ours, from the runs' folders; its pictures; the README's main table.

    python scripts/results.py                                  # again, from the archive docs/results/runs
    python scripts/results.py runs=outputs                     # take these runs into the archive first
    python scripts/results.py runs=outputs 'images=[cifar10=CIFAR-10 (JPEG)]'

docs/results/published.yaml lists the published figures and the command that repeats each. A run belongs to a row if its
configuration is what that command composes; one that differs only in settings that tell no rows apart, such as a shorter
schedule, is shown below the row, with what it changes. Other runs, and those still running, are named and left out. The
archive holds what the page needs, some kilobytes a run, without weights, machine names and paths. The runs' folders are
not changed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hybrid.configuration.arguments import command, option
from hybrid.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    runs: str | None = option("a folder of runs, at any depth, to take into the archive", default=None)
    images: tuple[str, ...] = option(
        "what the images are, where the name in configs/data says too little: [cifar10=CIFAR-10 (JPEG)]", default=()
    )

    def __post_init__(self) -> None:
        if self.images and self.runs is None:
            raise UserError("images has no effect without runs=FOLDER.")
        for words in self.images:
            if "=" not in words:
                raise UserError(f"images: cannot read {words}: write data=words, such as cifar10=CIFAR-10 (JPEG).")


@command(Options)
def results(options: Options) -> None:
    """Extend the archive if runs are given, then write everything that it gives."""
    from hybrid.reports.published.archive import archive_runs
    from hybrid.reports.published.results import Places, make_results
    from hybrid.reports.published.rows import read_page
    from hybrid.reports.runs import read_runs
    from hybrid.tracking.run_folder import RunFolder

    places = Places(Path(__file__).resolve().parents[1])
    if options.runs is not None:
        images = dict(words.split("=", 1) for words in options.images)
        runs = read_runs(options.runs)
        ended = [run for run in runs if not RunFolder(run.path).in_use]
        written, others = archive_runs(ended, read_page(places.rows), places.runs, images=images)
        print(f"{len(written)} runs archived in {places.runs}")
        for run in runs:
            if run not in ended:
                print(f"still running, left out: {run.path}", file=sys.stderr)
        for run in others:
            print(f"belongs to no row: {run.path}", file=sys.stderr)
    for path in make_results(places).write(places):
        print(f"written: {path}")


if __name__ == "__main__":
    results()
