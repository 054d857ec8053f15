"""What `hybrid new` writes works: training, a sweep, every other command, its own test; from other folders, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid.commands.words import candidates
from hybrid.configuration.composition import compose
from hybrid.runs import RunFolder

_RECIPE = ["experiment=my_experiment", "data.count=64", "trainer.duration=2 epochs", "analysis=none"]
_RECIPE += ["trainer.tensorboard=false", "trainer.progress=none", "trainer.device=cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder in which the project is made."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def _state(place, monkeypatch):
    monkeypatch.setenv("HYBRID_CONFIGS", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_head", "my_data"):
        sys.modules.pop(name, None)


@pytest.fixture
def project(place, monkeypatch, call) -> Path:
    """The project, which is the current folder."""
    if not (place / "mine").exists():
        monkeypatch.chdir(place)
        code, out, errors = call("new", "mine")
        assert code == 0 and "mine/my_head.py" in out.splitlines(), errors
        assert out.endswith("cd mine && hybrid train experiment=my_experiment\n")
    monkeypatch.chdir(place / "mine")
    return place / "mine"


@pytest.fixture
def run(project, call) -> RunFolder:
    """A run of the project's recipe; trained by the first test that asks."""
    code, _, errors = call("train", *_RECIPE)
    assert code == 0, errors
    return RunFolder(project / RunFolder.of(compose(_RECIPE)).path)


def test_a_folder_with_something_in_it_is_refused(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "a").touch()
    Path("empty").mkdir()
    for arguments, message in (
        (["full"], "full is not empty. Choose a folder that does not exist yet."),
        (["full/a"], "full/a is not a folder."),
        (["a", "b"], "hybrid new makes one folder, not 2: a b."),
        ([], "folder is missing: give folder on the command line"),
    ):
        code, _, errors = call("new", *arguments)
        assert code == 2 and errors.startswith(f"error: {message}") and errors.count("\n") == 1
    assert call("new", "empty")[0] == 0 and Path("empty", "hybrid.yaml").is_file()
    assert len(Path("empty", "README.md").read_text().splitlines()) <= 10


def test_its_run_is_named_by_its_parts_and_is_evaluated_from_elsewhere(run, place, monkeypatch, call):
    assert run.path.name.startswith("my_experiment-my_data-scat_linear-my_head-seed0-")
    monkeypatch.chdir(place)
    for module in ("my_head", "my_data"):
        sys.modules.pop(module)
    sys.path[:] = [path for path in sys.path if path != str(place / "mine")]
    code, out, errors = call("evaluate", f"run={run.path}")
    assert code == 0 and "test: 64 images" in out, errors


def test_a_sweep_runs_in_processes_of_their_own(run, call):
    code, out, errors = call("train", "-m", *_RECIPE, "model.head.hidden=32,8")
    assert code == 0 and "1 of them finished already" in out and "all 2 runs are finished" in out, out + errors
    assert len(list(run.path.parent.glob("*/project.json"))) == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["describe", "experiment=my_experiment"], "head.layers.0"),
        (["data-stats", "data=my_data", "data.count=16"], "across"),
        (["prepare-data", "experiment=my_experiment"], "my_data: "),
        (["svm", "experiment=my_experiment", "data.count=32", "svm.C=1"], "test accuracy"),
        (["report", "by=[model/head]"], "my_head"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_commands(project, run, call, command, words):
    code, out, errors = call(command[0].replace("-", "_"), *command[1:])
    assert code == 0 and words in out, errors


def test_its_options_are_completed(project):
    assert candidates(["train", "model/head=my"]) == ["model/head=my_head"]
    assert candidates(["describe", "experiment=my"]) == ["experiment=my_experiment"]


@pytest.mark.slow
def test_its_own_test_passes(project, root):
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stdout
