"""What the commands that measure row by row have in common: the check of cases=…, the file of json=…. No command of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from hybrid.configuration.arguments import check_not_empty
from hybrid.configuration.output_paths import writing
from hybrid.errors import unknown_name
from hybrid.files import write_json
from hybrid.runs.environment import describe_environment


def check_cases(options: Any, known: Collection[str]) -> None:
    """Raises UserError unless options.cases are some of those that are known."""
    for name in options.cases:
        if name not in known:
            raise unknown_name(name, known, what="case")
    check_not_empty(options, "cases")


def measured(
    options: Any, measure: Callable[[str, Any], Sequence[dict[str, Any]]], line: Callable[[Any], str]
) -> list[Any]:
    """The rows of all cases, each printed as a line when its case is done, and written (`write_rows`)."""
    rows = []
    for name in options.cases:
        for row in measure(name, options):
            rows.append(row)
            print(line(row), flush=True)
    write_rows(options, rows)
    return rows


def write_rows(options: Any, rows: Sequence[dict[str, Any]], **more: Any) -> None:
    """The rows, with what options and on what they were measured, into the file options.json, and say so; None: nowhere.

    more: what else belongs into the file. Raises UserError where the file cannot be written.
    """
    if options.json is None:
        return
    content = {"options": vars(options), "environment": describe_environment(), "rows": rows, **more}
    with writing("json", options.json):
        write_json(Path(options.json), content)
    print(f"{len(rows)} rows written: {options.json}")
