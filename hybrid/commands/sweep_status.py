"""Show how far the runs of a sweep are: state, share done, time taken or left, result or error, folder.

    hybrid sweep-status                         # the sweep launched last
    hybrid sweep-status sweep=sweep-1a2b3c4d    # by its name in outputs/sweeps, or by its folder

Reads the runs' folders (and SLURM's queue, if the sweep was submitted there); disturbs nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from hybrid.configuration.arguments import command, option
from hybrid.configuration.resolvers import folder
from hybrid.escaping import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    sweep: str = option("the name of a sweep, its folder, or last", default="last")
    root: str = option("the folder of all runs, in which sweeps/ is", default=folder("HYBRID_OUTPUTS", "outputs"))
    format: Literal["text", "json"] = option("json: one object per run, for programs", default="text")


@command(Options)
def sweep_status(options: Options) -> None:
    """Print the status of every run."""
    from hybrid.runs.sweeps.folder import SweepFolder
    from hybrid.runs.sweeps.status import status_lines
    from hybrid.runs.sweeps.status import sweep_status as read_status

    sweep = SweepFolder.find(options.sweep, root=options.root)
    statuses = read_status(sweep)
    if options.format == "text":
        say(sweep.path, *status_lines(sweep, statuses))
        return
    for status in statuses:
        record = {"name": status.run.name, "state": status.state, "done": status.done, "seconds": status.seconds}
        record |= {"overrides": list(status.run.overrides), "folder": str(status.run.path), "words": status.words}
        print(json.dumps(record))
