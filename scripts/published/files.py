"""Make the results page and its pictures from the files of a checkout, and write them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from hybrid.files import write_atomically
from hybrid.reports.style import picture
from published.archive import read_archive
from published.figures import section_figures
from published.matching import entries
from published.page import main_table, page_text, with_main_table
from published.protocols import protocols_page, read_protocols
from published.rows import read_page

PREFIX = "results_"  # of the pictures' names


class Places:
    """Paths below the root of a checkout: the list of rows and the archive, and the page, its pictures and the README."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows = root / "docs" / "results" / "published.yaml"
        self.runs = root / "docs" / "results" / "runs"
        self.page = root / "docs" / "results" / "index.md"
        self.pictures = root / "docs" / "pictures"
        self.protocols = root / "docs" / "lab" / "protocols"
        self.protocols_page = self.protocols.with_suffix(".md")
        self.readme = root / "README.md"

    def copy_sources(self, to: Path) -> Places:
        """Copy the list, the archive and the README below another root, for a preview; return the places there."""
        there = Places(to)
        shutil.copytree(self.rows.parent, there.rows.parent)
        if self.protocols.is_dir():
            shutil.copytree(self.protocols, there.protocols)
        shutil.copy(self.readme, there.readme)
        return there


class Results(NamedTuple):
    """Everything that is generated: the three texts, and the content of each picture's file."""

    page: str
    readme: str
    protocols: str
    pictures: dict[str, bytes]


def make_results(places: Places) -> Results:
    """Make the page, the README with its table, and the pictures. Raises UserError for a list that cannot be read."""
    page = read_page(places.rows)
    runs = read_archive(places.runs)
    tables = [entries(section, runs) for section in page.sections]
    drawn = [
        {f"{PREFIX}{section.name}_{name}.png": made for name, made in section_figures(rows).items()}
        for section, rows in zip(page.sections, tables, strict=True)
    ]
    captions = [{file: words for file, (words, _) in own.items()} for own in drawn]
    pictures = {file: picture(figure, "png") for own in drawn for file, (_, figure) in own.items()}
    readme = with_main_table(places.readme.read_text(), main_table(page, tables))
    return Results(
        page_text(page, tables, captions), readme, protocols_page(read_protocols(places.protocols)), pictures
    )


def write_results(places: Places, results: Results) -> list[Path]:
    """Write the files that have changed; pictures that no longer belong to the page are deleted. Returns both."""
    files = {places.page: results.page.encode(), places.readme: results.readme.encode()}
    if places.protocols.is_dir():
        files[places.protocols_page] = results.protocols.encode()
    files |= {places.pictures / name: content for name, content in results.pictures.items()}
    changed = [path for path, content in files.items() if not path.is_file() or path.read_bytes() != content]
    for path in changed:
        write_atomically(path, lambda file, path=path: file.write(files[path]))
    gone = [path for path in places.pictures.glob(f"{PREFIX}*.png") if path not in files]
    for path in gone:
        path.unlink()
    return [*changed, *gone]
