"""The page for users of kymatio: its Python runs, and its table is that of the measurement."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def page(root):
    return (root / "docs" / "guide" / "coming-from-kymatio.md").read_text()


def test_the_python_of_the_page_runs(page):
    """Block after block in one namespace; each is compiled at its line, so that an error shows it."""
    pytest.importorskip("kymatio")
    blocks, space = list(re.finditer(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)), {}
    assert len(blocks) == page.count("```python") > 4
    for block in blocks:
        lines = "\n" * page.count("\n", 0, block.start(1))
        exec(compile(lines + block[1], "docs/guide/coming-from-kymatio.md", "exec"), space)


def test_its_errors_are_the_compiled_engines_in_the_table_of_all(page, root):
    table = (root / "docs" / "guide" / "scattering.md").read_text()
    rows = re.findall(r"^\| (\d) \| ((?:\d+\.\de-7 \| ?){6})$", page, flags=re.MULTILINE)
    assert [int(J) for J, _ in rows] == [1, 2, 3, 4, 5]
    for J, figures in rows:
        assert f"| {J} | cpu | {figures.strip()}" in table
