"""A run notices at every door that its data are no longer those that it began with."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
from fixtures.training import at_step
from PIL import Image

import hybrid
from hybrid.commands.evaluate import Options as EvaluateOptions
from hybrid.commands.evaluate import evaluate
from hybrid.data.changes import class_change, described, image_change
from hybrid.errors import Stopped, UserError
from hybrid.runs import RunFolder
from hybrid.training.restore import restore
from hybrid.training.run import run


@pytest.fixture
def photos(tmp_path):
    """Two classes of ten images, of which one cannot be read."""
    for number in range(20):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(9 * number).resize((20, 20)).save(folder / f"{number}.png")
    (tmp_path / "photos" / "dog" / "damaged.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def stop():
    raise Stopped(signal.SIGTERM, 3)


def test_changes_of_classes_and_images_are_found_at_every_door(tiny, photos, capsys, caplog, tmp_path, monkeypatch):
    cfg = tiny(
        "data=folder", f"data.root={photos}", "data.size=16", "data.resize=16", "data.num_workers=0", "data.subset.n=null",
        "data.test=0.4", "data.validation=0", "data.skip_unreadable=true", "trainer.batch_size=6",
    )  # fmt: skip
    with pytest.raises(Stopped):
        run(cfg, callbacks=[at_step(3, stop)])
    folder = RunFolder.of(cfg)
    facts = json.loads(folder.data.read_text())
    assert facts["left_out"] == ["dog/damaged.png"]
    assert {name: split["number"] for name, split in facts["images"].items()} == {"train": 12, "test": 8}

    (photos / "dog").rename(photos / "ant")
    with pytest.raises(
        UserError, match="classes have changed since the run began: ant is new and dog is gone.*run.name"
    ):
        run(cfg)
    for use in (lambda data: data.splits, lambda data: data.test):  # of load_run, export, analyze and inspect
        with pytest.raises(UserError, match="ant is new and dog is gone"):
            use(restore(folder.path, device="cpu").data)
    frame = hybrid.load_run(folder.path).predict([photos / "cat" / "0.png"])
    assert set(frame["class"]) <= {"cat", "dog"}  # the names that the network was trained with
    (photos / "ant").rename(photos / "dog")

    shutil.copytree(photos / "cat", photos / "eel")
    with pytest.raises(SystemExit) as end:
        evaluate([f"run={folder.path}"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and "eel is new" in said, said
    shutil.rmtree(photos / "eel")

    (photos / "cat" / "0.png").rename(tmp_path / "0.png")
    with pytest.raises(UserError, match="12 train images then and 11 now"):
        run(cfg)
    caplog.clear()
    restore(folder.path, device="cpu").data.splits  # noqa: B018
    assert "11 now" in caplog.text and "not those of the run" in caplog.text  # evaluation on other images is possible
    (tmp_path / "0.png").rename(photos / "cat" / "0.png")

    decode = "hybrid.data.folder.Folder.unreadable"
    monkeypatch.setattr(decode, lambda *given: pytest.fail("the images were decoded again"))
    caplog.clear()
    run(cfg)
    assert folder.finished and "dog/damaged.png, when the run began" in caplog.text
    assert EvaluateOptions(run=str(folder.path)).split == "test"


def test_a_run_of_an_earlier_version_knows_its_classes_alone(train, tiny):
    folder = train()
    (folder.data).unlink()
    assert folder.read_facts() == {"class_names": [str(digit) for digit in range(10)]}
    restore(folder.path, device="cpu").data.splits  # noqa: B018


def test_words_of_changes():
    import torch

    class Split:
        def __init__(self, *labels):
            self.labels = torch.tensor(labels)

        def __len__(self):
            return len(self.labels)

    then = {"train": described(torch.tensor([0, 1, 1]))}
    assert image_change(then, {"train": Split(0, 1, 1)}) is None is image_change(None, {})
    assert image_change(then, {"train": Split(1, 1, 0)}).endswith("train images with other labels")
    assert image_change(then, {"train": Split(0, 1, 1), "test": Split(0)}).endswith("0 test images then and 1 now")
    assert class_change(["a", "b"], ("a", "b")) is None is class_change(None, ("a",))
    assert class_change(["a", "b"], ["b", "a"]).endswith("their order is another")
    assert class_change(list("abcdefg"), ["a"]).endswith(": b, c, d, e, f and 1 more are gone")
