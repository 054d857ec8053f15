"""The Python of the guide's pages on models and data runs as it is written."""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize("page", ["models", "data"])
def test_the_examples_of_a_page_run(page, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (root / f"docs/guide/{page}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, f"docs/guide/{page}.md", "exec"), names)
