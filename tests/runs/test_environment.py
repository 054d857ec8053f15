from __future__ import annotations

import json
import subprocess
import sys

import torch

from hybrid.runs import environment
from hybrid.runs.environment import describe_environment, record_session


def test_it_says_what_a_bug_report_needs():
    described = describe_environment()
    assert torch.__version__.startswith(described["packages"]["torch"]) and described["cores"] >= 1
    assert described["processor"] and described["system"] and described["python"].startswith("3.")


def test_sessions_are_added_and_the_older_ones_stay(tmp_path, monkeypatch):
    path = tmp_path / "environment.json"
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=0"])
    record_session(path, step=0)
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=0", "trainer.duration=2 epochs"])
    record_session(path, step=123)
    first, second = json.loads(path.read_text())["sessions"]
    assert (first["step"], second["step"]) == (0, 123)
    assert first["command"] == "train.py seed=0" and second["command"] == "train.py seed=0 'trainer.duration=2 epochs'"
    assert first["started"] <= second["started"] and second["started"].endswith("+00:00")


def test_a_damaged_file_does_not_stop_a_run(tmp_path):
    path = tmp_path / "environment.json"
    path.write_text('{"sessions": [')
    record_session(path, step=5)
    assert [session["step"] for session in json.loads(path.read_text())["sessions"]] == [5]


def test_without_git_or_a_checkout_there_is_no_commit(monkeypatch):
    def absent(*arguments, **keywords):
        raise FileNotFoundError("git")

    monkeypatch.setattr(environment.subprocess, "run", absent)
    assert describe_environment()["commit"] is None


def test_as_a_command_it_prints_json(root):
    result = subprocess.run([sys.executable, "-m", "hybrid.runs.environment"], capture_output=True, text=True, cwd=root)
    assert result.returncode == 0 and torch.__version__.startswith(json.loads(result.stdout)["packages"]["torch"])
