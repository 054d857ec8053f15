"""The pages in Markdown: lines that a narrow window shows, links that lead somewhere, Python that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "outputs/README.md")]
WRITTEN = sorted([*TOP, *ROOT.glob("docs/**/*.md")])
GENERATED = (ROOT / "docs" / "results" / "index.md", ROOT / "docs" / "lab" / "protocols.md")  # tables, mostly
LINK = re.compile(r"\[[^]]*]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("path", [each for each in WRITTEN if each not in GENERATED], ids=lambda path: path.name)
def test_lines_end_at_120_characters(path):
    long = [n for n, line in enumerate(path.read_text().splitlines(), start=1) if len(line) > 120]
    assert not long, f"{path}: lines {long}"


@pytest.mark.parametrize("path", TOP, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path):
    """MkDocs checks those of the site."""
    targets = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in targets if not (path.parent / link).exists()] == []


def test_the_readme_is_a_first_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_of_the_site_is_in_its_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")]
    pages += [path.relative_to(ROOT / "docs").with_suffix(".md") for path in ROOT.glob("docs/tutorials/*.py")]
    assert [page for page in pages if page.as_posix() not in navigation] == []
