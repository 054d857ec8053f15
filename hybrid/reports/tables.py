"""Tables over groups of runs, a row a group; hybrid/reports/writers.py writes them.

table = make_table(group_runs(find_runs("outputs")), metric="test.top1")
print(text(table))
table.frame                    # the same as a pandas table, every digit
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hybrid.errors import unknown_name
from hybrid.reports.differences import (
    COLUMNS,
    PLACES,
    is_own,
    labels,
    named_settings,
    setting_text,
    telling_settings,
    varying,
)
from hybrid.reports.groups import SEED, Group, MeanStd, half_width
from hybrid.reports.layout import ALL, DEVICE, STATES, Table
from hybrid.reports.ranking import best_metrics
from hybrid.runs.identity import INCIDENTAL
from hybrid.runs.numbers import limits
from hybrid.runs.reading import StoredRun

_BEST = "validation.best."
METRICS = ("test.top1", "test.loss", f"{_BEST}top1", "parameters", "seconds", "images_per_second")
_NO_RESULTS = ("test.images", "test.top5")  # of the test, but not shown unless somebody asks
FOLDS = "Folds share training images, so that their results vary together: intervals and p are too small."
_NOT_TOLD = (*PLACES, "data.name", "seed")
_MOST_COMMON = 12
_FEW_RUNS = 3
_NAMED = 10  # runs that are not finished, of each state


def _common(groups: Sequence[Group], shown: Sequence[str]) -> dict[str, str]:
    """Return the settings that every group has of its own, with one value, and that have no column: choices come first."""
    first = groups[0]
    names = [name for name in [*first.choices, *first.settings] if name not in (*shown, *_NOT_TOLD, *INCIDENTAL)]
    told = [name for name in dict.fromkeys(names) if not varying(groups, [name])]
    told = [name for name in told if all(is_own(name, group) for group in groups)]
    return {name: setting_text(first.fact(name)) for name in told[:_MOST_COMMON]}


def is_fold(key: str) -> bool:
    """Return whether a key that is averaged over counts the folds of a cross-validation."""
    return key.rpartition(".")[2] == "fold"


def make_table(
    groups: Sequence[Group],
    *,
    metric: str,
    by: Sequence[str] = (),
    columns: Sequence[str] = (),
    level: float | None = 95,
    mains: Sequence[str | None] = (),
) -> Table:
    """Make a row per group, in the order given.

    Args:
        metric: the number that the table is about.
        by: settings that have columns, in place of those in which the groups differ.
        columns: further numbers and settings that have columns; ("all",): everything has one.
        level: of the metric's confidence interval, in %; None leaves it out.
        mains: the main result of each group, if one column shall show them in place of the metric (`main_results`).

    Raises UserError for unknown names.
    """
    import pandas

    more = _asked(groups, columns)
    settings = telling_settings(groups, by)
    settings = list(dict.fromkeys([*settings, *(name for name in more if more[name] == "setting")]))
    numbers = _numbers_of(groups, metric, [name for name in more if more[name] == "number"])
    rows = [
        {name: setting_text(group.fact(name)) if name in group.facts else None for name in settings}
        | {state: len(group.of(state)) for state in STATES}
        | dict(pair for name in numbers for pair in _exact(name, group.mean_std(name)))
        | _interval_of(metric, group, level)
        | {DEVICE: " + ".join(sorted({str(run.device) for run in group.finished}))}
        for group in groups
    ]
    frame = pandas.DataFrame(rows)
    devices = {device for device in frame[DEVICE] if device}
    if len(devices) < 2 and not any("+" in device for device in devices):
        del frame[DEVICE]
    return Table(
        frame,
        settings,
        numbers,
        columns if tuple(columns) == ALL else [*named_settings(groups, by), *more],
        labels(groups, by=by, without=COLUMNS),
        metric,
        groups[0].over,
        level,
        [*_twins(groups, settings), *_notes(groups, level), *_few_runs(groups, metric, level)],
        mains,
        _common(groups, settings),
    )


def _asked(groups: Sequence[Group], columns: Sequence[str]) -> dict[str, str]:
    """Return what each name in columns= is, a "number" of summary.json or a "setting", under its whole name."""
    if tuple(columns) == ALL:
        return {}
    numbers = {name for group in groups for run in group.finished for name in run.numbers}
    facts = {name for group in groups for name in group.facts}
    found = {}
    for name in columns:
        if name in numbers:
            found[name] = "number"
        elif any(each == name or each.endswith((f".{name}", f"/{name}")) for each in facts):
            found[named_settings(groups, [name])[0]] = "setting"
        else:
            raise unknown_name(name, numbers, what="number or setting in columns")
    return found


def _is_result(name: str) -> bool:
    return name.startswith("test.") and "/" not in name and name.count(".") == 1 and name not in _NO_RESULTS


def _numbers_of(groups: Sequence[Group], metric: str, more: Sequence[str]) -> list[str]:
    """Return the metric, what was asked for, the other results of the test, and the rest of METRICS, as far as a run has them."""
    found = dict.fromkeys(name for group in groups for run in group.finished for name in run.numbers)
    results = [name for name in found if _is_result(name)]
    head, *rest = METRICS
    chosen = [f"{_BEST}{name}" for name in best_metrics(groups)] or [f"{_BEST}top1"]
    rest = [each for name in rest for each in (chosen if name.startswith(_BEST) else [name])]
    names = [metric, *more, *([head] if head in results else []), *results, *rest]
    return list(dict.fromkeys(name for name in names if name in found or name == metric))


def _exact(name: str, found: MeanStd | None) -> list[tuple[str, float]]:
    mean, std = (math.nan, None) if found is None else (found.mean, found.std)
    return [(name, mean), (f"{name}_std", math.nan if std is None else std)]


def _interval_of(metric: str, group: Group, level: float | None) -> dict[str, float]:
    found = group.mean_std(metric) if level is not None else None
    if level is None:
        return {}
    low, high = (found and found.interval(level / 100)) or (math.nan, math.nan)
    least, most = limits(metric)
    low, high = max(low, least), min(high, most)  # NaN stays, as the first of the two
    return {f"{metric}_low": low, f"{metric}_high": high}


def _twins(groups: Sequence[Group], settings: Sequence[str]) -> list[str]:
    """Return a note where the columns that were asked for do not tell rows apart."""
    if len({str([group.fact(name) for name in settings]) for group in groups}) == len(groups):
        return []
    others = [name for name in telling_settings(groups) if name not in settings]
    return [f"rows that look the same differ in {', '.join(others) or 'settings that their choices bring with them'}."]


def _notes(groups: Sequence[Group], level: float | None) -> list[str]:
    counts = {state: sum(len(group.of(state)) for group in groups) for state in STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    runs = sum(counts.values())
    lines = [f"{runs} run{'s' * (runs != 1)} in {len(groups)} group{'s' * (len(groups) != 1)}: {told}."]
    if any(len(group.finished) > 1 for group in groups):
        lines += [_meaning(groups[0].over, level), *([FOLDS] if any(map(is_fold, groups[0].over)) else [])]
    for state in STATES[1:]:
        runs_there = [run for group in groups for run in group.of(state)]
        lines += [f"{state}: {_described(run)}" for run in runs_there[:_NAMED]]
        if len(runs_there) > _NAMED:
            lines.append(f"{state}: {len(runs_there) - _NAMED} more; where=[state={state}] shows them alone.")
    return lines


def _few_runs(groups: Sequence[Group], metric: str, level: float | None) -> list[str]:
    """Return a note where intervals are those of two or three runs, which tell little; they end where the metric does."""
    found = [group.mean_std(metric) for group in groups]
    counts = {each.n for each in found if each is not None and 1 < each.n <= _FEW_RUNS}
    if level is None or not counts:
        return []
    of = " or ".join(str(n) for n in sorted(counts))
    factor = max(half_width(n, level / 100) for n in counts)
    return [
        f"An interval of {of} runs says little: it reaches {factor:.3g} standard deviations to each side, as far as the "
        "values can lie at all. Five runs and more tell settings apart."
    ]


def _meaning(over: Sequence[str], level: float | None) -> str:
    keys = "their seeds" if tuple(over) == SEED else ", ".join(over)
    words = f"Means of the finished runs of a group, ± the standard deviation over {keys} (n - 1)"
    words += f"; {level:g} % interval of the mean by Student's t" if level is not None else ""
    return f"{words}."


def _described(run: StoredRun) -> str:
    return f"{run.path}: {run.error}" if run.error else str(run.path)
