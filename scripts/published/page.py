"""docs/results/index.md and the README's main table, as Markdown."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from hybrid.configuration.hydra_arguments import program_of
from hybrid.errors import UserError
from hybrid.reports.groups import ABSENT, Group
from hybrid.reports.layout import STATES
from hybrid.reports.writers import markdown_lines
from hybrid.runs.reading import StoredRun
from published.archive import images_of, sessions_of
from published.matching import Entry, Rows, in_full, in_short, quoted
from published.rows import Page, Row

_BEGIN, _END = "<!-- main table, written by scripts/results.py -->", "<!-- end of the main table -->"
_UNKNOWN = "?"
_JOINED = "\N{NO-BREAK SPACE}"
_MARKS = {"read": "", "memory": " ᵐ"}
_HEAD = """# Published experiments and ours

`python scripts/results.py` writes this page from `docs/results/published.yaml` and the runs in `docs/results/runs`, and a
change by hand is lost: see [how this page is written](../lab/results-page.md). Speed, faults, older runs and
measurements layer by layer are in [measurements](../lab/measurements.md).

Accuracies are top-1 on the test images, in %, as mean ± standard deviation over seeds (n - 1), of the weights of the last
step; of a run over random divisions of the images, over these. Where the published number after ± is a standard error
(s.e.), ours is given too. Runs of which some diverged have no mean. An ᵐ marks a published
accuracy that is quoted from memory and not verified; all others were read in the source that is named. **not run** is
followed by what a run would take. Runs that are not finished are counted, but are in no mean. A ‡ marks a line whose
steps are not those of its row: compare lines of equal steps alone. Below a row, ↳ names the
settings that runs of it change; a line with "instead of" is not the published experiment. Times are of training alone;
times and images/s are medians over seeds, with the smallest and the largest in brackets.
"""


def page_text(page: Page, tables: Sequence[Rows], pictures: Sequence[dict[str, str]]) -> str:
    """Write the page.

    Args:
        tables: the rows of each section with their runs.
        pictures: for each section file -> caption.
    """
    parts = [wrapped(_HEAD), wrapped(page.text)]
    for section, rows, shown in zip(page.sections, tables, pictures, strict=True):
        parts += [f"## {section.title}", wrapped(section.text), _table(_main_rows(rows))]
        parts += [wrapped(f"Published: {section.source}"), wrapped("\n".join(_notes(rows)))]
        parts += [_table(_detail_rows(rows)), _not_run(rows)]
        parts += [f"![{words}](../pictures/{file})  \n*{words}*" for file, words in shown.items()]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def wrapped(markdown: str) -> str:
    """Wrap paragraphs and list items at 120 characters; tables and headings stay as they are."""
    blocks = re.split(r"\n(?=\s*(?:[-#|]|\n|$))", markdown.strip())  # before an item, a heading, a row, an empty line
    return "\n".join(block if block.lstrip()[:1] in ("|", "#", "") else _filled(block) for block in blocks)


def _filled(block: str) -> str:
    start = "\n" if block.startswith("\n") else ""
    later = "  " if block.lstrip().startswith("- ") else ""
    words = re.sub(r" (?=%|±)|(?<=±) ", _JOINED, " ".join(block.split()))  # a number keeps its unit
    filled = textwrap.fill(words, 120, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)
    return start + filled.replace(_JOINED, " ")


def main_table(page: Page, tables: Sequence[Rows]) -> str:
    """The README's: the rows that are marked as main and have runs.

    A row whose published figure is quoted from memory is on the page alone.
    """
    lines = []
    for section, rows in zip(page.sections, tables, strict=True):
        for row, found in rows:
            if row.main and row.mark != "memory" and (best := _closest(found)):
                lines.append(
                    [
                        _name(row).replace("Scattering", "Scat"),
                        f"`{_recipe_name(row, section.name)}`",
                        _published(row).replace(" (s.e.)", " s.e."),
                        *_shown(best),
                    ]
                )
    head = ["network", "experiment", "published", "ours", "seeds", "images", "steps"]
    return _table([head, *lines]) if lines else ""


def _recipe_name(row: Row, section: str) -> str:
    named = (word.removeprefix("experiment=") for word in row.overrides if word.startswith("experiment="))
    return next(named, section)


def _closest(found: Sequence[Entry]) -> Entry | None:
    """Return the runs of the row's own command, or else the longest that stand in for it."""
    finished = [each for each in found if each.group.finished and not each.diverged]
    own = [each for each in finished if not each.changes]
    return own[0] if own else max((each for each in finished if each.stands_in), key=_epochs, default=None)


def _epochs(entry: Entry) -> float:
    made = entry.group.mean_std("epochs")
    return made.mean if made else 0.0


def _shown(entry: Entry) -> list[str]:
    words = f" ({', '.join(in_short(entry.changes, beside_the_row=True))})" if entry.changes else ""
    return [f"{_accuracy(entry).partition(' (s.e.')[0]}{words}", _count(entry), _images(entry.group), _steps(entry)]


def with_main_table(readme: str, table: str) -> str:
    """Put this table between the two marks of the README. Raises UserError where it has no marks."""
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise UserError(f"README.md has no lines {_BEGIN} and {_END}, between which the main table belongs.")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def _main_rows(rows: Rows) -> list[list[str]]:
    lines = [["", "published", "ours", "runs", "images", "settings, or what a run takes", "steps"]]
    for row, found in rows:
        own = [entry for entry in found if not entry.changes]
        if own:
            lines += [[_name(row), _published(row), *_ours(entry), "the recipe's", _steps(entry)] for entry in own]
        else:
            lines.append([_name(row), _published(row), "**not run**" if row.run else ABSENT, "", "", row.takes, ""])
        lines += [
            [f"↳ {', '.join(in_short(entry.changes))}", "", *_ours(entry), in_full(entry.changes), _steps(entry)]
            for entry in found
            if entry.changes
        ]
    return lines


def _detail_rows(rows: Rows) -> list[list[str]]:
    lines = [["", "command", "seeds", "commit", "hardware", "date", "time of a run", "images/s"]]
    for entry in (entry for _, found in rows for entry in found):
        group = entry.group
        seeds = ", ".join(dict.fromkeys(str(run.seed) for run in group.runs))
        ran = [_commits(group), _hardware(group), _days(group)]
        speeds = [_middle(group, "seconds", " s"), _middle(group, "images_per_second")]
        lines.append([_full_name(entry), f"`{entry.command}`", seeds, *ran, *speeds])
    return lines if len(lines) > 1 else []


def _not_run(rows: Rows) -> str:
    """List the commands of the rows that have no run."""
    left = [row for row, found in rows if row.run is not None and all(entry.changes for entry in found)]
    commands = [" ".join([program_of(row.script), *_sweep(row), *map(quoted, row.overrides)]) for row in left]
    return "\n".join(["Not run:", "", *(f"    {command}" for command in commands)]) if commands else ""


def _sweep(row: Row) -> list[str]:
    """Return the words of a sweep over the settings that a row averages, such as folds."""
    values = [f"{name}={','.join(map(str, values))}" for name, values in row.repeats.items()]
    return ["-m", *values] if values else []


def _notes(rows: Rows) -> list[str]:
    """Say what became of the runs that are in no mean."""
    told: dict[str, list[str]] = {}
    for entry in (entry for _, found in rows for entry in found):
        for run in (run for run in entry.group.runs if run.state != "finished"):
            why = (run.error or "").removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")
            words = f"{run.state.capitalize()}: {_full_name(entry)}{f' ({why})' if why else ''}"
            told.setdefault(words, []).append(str(run.seed))
    return [f"- {words}, seed {', '.join(seeds)}." for words, seeds in told.items()]


def _ours(entry: Entry) -> list[str]:
    return [_accuracy(entry), _count(entry), _images(entry.group)]


def _accuracy(entry: Entry) -> str:
    figure = entry.group.mean_std("test.top1")
    if entry.diverged:
        return f"no mean: {entry.diverged} of {len(entry.group.runs)} diverged"
    if figure is None:
        return "not finished"
    if figure.std is None and (within := entry.group.mean_std("test.std")):
        figure = figure._replace(std=within.mean)  # of one run, over its random divisions
    error = ""
    if entry.row.standard_error and figure.std is not None:
        error = f" (s.e. {figure.std / math.sqrt(len(entry.group.finished)):.2f})"
    return f"{figure.mean:.2f}{'' if figure.std is None else f' ± {figure.std:.2f}'}{error}"


def _steps(entry: Entry) -> str:
    """Write the steps done, and those of the row with a ‡ where they differ: 300 of 20,000 ‡."""
    made, whole = entry.steps
    words = "not known" if made is None else f"{made:,}"
    if not entry.has_own_budget:
        return f"{words}{'' if whole is None else f' of {whole:,}'} ‡"
    return "" if made is None or whole is None else words


def _count(entry: Entry) -> str:
    """Count the runs of a mean; where runs or folds are missing, say of how many, and what became of the others."""
    group = entry.group
    folds = math.prod(len(values) for values in entry.row.repeats.values()) if entry.row.repeats else 0
    finished, wanted = len(group.finished), max(folds, len(group.runs))
    others = [f"{len(group.of(state))} {state}" for state in STATES if state != "finished" and group.of(state)]
    words = str(finished) if finished == wanted else f"{finished} of {wanted}"
    divisions = group.mean_std("splits")
    words = words if divisions is None else f"{words}, of {divisions.mean:.0f} divisions"
    return f"{words} ({', '.join(others)})" if others else words


def _images(group: Group) -> str:
    return ", ".join(dict.fromkeys(images_of(run) for run in group.runs))


def _name(row: Row) -> str:
    return f"{row.name}, {row.labels:,} labels" if row.labels else row.name


def _full_name(entry: Entry) -> str:
    return ", ".join([_name(entry.row), *in_short(entry.changes)])


def _published(row: Row) -> str:
    return ABSENT if row.published is None else f"{row.published}{_MARKS[row.mark]}"


def _middle(group: Group, name: str, unit: str = "") -> str:
    """Write the median, and the range where there is one: 261 (240 to 310) s."""
    middle = group.middle(name)
    if middle is None:
        return ABSENT
    median, low, high = (f"{value:,.0f}" for value in middle)
    return f"{median}{f' ({low} to {high})' if low != high else ''}{unit}"


def _commits(group: Group) -> str:
    """List the first seven digits of each commit; a + says that the checkout had uncommitted changes."""
    found = [session.get("commit") for run in group.runs for session in sessions_of(run)]
    return _join(f"{commit[:7]}{'+' * ('+' in commit)}" if commit else _UNKNOWN for commit in found)


def _hardware(group: Group) -> str:
    """List GPUs, or the processor with its cores and the threads that were used."""
    return _join(_machine(run, session) for run in group.runs for session in sessions_of(run))


def _machine(run: StoredRun, session: dict[str, Any]) -> str:
    if run.device not in (None, "cpu"):
        ranks = session.get("ranks") or 1
        return f"{ranks} × {run.device}" if ranks > 1 else str(run.device)
    threads = session.get("threads")
    return f"{session.get('processor')}, {session.get('cores')} cores, {threads} thread{'s' * (threads != 1)}"


def _days(group: Group) -> str:
    """Return the first and the last day on which a run was started."""
    started = [session.get("started") for run in group.runs for session in sessions_of(run)]
    found = sorted(str(each)[:10] for each in started if each)
    return " … ".join(dict.fromkeys([found[0], found[-1]])) if found else _UNKNOWN


def _join(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words)) or _UNKNOWN


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; the first line is the head."""
    return "\n".join(markdown_lines(lines[0], lines[1:])) if lines else ""
