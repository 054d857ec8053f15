"""A project folder is found from the current folder, by --config-dir and by $HYBRID_CONFIGS, and its classes with it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
from omegaconf import OmegaConf

from hybrid.configuration import class_paths
from hybrid.configuration.class_paths import (
    explain_missing,
    find_class,
    folders_used,
    record_folders,
    use_recorded_folders,
)
from hybrid.configuration.instantiate import instantiate
from hybrid.configuration.paths import (
    CONFIGS,
    ConfigFolders,
    code_folders,
    current_project,
    named_folders,
    replaced_by_project,
)
from hybrid.errors import UserError


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    """Variables, Python's path and its modules are afterwards as they were."""
    monkeypatch.setenv("HYBRID_CONFIGS", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_own_part", "another_part", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def make(tmp_path):
    """make("name", module) is a project with a head, whose class is in the module my_part_of_NAME or another."""

    def do(name: str, module: str = "my_own_part"):
        folder = tmp_path / name
        (folder / "configs" / "model" / "head").mkdir(parents=True)
        (folder / "hybrid.yaml").touch()
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / f"{module}.py").write_text(f"class Head:\n    project = {name!r}\n")
        (folder / "configs" / "model" / "head" / f"{name}.yaml").write_text(f"_target_: {module}.Head\n")
        return folder

    return do


def test_it_is_found_from_its_folder_and_those_below(make, tmp_path, monkeypatch):
    mine, configs = make("mine"), tmp_path / "mine" / "configs"
    for place in (mine, mine / "deep" / "er"):
        monkeypatch.chdir(place)
        assert current_project() == mine and ConfigFolders.read().folders == (configs, CONFIGS)
        assert code_folders() == list(dict.fromkeys([place, mine])) and named_folders() == str(mine)
    monkeypatch.chdir(tmp_path)
    assert current_project() is None and ConfigFolders.read().users == () and named_folders() == ""


@pytest.mark.parametrize("inner", ["", "configs"], ids=["project", "configs"])
def test_the_variable_names_a_project_or_its_configurations(make, tmp_path, monkeypatch, inner):
    mine = make("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRID_CONFIGS", str(mine / inner))
    assert ConfigFolders.read().users == (mine / "configs",) and code_folders() == [tmp_path, mine]
    monkeypatch.chdir(mine)
    assert ConfigFolders.read().users == (mine / "configs",)  # once


def test_the_folder_that_is_named_stands_before_the_current_one(make, monkeypatch):
    mine, other = make("mine"), make("other", "another_part")
    monkeypatch.chdir(mine)
    monkeypatch.setenv("HYBRID_CONFIGS", str(other))
    assert ConfigFolders.read().users == (other / "configs", mine / "configs")
    assert named_folders() == os.pathsep.join([str(other), str(mine)])


def test_in_a_folder_that_all_share_nobody_makes_a_project_for_others(make, monkeypatch):
    mine = make("mine")
    monkeypatch.chdir(mine / "deep")
    if os.getuid() != 0:
        pytest.skip("needs root, to give a file away")
    os.chown(mine / "hybrid.yaml", 12345, -1)
    assert current_project() is None


def test_a_project_without_a_marker_is_pointed_out(make, monkeypatch, call):
    mine = make("mine")
    (mine / "hybrid.yaml").unlink()
    monkeypatch.chdir(mine)
    code, _, errors = call("train", "model/head=mine")
    assert code == 2 and errors.count("\n") == 1
    assert errors.endswith("configs/model/head/mine.yaml is not read: an empty file hybrid.yaml beside configs makes this "
                           "folder a project.\n")  # fmt: skip


def test_what_takes_the_place_of_hybrids_own_is_said_in_a_line(make, monkeypatch, call):
    mine = make("mine")
    own = mine / "configs" / "model" / "scat_linear.yaml"
    own.write_text("defaults: [{frontend: scattering}, {normalization: none}, {head: mine}]\n")
    monkeypatch.chdir(mine)
    assert replaced_by_project() == [own]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        errors = call("describe", "model=scat_linear", "nonsense=1")[2]
    assert errors.splitlines()[0] == f"warning: in place of hybrid's own: {own}."
    monkeypatch.setenv("HYBRID_CONFIGS", str(mine))  # named on purpose
    assert replaced_by_project() == []


def test_its_classes_stand_behind_all_others(make, monkeypatch):
    mine = make("mine")
    (mine / "json.py").write_text("class Head: ...\n")
    monkeypatch.chdir(mine)
    assert find_class("my_own_part.Head").project == "mine" and sys.path[-1] == str(mine)
    with pytest.raises(UserError, match=rf"{mine}/json.py is not read, as another module is called json"):
        instantiate({"_target_": "json.Head"}, path="model.head")
    (mine / "broken.py").write_text("class Head\n")
    with pytest.raises(UserError, match=r"model.head._target_=broken.Head: .*broken.py, line 1: expected ':'\."):
        instantiate({"_target_": "broken.Head"}, path="model.head")
    assert "--config-dir DIR" in explain_missing("nowhere.Head", ModuleNotFoundError("No module named 'nowhere'"))


def test_a_file_of_the_current_folder_takes_no_modules_place(root, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(root)}

    def hybrid(*arguments: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "hybrid", *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)

    (tmp_path / "queue.py").write_text("raise SystemExit('taken')\n")
    done = hybrid("train", "model=nothing")
    assert done.returncode == 2 and "unknown model: nothing" in done.stderr, done.stderr
    (tmp_path / "difflib.py").touch()
    done = hybrid("train", "model=nothing")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"{tmp_path}/difflib.py is in the place of Python's own difflib.py: rename it" in done.stderr


@pytest.fixture
def run(make, tmp_path, monkeypatch):
    """The folder of a run that was made in the project `mine`, seen from elsewhere by a process that has imported nothing."""
    mine, run = make("mine"), tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(mine)
    find_class("my_own_part.Head")
    record_folders(run, _CONFIG)
    _forget(monkeypatch, tmp_path)
    return run


_CONFIG = OmegaConf.create(
    {"model": {"head": {"_target_": "my_own_part.Head"}}, "data": {"_target_": "hybrid.data.Digits"}}
)


def _forget(monkeypatch, place):
    monkeypatch.chdir(place)
    sys.modules.pop("my_own_part", None)
    sys.path[:] = [path for path in sys.path if not path.endswith("/mine")]


def test_a_run_is_restored_from_any_folder(run):
    use_recorded_folders(run, _CONFIG)
    assert find_class("my_own_part.Head").project == "mine"
    assert folders_used(_CONFIG) == []  # not those of this folder


def test_nothing_is_imported_from_a_folder_that_is_not_the_users(run, tmp_path, monkeypatch):
    (tmp_path / "state" / "hybrid" / "projects").unlink()
    with pytest.raises(
        UserError, match=rf"where you have trained nothing: allow it with --config-dir {tmp_path}/mine\."
    ):
        use_recorded_folders(run, _CONFIG)
    assert "my_own_part" not in sys.modules
    monkeypatch.setenv("HYBRID_CONFIGS", str(tmp_path / "mine"))
    use_recorded_folders(run, _CONFIG)
    assert find_class("my_own_part.Head").project == "mine"


def test_a_project_that_has_moved(run, tmp_path, monkeypatch):
    (tmp_path / "mine").rename(tmp_path / "moved")
    with pytest.raises(
        UserError, match=rf"my_own_part.Head, which was in {tmp_path}/mine and is no longer there: name its"
    ):
        use_recorded_folders(run, _CONFIG)
    monkeypatch.chdir(tmp_path / "moved")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use_recorded_folders(run, _CONFIG)


def test_a_class_of_another_folder_is_said(run, make, monkeypatch, tmp_path):
    monkeypatch.chdir(make("copy"))
    sys.path[:] = [path for path in sys.path if path != str(tmp_path / "mine")]
    monkeypatch.setattr(class_paths, "_remembered", list)
    with pytest.warns(
        UserWarning, match=rf"is read from {tmp_path}/copy; the run was made with that of {tmp_path}/mine\."
    ):
        use_recorded_folders(run, _CONFIG)


def test_a_run_without_classes_of_the_users_records_nothing(tmp_path):
    record_folders(tmp_path, OmegaConf.create({"model": {"head": {"_target_": "torch.nn.Linear"}}}))
    assert list(tmp_path.iterdir()) == []
