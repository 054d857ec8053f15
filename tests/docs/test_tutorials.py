"""Every tutorial runs from its first line to its last, and shows pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    # Jupyter's own internals, not ours to mend:
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:zmq.*", "ignore::ResourceWarning"),
]
hook = pytest.importorskip("site_hook")
FILES = sorted(Path(__file__).resolve().parents[2].glob("docs/tutorials/*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs(path):
    page = hook.execute(path.read_text(), path.stem)
    assert page.pictures and page.parts[0].startswith("# ")


def test_there_are_tutorials():
    assert FILES
