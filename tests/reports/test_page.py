"""The page of runs: all in one file, nothing loaded, foreign words harmless."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
import torch
from matplotlib.figure import Figure

from hybrid.errors import UserError
from hybrid.reports.groups import group_runs
from hybrid.reports.page import Drawing, page
from hybrid.reports.tables import make_table
from hybrid.runs.confusion import read_confusion, write_confusion
from hybrid.runs.reading import find_runs

EVIL = '<script>alert("x")</script>'


class Tags(HTMLParser):
    """The tags and sources of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def runs(tmp_path, write_run):
    """Two learning rates, of two seeds and one; classes and a setting with a script in their names."""
    for lr, seed in (("0.2", 0), ("0.2", 1), ("0.3", 0)):
        folder = write_run(f"{lr}-{seed}", f"optimizer.lr={lr}", f"run.init_from='{EVIL}'", seed=seed, top1=90.0 + seed)
        (folder / "classes.json").write_text(json.dumps([EVIL, "$x$ \x1b[1m"]))
        write_confusion(folder / "confusion.csv", torch.tensor([[5 + seed, 0], [1, 4]]), ["cat", "dog"])
    return tmp_path / "runs"


def test_the_command_writes_a_page_that_loads_nothing_and_runs_nothing(runs, report, tmp_path):
    file = tmp_path / "page.html"
    code, _, err = report(f"html={file}")
    text = file.read_text()
    tags = Tags(text)
    assert code == 0 and f"written: {file}" in err and not tags.open
    assert "script" not in tags.tags and "link" not in tags.tags and "alert(&quot;x&quot;)" in text
    assert tags.sources and all(source.startswith("data:image/") for source in tags.sources)
    assert "default-src 'none'" in text and "width=device-width" in text and "prefers-color-scheme: dark" in text
    for words in ("3 runs in ", "90.50 ± 0.71", "lr=0.2: test images of 2 runs", "<pre>", "batch_size: ", "seed=1"):
        assert words in text
    assert len(text) < 1_000_000
    for picture in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text):
        ElementTree.fromstring(base64.b64decode(picture))
    assert text == (report(f"html={file}"), file.read_text())[1], "equal runs, equal pages"


def test_layers_are_drawn_by_name_and_a_part_without_content_has_no_heading(runs):
    groups = group_runs(find_runs(runs, where=["seed=1"]))
    asked = []

    def layers(named):
        asked.extend(named)
        return [Drawing(Figure(), EVIL)]

    text = page(groups, make_table(groups, metric="test.top1"), heading=EVIL, layers=layers)
    assert asked == ["scat_resnet, digits"] and "<h2>Layers</h2>" in text and EVIL not in text
    assert "<h2>Layers" not in page(groups, make_table(groups, metric="test.top1"), heading="x")


def test_counts_of_a_confusion_are_read_back_and_damage_is_named(tmp_path):
    counts = torch.tensor([[3, 0, 1], [0, 0, 0], [2, 0, 7]])
    write_confusion(tmp_path / "c.csv", counts, ["cat", "dog, small", "=x"])
    assert read_confusion(tmp_path / "c.csv", 3).equal(counts)
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[:3] == ["true,predicted,images,true_name,predicted_name", "0,0,3,cat,cat", "0,2,1,cat,'=x"]
    (tmp_path / "old.csv").write_text("true,predicted,images\n0,0,3\n0,2,1\n2,0,2\n2,2,7\n")
    assert read_confusion(tmp_path / "old.csv", 3).equal(counts)
    with pytest.raises(UserError, match=r"c.csv is damaged: "):
        read_confusion(tmp_path / "c.csv", 2)


def test_a_page_is_an_html_file(runs, report):
    assert report("html=page.txt")[2].startswith("error: html=page.txt has none of the endings .html, .htm.")
