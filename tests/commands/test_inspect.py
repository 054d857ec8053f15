"""hybrid inspect: pictures and a table of the mistakes of a run, saliency and maps of single images."""

from __future__ import annotations

import csv
import re
import shutil

import pytest
from PIL import Image

from hybrid.training.restore import Restored


def test_the_mistakes_of_a_run_are_drawn_and_listed(finished, call, tmp_path):
    code, out, err = call("inspect", f"run={finished.path}", f"to={tmp_path}", "layers=S1,S2", "formats=png,svg")
    assert (code, err) == (0, "")
    with (tmp_path / "mistakes.csv").open() as file:
        rows = list(csv.DictReader(file))
    wrong = round(360 * (1 - finished.read_summary()["test"]["top1"] / 100))
    assert len(rows) == wrong and f"test: {wrong} of 360 images are classified wrongly" in out
    assert all(row["class"] != row["predicted"] for row in rows)
    shares = [float(row["probability"]) for row in rows]
    assert shares == sorted(shares, reverse=True) and shares[-1] > 0.1
    names = {path.name for path in tmp_path.glob("*.png")}
    assert {"most_confident_mistakes.png", "most_confused_classes.png", "saliency.png"} <= names
    assert f"maps_test_{rows[0]['index']}.png" in names and len(names) == 7 == len(list(tmp_path.glob("*.svg")))


def test_scores_are_called_so_and_pictures_go_to_tensorboard(finished, call, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(Restored, "likelihood", "score")  # as after a loss of one's own
    run, to = shutil.copytree(finished.path, tmp_path / "run"), tmp_path / "to"
    code, _, err = call(
        "inspect", f"run={run}", "what=mistakes", "count=2", f"to={to}", "formats=svg", "tensorboard=true"
    )
    assert (code, err) == (0, "")
    assert (to / "mistakes.csv").read_text().splitlines()[0] == "index,file,class,predicted,score"
    assert "%" not in "".join(re.findall(r">([^<]*)</text>", (to / "most_confident_mistakes.svg").read_text()))
    shown = EventAccumulator(str(run)).Reload().Tags()["images"]
    assert {"inspect/most_confident_mistakes", "inspect/most_confused_classes"} <= set(shown)


def test_files_and_positions_can_be_given(finished, call, tmp_path):
    Image.new("L", (40, 30), 128).save(tmp_path / "grey.png")
    code, _, err = call(
        "inspect", f"run={finished.path}", str(tmp_path / "grey.png"), f"to={tmp_path / 'one'}", "layers=S1"
    )
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"saliency.png", "maps_grey.png"}
    code, _, err = call("inspect", f"run={finished.path}", "indices=3", "what=saliency", f"to={tmp_path / 'two'}")
    assert (code, err) == (0, "") and [path.name for path in (tmp_path / "two").iterdir()] == ["saliency.png"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["x.png", "indices=3"], "not both"),
        (["x.png", "what=mistakes"], "no effect with image files"),
        (["what=saliency", "layers=S1"], "without what=maps"),
        (["indices=99999", "what=saliency"], "there is no image 99999"),
        (["layers=S11", "indices=1"], "unknown layer of the model: S11. Did you mean S1"),
        (["count=0"], "at least 1"),
    ],
)
def test_mistakes_of_the_user_are_one_line(finished, call, tmp_path, given, said):
    (tmp_path / "x.png").touch()
    given = [str(tmp_path / each) if each == "x.png" else each for each in given]
    code, _, err = call("inspect", f"run={finished.path}", f"to={tmp_path / 'to'}", *given)
    assert code == 2 and said in err and len(err.splitlines()) == 1 and not (tmp_path / "to").exists()
