"""The page, the README's main table and the pictures, from docs/results alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hybrid.files import write_atomically, write_text
from hybrid.reports.style import picture
from published.archive import read_archive
from published.entries import Rows, entries
from published.figures import section_figures
from published.page import main_table, page_text, with_main_table
from published.rows import Section, read_page

PICTURES = "results_"  # what their files' names begin with


@dataclass(frozen=True)
class Places:
    """Where everything lies in a checkout."""

    root: Path

    @property
    def rows(self) -> Path:
        """The list of published figures."""
        return self.root / "docs" / "results" / "published.yaml"

    @property
    def runs(self) -> Path:
        """The archive."""
        return self.root / "docs" / "results" / "runs"

    @property
    def page(self) -> Path:
        """What is generated."""
        return self.root / "docs" / "results" / "index.md"

    @property
    def pictures(self) -> Path:
        """Its figures, beside others."""
        return self.root / "docs" / "pictures"

    @property
    def readme(self) -> Path:
        """It holds the main table."""
        return self.root / "README.md"


@dataclass(frozen=True)
class Results:
    """Everything that is generated: the texts, and the content of each picture's file."""

    page: str
    readme: str
    pictures: dict[str, bytes]

    def write(self, places: Places) -> list[Path]:
        """Write what has changed; pictures that no longer belong to the page are deleted. Returns both, as paths."""
        texts = {places.page: self.page, places.readme: self.readme}
        changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
        for path in changed:
            write_text(path, texts[path])
        for file in places.pictures.glob(f"{PICTURES}*.png"):
            if file.name not in self.pictures:
                file.unlink()
                changed.append(file)
        for name, content in self.pictures.items():
            path = places.pictures / name
            if not path.is_file() or path.read_bytes() != content:
                write_atomically(path, lambda file, content=content: file.write(content))
                changed.append(path)
        return changed


def make_results(places: Places, *, archive: Path | None = None) -> Results:
    """Read the list and the archive, and make everything. Raises UserError for a list that cannot be read.

    archive: another one than the checkout's.
    """
    page = read_page(places.rows)
    runs = read_archive(archive or places.runs)
    tables = [entries(section, runs) for section in page.sections]
    drawn = [_drawn(section, rows) for section, rows in zip(page.sections, tables, strict=True)]
    words = [{file: words for file, (words, _) in own.items()} for own in drawn]
    pictures = {file: content for own in drawn for file, (_, content) in own.items()}
    readme = with_main_table(places.readme.read_text(), main_table(page, tables))
    return Results(page_text(page, tables, words), readme, pictures)


def _drawn(section: Section, rows: Rows) -> dict[str, tuple[str, bytes]]:
    """file -> (what it shows, its content)."""
    figures = section_figures(rows)
    return {
        f"{PICTURES}{section.name}_{name}.png": (words, picture(figure, "png"))
        for name, (words, figure) in figures.items()
    }
