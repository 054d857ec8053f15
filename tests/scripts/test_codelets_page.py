"""What docs/lab/codelets.md says in Python is true."""

from __future__ import annotations

import re

from hybrid.scattering.compiled.codelets.programs import transform_program


def test_the_python_of_the_page_runs(root):
    """Block after block in one namespace; each is compiled at its line, so that an error shows it."""
    page, space = (root / "docs" / "lab" / "codelets.md").read_text(), {}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
    assert len(blocks) == page.count("```python") > 4
    try:
        for block in blocks:
            lines = "\n" * page.count("\n", 0, block.start(1))
            exec(compile(lines + block[1], "docs/lab/codelets.md", "exec"), space)
    finally:
        transform_program.cache_clear()  # one block changes a formula
