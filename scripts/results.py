"""Write the results page docs/results/index.md, its pictures and the README's table from the folders of runs.

    python scripts/results.py                                  # again, from the archive docs/results/runs
    python scripts/results.py runs=outputs                     # take these runs into the archive first
    python scripts/results.py runs=outputs 'images=[cifar10=CIFAR-10 (JPEG)]'
    python scripts/results.py runs=outputs to=preview          # write into preview/ and leave everything here as it is

docs/results/published.yaml lists the published accuracies and the command that repeats each. A run belongs to a row if that
command composes its configuration. A run that differs only in settings that tell no rows apart, such as a shorter schedule,
is shown below the row, with its changes. Debug runs, runs of no row (of other data, of no recipe) and runs that still run are
left out, and the command says why. A run replaces the one that the archive has of it, and the command names it. The archive
holds some kilobytes a run, without weights, machine names and paths. The runs' folders are not changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.configuration.arguments import command, option
from hybrid.errors import UserError, unknown_name

if TYPE_CHECKING:  # loaded when it runs: a typo is answered at once
    from published.files import Places

    from hybrid.runs.reading import StoredRun


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    runs: str | None = option("a folder of runs, at any depth, to take into the archive", default=None)
    images: tuple[str, ...] = option(
        "what the images are, where their files are not the published ones or may not be: [cifar10=CIFAR-10 (JPEG)]",
        default=(),
    )
    to: str | None = option(
        "a preview: a new folder for the page, README.md with its table, the pictures and a copy of the archive",
        default=None,
    )

    def __post_init__(self) -> None:
        if self.images and self.runs is None:
            raise UserError("images has no effect without runs=FOLDER.")
        for words in self.images:
            if "=" not in words:
                raise UserError(f"images: cannot read {words}: write data=words, such as cifar10=CIFAR-10 (JPEG).")


@command(Options)
def results(options: Options) -> None:
    """Extend the archive if runs are given, then write everything that it gives, and say what was written."""
    from published.files import Places, make_results, write_results

    places = Places(Path(__file__).resolve().parents[1])
    if options.to is not None:
        if Path(options.to).exists():
            raise UserError(f"to={options.to} is there already: a preview is a new folder.")
        places = places.copy_sources(Path(options.to))
    if options.runs is not None:
        _take_in(options, places)
    changed = write_results(places, make_results(places))
    for path in changed:
        print(f"{'written' if path.exists() else 'deleted'}: {path}")
    if not changed:
        print(f"nothing changed: {places.page}, {places.readme} and {places.pictures}")


def _take_in(options: Options, places: Places) -> None:
    from published.archive import archive_runs
    from published.matching import why_left_out
    from published.rows import read_page

    from hybrid.runs.folder import RunFolder
    from hybrid.runs.reading import find_runs

    page = read_page(places.rows)
    runs = find_runs(options.runs, debug=True)
    images = _images(options, runs)
    ended = [run for run in runs if not RunFolder(run.path).in_use]
    archived = archive_runs(ended, page, places.runs, images=images)
    taken = len(archived.new) + len(archived.replaced)
    print(f"runs taken into {places.runs}: {taken}; already there: {len(archived.same)}")
    for path in archived.replaced:
        print(f"replaced: {path.name}")
    running = [f"still running, left out: {run.path}" for run in runs if run not in ended]
    for line in [*running, *why_left_out(page, archived.left_out)]:
        print(line, file=sys.stderr)


def _images(options: Options, runs: Sequence[StoredRun]) -> dict[str, str]:
    """data -> what its images are. Raises UserError for data that do not exist, that no run has, or that need no other name."""
    from published.archive import unofficial

    from hybrid.configuration.paths import ConfigFolders

    images = dict(words.split("=", 1) for words in options.images)
    used = {run.choices["data"] for run in runs if "data" in run.choices}
    known = used | set(ConfigFolders.read().options("data"))
    for name in images:
        if name not in known:
            raise unknown_name(name, known, what="data")
        if name not in used:
            raise UserError(f"images: no run in {options.runs} has data={name}.")
        if all(unofficial(run) is False for run in runs if run.choices.get("data") == name):
            raise UserError(
                f"images: every run in {options.runs} of data={name} has recorded that it read the published files."
            )
    return images


if __name__ == "__main__":
    results()
