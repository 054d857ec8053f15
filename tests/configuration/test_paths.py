"""Configurations of the user's own stand before hybrid's, for every command that composes one."""

from __future__ import annotations

import os

import pytest

from hybrid.configuration.composition import compose
from hybrid.configuration.paths import CONFIGS, ConfigFolders, add_folder
from hybrid.errors import UserError


@pytest.fixture(autouse=True)
def _variable(monkeypatch):
    monkeypatch.setenv("HYBRID_CONFIGS", "")  # --config-dir sets it: this restores it


@pytest.fixture
def mine(tmp_path):
    """A folder with a recipe, a model, a data set, a group of its own, and a schedule that hybrid has too."""
    files = {
        "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: tiny\ntrainer:\n  batch_size: 17\n",
        "model/tiny.yaml": "defaults:\n  - frontend: scattering\n  - normalization: none\n  - head: linear\n",
        "data/small.yaml": "defaults:\n  - digits\nsubset:\n  n: 100   # the first hundred\n",
        "noise/strong.yaml": "# @package trainer\nlabel_smoothing: 0.3\n",
        "schedule/cosine.yaml": "_target_: my.schedule\nwarmup: 0 steps\n",
        "svm/mine.yaml": "kernel: linear\nC: 7\ngamma: null\nfolds: 5\n",
    }
    for name, text in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


def test_ours_are_package_data():
    assert (CONFIGS / "train.yaml").is_file()
    folders = ConfigFolders.read()
    assert folders.folders == (CONFIGS,) and folders.users == ()
    assert "model/head" in folders.groups() and "scat_resnet" in folders.options("model")
    assert folders.find("nothing") is None


def test_the_users_files_come_first(mine, monkeypatch):
    monkeypatch.setenv("HYBRID_CONFIGS", os.pathsep.join([str(mine), ""]))
    folders = ConfigFolders.read()
    assert folders.find("schedule/cosine") == mine / "schedule/cosine.yaml"
    assert folders.find("schedule/step") == CONFIGS / "schedule/step.yaml"
    assert {"tiny", "scat_wrn"} <= set(folders.options("model")) and "noise" in folders.groups()
    cfg = compose(["experiment=mine", "data=small", "+noise=strong"])
    assert cfg.trainer.batch_size == 17 and cfg.choices.model == "tiny" and cfg.schedule._target_ == "my.schedule"
    assert cfg.data.subset.n == 100 and cfg.trainer.label_smoothing == 0.3
    assert cfg.choices.noise == "strong"


def test_the_folder_that_is_named_first_wins(mine, tmp_path):
    (tmp_path / "other" / "data").mkdir(parents=True)
    (tmp_path / "other" / "data" / "small.yaml").write_text("defaults:\n  - mnist\n")
    add_folder(str(mine))
    add_folder(str(tmp_path / "other"))
    assert compose(["data=small"]).data._target_ == "hybrid.data.mnist.Mnist"
    add_folder(str(mine))
    assert ConfigFolders.read().users == (mine, tmp_path / "other")
    assert compose(["data=small"]).data._target_ == "hybrid.data.digits.Digits"


def test_a_folder_that_is_not_there_is_refused(tmp_path, monkeypatch, call):
    for path, message in ((tmp_path / "no", "there is no such folder."), ("", "--config-dir needs a folder")):
        with pytest.raises(UserError, match=message):
            add_folder(str(path))
    code, _, errors = call("train", "--config-dir", str(tmp_path / "no"))
    assert code == 2 and errors == f"error: --config-dir {tmp_path / 'no'}: there is no such folder.\n"
    code, _, errors = call("train", "--config-dir")
    assert code == 2 and errors == "error: --config-dir needs a folder: --config-dir DIR.\n"
    monkeypatch.setenv("HYBRID_CONFIGS", str(tmp_path / "no"))
    code, _, errors = call("train", "seed=1")
    assert code == 2 and errors == f"error: $HYBRID_CONFIGS names {tmp_path / 'no'}, which is not a folder.\n"


def test_help_lists_them_with_ours(mine, call):
    code, out, _ = call("train", "--help", f"--config-dir={mine}", "data=small")
    listed = out.split("\nGroups")[1].split("\nSettings")[0].replace("\n" + 23 * " ", " ").splitlines()
    groups = {line.split()[0]: line.split()[1:] for line in listed if line.startswith("  ")}
    assert code == 0
    assert "mine" in groups["experiment"] and {"small*", "digits"} <= set(groups["data"])
    assert groups["+noise"] == ["strong"] and "svm" not in groups
    assert "n: 100   # the first hundred" in out
    assert "# data=digits, for what is not set above" in out


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train", ["data=small", "model=tiny", "seed=-1"], "seed=-1 is not valid"),
        ("train", ["-m", "data=small", "experiment=mine", "seed=0,1", "optimizer.lrr=1"], "unknown key in optimizer"),
        ("search", ["trials=1", "data=small", "model=tinny", "seed=0,1"], "Did you mean tiny?"),
        ("svm", ["data=small", "model=tiny", "svm=mine", "svm.folds=0"], "svm.folds=0 is not valid"),
        ("describe", ["data=small", "model=tiny", "num_classes=0"], "num_classes=0"),
        ("data_stats", ["data=small", "columns=0"], "columns=0"),
        ("prepare_data", ["data=small,imagenet", "data.nothing=1"], "error: data=small: unknown key in data: nothing"),
        ("analyze", ["model=tinny", "data=small", "to=x"], "Did you mean tiny?"),
    ],
)
def test_every_command_takes_them(mine, tmp_path, monkeypatch, call, command, arguments, message):
    """The folder is known where the mistake, which ends the command, is found."""
    monkeypatch.chdir(tmp_path)
    code, _, errors = call(command, "--config-dir", str(mine), *arguments)
    assert code == 2 and message in errors, errors


def test_hydra_shows_where_a_setting_comes_from(mine, execute):
    done = execute("train", "--config-dir", str(mine), "experiment=mine", "--cfg", "job")
    assert done.returncode == 0 and "batch_size: 17" in done.stdout, done.stderr
    done = execute("train", "--config-dir", str(mine), "experiment=mine", "--info", "searchpath")
    assert done.returncode == 0 and str(mine) in done.stdout, done.stderr
