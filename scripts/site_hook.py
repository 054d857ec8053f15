"""What MkDocs does for this site alone, named in mkdocs.yml: tutorials are executed, and wide pages are wide.

A tutorial is a notebook kept as text: a Python file in jupytext's percent format. `mkdocs build` executes it in an empty
folder and shows its code, its outputs and its pictures. An error in a tutorial ends the build.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page as SitePage

WIDE = ("results/index.md",)  # pages with wide tables, which have no navigation beside them
TIMEOUT = 300  # seconds for one cell, on a machine that is busy
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_STYLE = re.compile(r'<style scoped>.*?</style>| border="1" class="dataframe"| style="[^"]*"', re.DOTALL)


@dataclass
class Page:
    """A tutorial that has run: its text as Markdown, and the PNG files that the text names."""

    name: str
    parts: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    @property
    def markdown(self) -> str:
        """The whole page."""
        return "\n\n".join(self.parts) + "\n"

    def add_code(self, source: str) -> None:
        """The code of a cell."""
        self.parts.append(f"```python\n{source}\n```")

    def add_text(self, text: str) -> None:
        """A printed output, as a terminal would show it without its colours."""
        lines = [line.rpartition("\r")[2] for line in _COLOURS.sub("", text).replace("\r\n", "\n").split("\n")]
        self.parts.append("``` { .text .output }\n" + "\n".join(lines).strip("\n") + "\n```")

    def add_output(self, data: dict[str, str]) -> None:
        """A displayed output, in the best of the forms that it has."""
        if "image/png" in data:
            file = f"{self.name}_{len(self.pictures) + 1}.png"
            self.pictures[file] = base64.b64decode(data["image/png"])
            self.parts.append(f"![Output of the code above]({file})")
        elif "text/html" in data:
            self.parts.append("\n".join(line.strip() for line in _STYLE.sub("", data["text/html"]).splitlines()))
        elif "text/plain" in data:
            self.add_text(data["text/plain"])


@functools.cache
def execute(source: str, name: str) -> Page:
    """Run a tutorial in a kernel of its own and an empty folder.

    Args:
        source: the text of the Python file.
        name: begins the names of the pictures' files.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises an error.
    """
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.reads(source, fmt="py:percent")
    with tempfile.TemporaryDirectory() as folder:
        options = {"kernel_name": "python3", "extra_arguments": ["--log-level=40"], "timeout": TIMEOUT}
        client = NotebookClient(notebook, resources={"metadata": {"path": folder}}, **options)
        client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})  # many threads on a busy machine wait for each other
    page = Page(name)
    for cell in notebook.cells:
        _add(page, cell)
    return page


def _add(page: Page, cell: Any) -> None:
    if cell.cell_type == "markdown":
        page.parts.append(cell.source)
        return
    page.add_code(cell.source)
    printed = [each for each in cell.outputs if each.output_type == "stream" and each.name == "stdout"]
    if printed:
        page.add_text("".join(each.text for each in printed))
    for each in cell.outputs:
        if each.output_type in ("display_data", "execute_result"):
            page.add_output(each.data)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page and the pictures of every tutorial to the files of the site."""
    from mkdocs.structure.files import File

    for path in sorted(Path(config.docs_dir, "tutorials").glob("*.py")):
        page = execute(path.read_text(encoding="utf-8"), path.stem)
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=page.markdown))
        for name, content in page.pictures.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: SitePage, **_: Any) -> str:
    """Leave the whole width to pages with wide tables. The text is not changed."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    return markdown
