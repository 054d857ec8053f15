from __future__ import annotations

import csv

import pytest

from hybrid.analysis.result import Analysis

SMALL = [
    "preset=light", "images=80", "pairs=40", "pair_images=20", "neighbours=5", "formats=png",
    "measures=contraction,classes,boundary,probes", "probes=1nn",
]  # fmt: skip


def test_a_runs_analysis_lies_in_its_folder(train_run, call):
    folder = train_run("run.name=analysed")
    code, out, err = call("analyze", f"run={folder.path}", *SMALL)
    assert (code, err) == (0, "")
    with (folder.analysis / "light" / "light.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["pixels", "S0", "S1", "S2", "scattering", "logits"]
    record = Analysis.load(folder.analysis / "light" / "light.npz")
    assert record.about["accuracy"] == folder.read_summary()["test"]["top1"] and record.about["images"] == 80
    assert float(rows[-1]["probe.1nn"]) == record.rows()[-1]["probe.1nn"]
    pictures = {path.stem for path in (folder.analysis / "light").glob("*.png")}
    assert {"accuracy_by_depth", "boundary", "contraction", "intra_class_distances"} <= pictures
    assert out.splitlines()[0] == f"{folder.path}:"
    assert "boundary.nested_1" in out and "logits" in out and str(folder.analysis) in out


def test_runs_are_compared_and_records_drawn_again_without_measuring(finished, train_run, call, tmp_path, monkeypatch):
    other = train_run("run.name=other", "model.frontend.max_order=1")
    to = tmp_path / "both"
    code, _, err = call("analyze", f"run={finished.path},{other.path}", f"to={to}", *SMALL)
    assert (code, err) == (0, "")
    assert {"tiny.npz", "other.npz", "tiny.csv", "other.csv", "boundary.png"} <= {path.name for path in to.iterdir()}
    monkeypatch.setattr("hybrid.training.analysis.offline.analyse_data", None)
    again = tmp_path / "again"
    code, out, err = call("analyze", f"run={to / 'tiny.npz'},{to / 'other.npz'}", f"to={again}", "formats=svg")
    assert (code, err) == (0, "")
    assert {path.suffix for path in again.iterdir()} == {".svg"}


def test_any_network_by_its_name(call, tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(
        "from collections import OrderedDict\nfrom torch import nn\n\n"
        "def net(num_classes):\n"
        "    parts = {'conv': nn.Conv2d(1, 4, 3), 'relu': nn.ReLU(), 'flat': nn.Flatten(), 'fc': nn.Linear(3600, num_classes)}\n"
        "    return nn.Sequential(OrderedDict(parts))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    to, options = tmp_path / "to", ["data=digits", *SMALL, "layers=pixels,relu,logits"]
    code, out, err = call("analyze", "model=theirs.net", f"to={to}", *options)
    assert (code, err) == (0, "") and "random weights" in out
    assert Analysis.load(to / "net.npz").layers == ["pixels", "relu", "logits"]
    code, _, err = call("analyze", "model=torchvision.models.resnet18", f"to={to}", *options)
    assert code == 2 and "does not take images of (1, 32, 32)" in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either run=FOLDER"),
        (["model=resnet18"], "model=… needs data=NAME and to=FOLDER"),
        (["run=a,b"], "several runs need to=FOLDER"),
        (["run=nowhere"], "there is no run's folder nowhere"),
        (["run=nowhere.npz", "to=x"], "there is no analysis nowhere.npz"),
        (["model=torchvision.models.resnet81", "data=digits", "to=x"], "Did you mean resnet18"),
        (["model=resnet81", "data=digits", "to=x"], "unknown model: resnet81. Did you mean resnet18"),
        (["model=torch.nn.Linear", "data=digits", "to=x"], "cannot be made"),
        (["model=torch.nn", "data=digits", "to=x"], "cannot be made"),
        (
            ["model=scat_linear", "data=digits", "to=x", "checkpoint=none.pth"],
            "checkpoint: there is no checkpoint none.pth",
        ),
        (["run=x", "match=all"], "match=… has no effect"),
        (["run=x", "num_classes=3"], "num_classes=… has no effect"),
        (["model=os.getcwd", "data=digits", "to=x"], "makes no torch.nn.Module"),
        (["run=x", "measures=boundery"], "boundery"),
        (["run=x", "checkpoint=y"], "checkpoint=… needs model=NAME"),
        (["model=scat_linear", "data=digist", "to=x"], "digist"),
    ],
)
def test_mistakes_are_one_line(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("analyze", *arguments)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1
    assert out == "" and not list(tmp_path.iterdir())


def test_an_unknown_layer_is_answered_with_the_valid_ones(finished, call):
    code, _, err = call("analyze", f"run={finished.path}", *SMALL, "layers=head.relu")
    assert code == 2 and "unknown layer of the model: head.relu" in err and "scattering" in err
