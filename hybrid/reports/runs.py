"""Read runs as a pandas table, a row a run: `hybrid.read_runs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.reports.differences import setting_text, telling_settings
from hybrid.reports.groups import SEED, averaged_keys, configuration_key, group_runs, without_duplicates
from hybrid.reports.tables import METRICS
from hybrid.runs.reading import StoredRun, find_runs

if TYPE_CHECKING:  # takes a while to load
    from pandas import DataFrame


def read_runs(
    folder: str | Path = "outputs", *, where: Sequence[str] = (), over: Sequence[str] = SEED, debug: bool = False
) -> DataFrame:
    """Read every run in a folder or anywhere below it as a pandas table, a row a run, in the order of their paths.

    Of several folders with one configuration and seed the first finished one is read, with a warning, as in `hybrid report`.

        runs = read_runs("outputs", where=["data=cifar10"])
        runs[["model", "seed", "state", "test.top1"]]
        runs.groupby("group")["test.top1"].agg(["mean", "std", "count"])      # over seeds; finished runs alone have numbers

    The columns are

        name            the run's folder, below `folder`
        folder          its whole path, as `hybrid.load_run` takes it
        state           finished, unfinished (stopped, or still running), failed, or damaged
        group           0, 1, …: runs of one group differ in nothing but the keys in `over`
        seed
        model, data     the chosen options, such as scat_wrn and cifar10
        …               every other setting in which the runs differ, such as optimizer.lr; a list as it is typed; None also
                        where a run has no such setting
        test.top1, test.loss, validation.best.top1, parameters, seconds, images_per_second
                        accuracies in %, the number of parameters, the time of training in s, its speed; NaN unless the run
                        is finished
        …               every other number of summary.json, such as test.top5 (%), train.loss, steps and epochs
        device          the GPU's name, or "cpu"; None unless the run is finished
        error           the last line of a failed run's error

    Args:
        where: conditions "key=value", all of which must hold. A key is a setting ("optimizer.lr"), a config group ("model",
            "model/head"), "seed" or "state"; values are read as yaml ("data.subset.n=null").
        over: the keys that a group is averaged over, such as ["seed", "data.fold"].
        debug: whether runs of a debug mode (debug=fast …) are among them. A warning counts those that are left out.

    Raises UserError where there is no run, for a key that no run has, and for a condition that no run meets. A folder that cannot
    be read is named in a warning and left out.

    Example:
        >>> import hybrid
        >>> for seed in (0, 1):
        ...     run = hybrid.train("model=scat_linear", "data=digits", "trainer.duration=1 epoch", f"seed={seed}")
        >>> runs = hybrid.read_runs("outputs")
        >>> runs[["model", "seed", "state"]].values.tolist()
        [['scat_linear', 0, 'finished'], ['scat_linear', 1, 'finished']]
    """
    return runs_table(find_runs(folder, where=where, debug=debug), below=folder, over=over)


def runs_table(runs: Sequence[StoredRun], *, below: str | Path, over: Sequence[str] = SEED) -> DataFrame:
    """Return these runs as `read_runs` does; their names are the paths below the folder `below`."""
    import pandas

    runs = without_duplicates(runs)
    over = averaged_keys(runs, over)
    keys = [configuration_key(run, over) for run in runs]
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    settings = telling_settings(group_runs(runs))
    settings = [name for name in settings if name != "seed"]
    numbers = list(dict.fromkeys([*METRICS, *(name for run in runs for name in run.numbers)]))
    columns: dict[str, Any] = {
        "name": [run.path.relative_to(below).as_posix() for run in runs],
        "folder": [str(run.path) for run in runs],
        "state": [run.state for run in runs],
        "group": [number[key] for key in keys],
        "seed": [run.seed for run in runs],
    }
    facts = [{**run.settings, **run.choices} for run in runs]
    for name in settings:
        values = pandas.Series([_plain(own.get(name)) for own in facts], dtype=object)
        columns[name] = values if values.isna().any() else values.infer_objects()  # NaN is not null
    for name in numbers:
        columns[name] = pandas.Series([run.numbers.get(name) for run in runs], dtype=float)
    columns["device"] = pandas.Series([run.device for run in runs], dtype=object)
    columns["error"] = pandas.Series([run.error for run in runs], dtype=object)
    return pandas.DataFrame(columns)


def _plain(value: Any) -> Any:
    """Return a list as it is typed, because pandas cannot group by lists."""
    return setting_text(value) if isinstance(value, list) else value
