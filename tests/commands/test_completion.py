"""Completion: the words that are offered, and that real shells complete with them."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import sys
import time

import pytest

from hybrid.commands.completion import SCRIPTS
from hybrid.commands.main import COMMANDS
from hybrid.commands.words import candidates


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ev"], {"evaluate"}),
        (
            ["train", "schedule="],
            {
                f"schedule={name}"
                for name in ("constant", "cosine", "custom", "one_cycle", "one_cycle_torch", "step", "step_released")
            },
        ),
        (["train", "model/he"], {"model/head="}),
        (["train", "model=scat_w"], {"model=scat_wrn", "model=scat_wrn_psn", "model=scat_wrn_stl"}),
        (["train", "trainer.evaluate_e"], {"trainer.evaluate_every="}),
        (["train", "optimizer.nesterov="], {"optimizer.nesterov=true", "optimizer.nesterov=false"}),
        (
            ["train", "-m", "model=scat_wrn,scat_re"],
            {"model=scat_wrn,scat_resnet", "model=scat_wrn,scat_resnet_imagenet"},
        ),
        (["train", "-m", "cluster=slurm", "cluster.part"], {"cluster.partition="}),
        (["train", "model=scat_wrn", "model.head.widen"], {"model.head.widen_stem="}),
        (["train", "model=nonsense", "see"], {"seed="}),
        (["svm", "svm="], {"svm=gaussian", "svm=linear"}),
        (["svm", "optim"], set()),
        (["search", "tri"], {"trials="}),
        (["search", "pruner=m"], {"pruner=median"}),
        (["search", "exper"], {"experiment="}),
        (["evaluate", "split="], {"split=test", "split=train", "split=validation"}),
        (["export", "formats=onnx,t"], {"formats=onnx,torch"}),
        (["completion", ""], {"bash", "fish", "zsh"}),
        (["nonsense", "a"], set()),
        (["train", "--fr"], {"--from"}),
    ],
    ids=lambda value: " ".join(sorted(value)),  # sets have no order that two workers share
)
def test_the_words_that_are_offered(words, found):
    assert set(candidates(words)) == found


def test_commands_groups_and_keys_are_all_offered():
    assert set(COMMANDS) < set(candidates([""]))
    offered = set(candidates(["train", ""]))
    assert {"model=", "model/head=", "cluster=", "trainer.", "seed=", "run."} <= offered
    assert not [word for word in offered if word.startswith(("hydra", "choices", "svm", "+"))]


def test_paths_are_offered_where_a_path_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "digits-a").mkdir(parents=True)
    (tmp_path / "outputs" / "digits-a" / "config.yaml").touch()
    (tmp_path / "outputs" / "data").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "photo.png").touch()
    assert candidates(["evaluate", "run=out"]) == ["run=outputs/"]
    assert candidates(["evaluate", "run=outputs/d"]) == ["run=outputs/digits-a"]
    assert candidates(["evaluate", "run=o"]) == ["run=outputs/"]
    assert candidates(["analyze", "run=a,outputs/"]) == ["run=a,outputs/digits-a"]
    assert candidates(["evaluate", "run=others"]) == ["run=others/"]
    assert candidates(["predict", "run=x", "pho"]) == ["photo.png"]
    assert candidates(["train", "--from", "outputs/dig"]) == ["outputs/digits-a/"]
    assert candidates(["train", "run.init_from=pho"]) == ["run.init_from=photo.png"]


def test_a_word_that_is_no_path_is_not_mixed_with_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("auto.png", "cpu.txt", "outputs/sweeps/mine/sweep.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("HYBRID_OUTPUTS", "")
    assert candidates(["train", "trainer.device="]) == [f"trainer.device={each}" for each in ("auto", "cpu", "cuda")]
    assert candidates(["evaluate", "device=c"]) == ["device=cpu", "device=cuda"]
    assert candidates(["train", "trainer.precision="]) == ["trainer.precision=fp32"]
    assert candidates(["sweep-status", "sweep="]) == ["sweep=last", "sweep=mine"]


def test_a_users_own_options_are_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CONFIGS", str(tmp_path))
    for name in ("experiment/mine", "noise/strong"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text("# @package trainer\nema: 0.9\n")
    assert candidates(["train", "experiment=mi"]) == ["experiment=mine"]
    assert candidates(["train", "+no"]) == ["+noise="] and candidates(["train", "+noise="]) == ["+noise=strong"]


@pytest.fixture
def shell(root, tmp_path, monkeypatch):
    """shell("bash", "hybrid tra") -> what the line looks like after Tab, without escape sequences."""
    program = tmp_path / "bin" / "hybrid"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m hybrid "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "xterm"}
    start = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}
    load = {"bash": 'eval "$(hybrid completion bash)"', "zsh": 'eval "$(hybrid completion zsh)"'}
    load["fish"] = "hybrid completion fish | source"

    def do(name: str, line: str, expected: str) -> str:
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(environment)
            os.execvp(name, [name, *start[name]])
        try:
            _type(terminal, f"{load[name]}; echo read''y\n", "ready")
            return _type(terminal, f"{line}\t", expected)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.close(terminal)
            os.waitpid(pid, 0)

    return do


def _type(terminal: int, text: str, expected: str, *, seconds: float = 60) -> str:
    """Type, and read until what is expected has been shown."""
    os.write(terminal, text.encode())
    shown, until = "", time.monotonic() + seconds
    while expected not in _plain(shown) and time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return _plain(shown)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?>]*[a-zA-Z]|\x1b[()=>][0-9B]?|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|[\r\x07\x08]", "", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hybrid swe", "ep-status"),
        ("hybrid train trainer.label_s", "moothing="),
        ("hybrid train model=scat_resn", "et"),
        ("hybrid evaluate split=tr", "ain"),
    ],
)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_real_shell_completes(shell, name, line, expected):
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    assert expected in shell(name, line, expected)
