"""Why runs are on no row of the page, in words for whoever wants to see them there."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid.reports.tables import setting_text
from hybrid.runs.reading import StoredRun
from published.entries import Recipe, is_debug, recipe_of, unlike
from published.rows import Page


def why_left_out(page: Page, runs: Sequence[StoredRun]) -> list[str]:
    """Of runs that belong to no row, a line for each reason: debug runs are counted, others named."""
    debug = [run for run in runs if is_debug(run)]
    reasons: dict[str, list[StoredRun]] = {}
    for run in runs:
        if run not in debug:
            reasons.setdefault(_reason(page, run), []).append(run)
    counted = [f"left out, debug runs, cut short to see that everything runs: {len(debug)}"] if debug else []
    return counted + [
        f"left out, {reason}: {', '.join(str(run.path) for run in own)}" for reason, own in reasons.items()
    ]


def _reason(page: Page, run: StoredRun) -> str:
    recipe = Recipe.of(run.choices)
    if recipe == ("train", None):
        return "of no recipe (experiment=…)"
    apart = [
        unlike(row, section.keys, run) for section in page.sections for row in section.rows if recipe_of(row) == recipe
    ]
    words = f"hybrid {recipe.script}" if recipe.experiment is None else f"experiment={recipe.experiment}"
    if not apart:
        return f"no row is of {words}"
    facts = {**run.settings, **run.choices}
    other = [f"{key}={setting_text(facts.get(key))}" for key in min(apart, key=len)]
    return f"no row of {words} has {' '.join(other)}"
