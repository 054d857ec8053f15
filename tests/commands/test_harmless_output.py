"""Names of others with an escape code and a line break: no command lets them move the cursor, or begin a line."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

ODD = "a\x1b[31m\nFAKE"
DATA = [
    "data=folder", "data.size=16", "data.resize=16", "augmentation=none", "data.validation=0.25", "data.normalize=none",
]  # fmt: skip
TRAIN = [
    "model=scat_linear", "model.frontend.J=2", "model.frontend.max_order=1", "model.frontend.engine=torch",
    "trainer.batch_size=4", "trainer.duration=1 steps", "trainer.evaluate_every=1 steps", "analysis=none",
    "data.num_workers=0", "optimizer.lr=0.01",
]  # fmt: skip


@pytest.fixture
def harmless(call, tmp_path, monkeypatch):
    """harmless("train", …) -> what the command prints; no line of it is another's, and no letter a control character."""
    monkeypatch.chdir(tmp_path)

    def do(command: str, *arguments: str, code: int = 0) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(logging.getLogger(), "handlers", [])  # as in a shell: pytest's would take the lines
            ended, said, errors = call(command, *arguments)
        assert ended == code, errors
        text = said + errors
        assert "\x1b" not in text and not any(line.startswith("FAKE") for line in text.splitlines()), text
        return text

    return do


@pytest.fixture
def photos(tmp_path):
    """A folder of images; it, its classes and its files have such names."""
    folder = tmp_path / f"photos {ODD}"
    for part in ("train", "val"):
        for number in range(2):
            place = folder / part / f"{number}{ODD}"
            place.mkdir(parents=True)
            for n in range(4):
                pixels = np.random.RandomState(10 * number + n).randint(0, 256, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{n}{ODD}.png", "png")
    (folder / "train" / f"{ODD}.txt").write_text("no image")
    return folder


@pytest.mark.filterwarnings("default")  # a run whose summary.json is damaged
def test_every_command(harmless, photos, tmp_path):
    places = [f"data.root='{photos}'", f"run.root='{tmp_path / f'outputs {ODD}'}'"]
    said = harmless("train", *DATA, *TRAIN, *places)
    assert "left out: 1 files" in said and "\\x1b[31m\\nFAKE.txt" in said  # from Python's logging
    assert harmless("train", *DATA, *TRAIN, *places).startswith("finished already")
    root = tmp_path / f"outputs {ODD}"
    folder = next(path.parent for path in root.glob("*/summary.json"))
    harmless("evaluate", f"run={folder}", f"confusion={tmp_path / ODD}.png", f"json={tmp_path / ODD}.json")
    harmless("predict", f"run={folder}", f"{photos / 'val'}", f"out={tmp_path / ODD}.csv")
    harmless("predict", f"run={folder}", f"{photos / 'val'}")
    harmless("export", f"run={folder}", f"to={tmp_path / ODD}", "formats=[safetensors]")
    (tmp_path / "link").symlink_to(folder)  # an element of a list is no text of any kind
    harmless("analyze", "run=link", f"to={tmp_path / ODD}", "probes=[knn]", "formats=[]")
    harmless("data-stats", *DATA, places[0], f"out='{tmp_path / ODD}.png'")
    harmless("prepare-data", *DATA, places[0])
    harmless("new", f"{tmp_path / ODD} project")
    for form in ("text", "markdown", "latex", "csv"):
        harmless("report", f"runs={root}", "by=[data.root]", f"format={form}")
    (folder / "summary.json").write_bytes(b"{")
    harmless("report", f"runs={root}", f"curves={tmp_path / ODD}.svg")
    harmless("train", *DATA, *TRAIN, *places, code=2)
