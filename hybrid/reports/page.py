"""Write one self-contained HTML page about runs: a table, curves, confusion matrices, layers, settings.

The page loads nothing and runs no script, so that it opens from a mail. Pictures are in the page itself.
"""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

import torch
from matplotlib.figure import Figure

from hybrid.configuration.signature import unsigned
from hybrid.errors import UserError
from hybrid.escaping import for_terminal
from hybrid.reports.confusion_figure import confusion_figure
from hybrid.reports.curves import curves_figure
from hybrid.reports.differences import labels
from hybrid.reports.groups import Group, key_words
from hybrid.reports.layout import Table, same_words
from hybrid.reports.numbers import number_text, title
from hybrid.reports.style import picture
from hybrid.runs.confusion import read_confusion
from hybrid.runs.folder import RunFolder

MOST = 4  # rows whose confusion matrices, and runs whose layers are drawn
_MOST_SETTINGS = 30  # rows whose settings are written
_LARGEST = 300_000  # bytes of an SVG; a larger picture is a PNG
_CURVES = ("validation/top1", "validation/loss", "train/loss")

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8886; --quiet: #666; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aaa; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; }
h3 { font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.right { text-align: right; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } figcaption { color: var(--quiet); font-size: .85rem; }
img { background: #fff; border-radius: .3rem; padding: .4rem; box-sizing: border-box; max-width: 100%; height: auto; }
pre { overflow-x: auto; font-size: .8rem; border: 1px solid var(--line); padding: .6rem; }
li, p { overflow-wrap: anywhere; } .notes { color: var(--quiet); font-size: .9rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


@dataclass(frozen=True)
class Drawing:
    """A figure with the words below it."""

    figure: Figure
    words: str


def page(
    groups: Sequence[Group],
    table: Table,
    *,
    heading: str,
    by: Sequence[str] = (),
    layers: Callable[[Mapping[str, Group]], Sequence[Drawing]] | None = None,
) -> str:
    """Return the page.

    Args:
        groups: the rows of the table, in its order.
        heading: the page's title.
        by: the settings that name the rows first.
        layers: draws the layers of the groups that it gets by their names; None: there are none.
    """
    names = dict(zip(_distinct(labels(groups, by=by)), groups, strict=True))
    drawn = layers({name: names[name] for name in list(names)[:MOST]}) if layers else []
    body = [
        _overview(table),
        _section("Curves", _figures(_curves(groups, by, table.metric))),
        _section("Confusion", _confusions(names)),
        _section("Layers", _figures(drawn)),
        _section("Settings", _settings(names)),
        _section("Runs", _runs(groups, table.metric)),
    ]
    return _PAGE.substitute(title=_words(heading), body="\n".join(part for part in body if part))


def _words(text: object) -> str:
    """Foreign words, harmless in HTML."""
    return html.escape(for_terminal(str(text)))


def _distinct(names: Sequence[str]) -> list[str]:
    return [f"{name} ({k + 1})" if names.count(name) > 1 else name for k, name in enumerate(names)]


def _section(heading: str, content: str) -> str:
    return f"<h2>{heading}</h2>\n{content}" if content else ""


def _overview(table: Table) -> str:
    words, same, left_out = table.layout()
    told = same_words(same)
    sides = [table.is_number(name) for name in words]
    parts = [f"<p>The same in every row: {_words(told)}.</p>"] if told else []
    parts.append(_table(list(words), words.itertuples(index=False), sides))
    notes = [*table.notes, *([f"Not shown: {', '.join(left_out)}."] if left_out else [])]
    return "\n".join([*parts, '<ul class="notes">', *(f"<li>{_words(note)}</li>" for note in notes), "</ul>"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    sides = [' class="right"' if side else "" for side in right]
    lines = [f"<tr>{''.join(f'<th{side}>{_words(name)}</th>' for side, name in zip(sides, head, strict=True))}</tr>"]
    for row in rows:
        lines.append(
            f"<tr>{''.join(f'<td{side}>{_words(cell)}</td>' for side, cell in zip(sides, row, strict=True))}</tr>"
        )
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _figures(drawings: Sequence[Drawing]) -> str:
    if not drawings:
        return ""
    shown = [f"<figure>{_image(each)}<figcaption>{_words(each.words)}</figcaption></figure>" for each in drawings]
    return '<div class="figures">\n' + "\n".join(shown) + "\n</div>"


def _image(drawing: Drawing) -> str:
    kind, content = "svg+xml", picture(drawing.figure, "svg")
    if len(content) > _LARGEST:
        kind, content = "png", picture(drawing.figure, "png", dpi=130)
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return f'<img alt="{_words(drawing.words)}" src="{source}">'


def _curves(groups: Sequence[Group], by: Sequence[str], metric: str) -> list[Drawing]:
    drawings = []
    for name in dict.fromkeys([metric.replace("test.", "validation/"), *_CURVES]):
        try:
            figure = curves_figure(groups, name=name, by=by)
        except UserError:  # no run has it
            continue
        if any(len(line.get_xdata()) > 1 for axes in figure.axes for line in axes.lines):  # more than dots
            drawings.append(Drawing(figure, title(name)))
    return drawings


def _confusions(names: Mapping[str, Group]) -> str:
    """Draw the counts of all finished runs of a row, added up, where these have the same classes."""
    found = {name: counts for name, group in names.items() if (counts := _counts(group)) is not None}
    drawings = [
        Drawing(confusion_figure(counts, classes), f"{name}: test images of {runs} run{'s' * (runs != 1)}")
        for name, (counts, classes, runs) in list(found.items())[:MOST]
    ]
    more = len(found) - len(drawings)
    return _figures(drawings) + (f'<p class="notes">{more} more rows have confusion matrices.</p>' if more else "")


def _counts(group: Group) -> tuple[torch.Tensor, Sequence[str], int] | None:
    folders = [RunFolder(run.path) for run in group.finished if RunFolder(run.path).confusion.is_file()]
    read = [each for each in map(_confusion, folders) if each is not None]
    classes = {names for _, names in read}
    if len(classes) != 1:
        return None
    (names,) = classes
    return sum(counts for counts, _ in read), names, len(read)


def _confusion(folder: RunFolder) -> tuple[torch.Tensor, tuple[str, ...]] | None:
    """The counts and the classes of a run; None, with a warning, where a file is damaged."""
    try:
        names = folder.read_class_names()
        return read_confusion(folder.confusion, len(names)), names
    except UserError as error:
        warnings.warn(f"{error} It is left out of the confusion matrices.", stacklevel=2)
        return None


def _settings(names: Mapping[str, Group]) -> str:
    """The whole configuration of one run of each row, folded."""
    parts = []
    for name, group in list(names.items())[:_MOST_SETTINGS]:
        run = group.runs[0]
        file = RunFolder(run.path).config
        text = unsigned(file.read_text(encoding="utf-8", errors="replace")) if file.is_file() else ""
        parts.append(f"<details><summary>{_words(name)}</summary><pre>{_lines(text)}</pre></details>" if text else "")
    more = len(names) - _MOST_SETTINGS
    return "\n".join(part for part in [*parts, f'<p class="notes">{more} more rows.</p>' if more > 0 else ""] if part)


def _lines(text: str) -> str:
    return "\n".join(map(_words, text.splitlines()))


def _runs(groups: Sequence[Group], metric: str) -> str:
    rows = [
        [str(k), key_words(run, group.over), run.state, _number(run.numbers, metric), run.path.name]
        for k, group in enumerate(groups, start=1)
        for run in group.runs
    ]
    shown = _table(["row", "run", "state", title(metric), "folder"], rows, [True, False, False, True, False])
    return f"<details><summary>{len(rows)} run{'s' * (len(rows) != 1)}</summary>{shown}</details>" if rows else ""


def _number(numbers: Mapping[str, float], metric: str) -> str:
    return number_text(metric, numbers[metric], numbers[metric]) if metric in numbers else "–"
