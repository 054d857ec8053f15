"""The page of runs: all in one file, nothing loaded, foreign words harmless."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from hybrid.analysis import Analysis
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


BRACKETS, DIGITS = "[" * 100_000, "9" * 400
DAMAGED = {
    "confusion.csv": [
        "", "true,predicted,images\n0,0,1e999\n", "true,predicted,images\n9,0,1\n", f"true,predicted,images\n0,0,{DIGITS}",
        f'true,predicted,images\n"{BRACKETS}{BRACKETS}', "\x00" * 50,
    ],
    "classes.json": ["", "5", BRACKETS, '{"task": 5}', '{"names": [1], "task": []}', "\xff"],
    "metrics.jsonl": [
        "", BRACKETS + "\n{}\n", '{"step": 1, "epoch": "x", "validation/top1": 3}\n' * 2,
        '{"step": 1, "epoch": 1, "validation/top1": {}}\n{"step": 1, "epoch": 1, "train/loss": ' + DIGITS + "}\n",
        '{"step": 1, "epoch": 1, "train/loss": null}\n' * 3,
    ],
    "summary.json": ["", "5", BRACKETS, f'{{"test": {{"top1": {DIGITS}}}}}', '{"test": [], "device": {}}'],
    "environment.json": ["[]"],
    "data.json": ["[]"],
}  # fmt: skip


def test_damaged_files_of_runs_stop_no_report(runs, report, write_run, tmp_path):
    (tmp_path / "runs" / "0.3-0" / "confusion.csv").unlink()
    seeds = iter(range(1, 100))
    for name, contents in DAMAGED.items():
        for content in contents:
            folder = write_run(f"{name}-{next(seeds)}", "optimizer.lr=0.3", seed=next(seeds), top1=90.0)
            (folder / "classes.json").write_text('["cat", "dog"]')
            write_confusion(folder / "confusion.csv", torch.tensor([[5, 0], [1, 4]]), ["cat", "dog"])
            (folder / name).write_text(content, encoding="latin-1")
    file = tmp_path / "page.html"
    code, out, err = report(f"html={file}", f"curves={tmp_path / 'curves.png'}")
    assert code == 0 and "0.2" in out and "Traceback" not in err
    assert not Tags(file.read_text()).open
    for name, contents in DAMAGED.items():
        if name in ("confusion.csv", "classes.json", "summary.json"):
            assert err.count(f"{name} ") >= len(contents) - 1, err


def zeros(path):
    """An analysis of 2 MB whose arrays have more than a GiB."""
    about = json.dumps({"format": 1, "layers": [{"name": "a"}], "images": 9})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {"about": np.array(about), "a: boundary.nested": np.zeros(0)}.items():
            with archive.open(f"{name}.npy", "w") as part:
                np.save(part, array)
        with archive.open("b.npy", "w", force_zip64=True) as part:
            np.lib.format.write_array_header_1_0(part, {"descr": "<f8", "fortran_order": False, "shape": (1 << 28,)})
            part.write(bytes(1 << 20))
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")  # the entry of the last array says to have 2 GiB
    content[place + 24 : place + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)


def analysis(**changes):
    """What an analysis says of itself, changed."""
    return {"format": 1, "layers": [{"name": "a", "kind": "x", "depth": 1}], "images": 9, **changes}


ODD = {
    "text": lambda path: path.write_text("no zip"),
    "empty": lambda path: path.write_bytes(b""),
    "nothing": lambda path: np.savez(path, x=1),
    "a_list": lambda path: np.savez(path, about=np.array("[]")),
    "brackets": lambda path: np.savez(path, about=np.array("[" * 100_000)),
    "no_layers": lambda path: np.savez(path, about=np.array(json.dumps({"format": 1}))),
    "odd_layers": lambda path: np.savez(path, about=np.array(json.dumps(analysis(layers=[5])))),
    "objects": lambda path: np.savez(path, about=np.array(json.dumps(analysis())), x=np.array([object()])),
}


def test_foreign_and_damaged_analyses_are_named(tmp_path):
    for kind, make in ODD.items():
        make(tmp_path / f"{kind}.npz")
        with pytest.raises(UserError, match=f"{kind}.npz") as error:
            Analysis.load(tmp_path / f"{kind}.npz")
        assert "\n" not in str(error.value)
    zeros(tmp_path / "zeros.npz")
    with pytest.raises(UserError, match="its arrays have more than 1024 MiB"):
        Analysis.load(tmp_path / "zeros.npz")


def test_an_analysis_that_cannot_be_read_or_drawn_stops_no_page(runs, report, tmp_path):
    for run in ("0.2-0", "0.3-0"):
        (runs / run / "analysis").mkdir()
    zeros(runs / "0.2-0" / "analysis" / "step-6.npz")
    odd = analysis(layers=[{"name": "a", "kind": [], "depth": {}, "probe.knn": "x"}])
    np.savez(runs / "0.3-0" / "analysis" / "step-6.npz", about=np.array(json.dumps(odd)))
    code, out, err = report(f"html={tmp_path / 'page.html'}")
    assert code == 0 and "0.3" in out and "Traceback" not in err
    assert "more than 1024 MiB It is left out" in err.replace(".", "") and "cannot be drawn are left out" in err
