"""The Python of the guide's pages runs as it is written."""

from __future__ import annotations

import re

import pytest

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS_FILES = ("my-images",)  # a folder of photographs


def _run(path, name: str) -> int:
    """Block after block in one namespace; each is compiled at its line, so that an error shows it."""
    text, names = path.read_text(), {"__name__": "guide"}
    blocks = list(_BLOCK.finditer(text))
    for block in blocks:
        exec(compile("\n" * text.count("\n", 0, block.start(1)) + block[1], name, "exec"), names)
    return len(blocks)


@pytest.mark.parametrize(
    "page",
    [
        "guide/models",
        "guide/my-model",
        "guide/my-loss",
        "guide/data",
        "guide/training",
        "guide/scattering",
        "guide/rotation",
    ],
)
def test_the_examples_of_a_page_run(page, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run(root / "docs" / f"{page}.md", page)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", ["README", "docs/index", "docs/guide/python"])
def test_the_examples_that_train_run(page, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run(root / f"{page}.md", page)


def test_every_page_with_python_is_run(root):
    """By these tests or by a test file of its own, named like the page."""
    text = (root / "tests" / "docs" / "test_guide_python.py").read_text()
    for page in root.glob("docs/guide/*.md"):
        own = root / "tests" / "docs" / f"test_{page.stem.replace('-', '_')}.py"
        if "```python" in page.read_text() and page.stem not in _NEEDS_FILES:
            assert f"guide/{page.stem}" in text or own.exists() or page.stem == "analysis", page
