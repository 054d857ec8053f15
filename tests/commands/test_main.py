"""The command `hybrid`: what it lists, what it starts, and how it answers a wrong name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hybrid.commands.main import COMMANDS, load, main
from hybrid.version import __version__

_BESIDE_COMMANDS = {"__init__", "forks", "main", "words"}
_HEAVY = ("torch", "sklearn", "pandas", "matplotlib", "kymatio", "optuna")
_SMALL = ["model=scat_linear", "data.subset.n=100", "trainer.duration=2 steps", "trainer.tensorboard=false"]


def answer(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_has_a_line_for_each_command(capsys, arguments):
    code, out, errors = answer(capsys, *arguments)
    assert (code, errors) == (0, "")
    for name, words in COMMANDS.items():
        assert sum(line.split()[:1] == [name] and words in line for line in out.splitlines()) == 1
    assert max(map(len, out.splitlines())) <= 120


def test_each_file_is_a_command(root):
    files = {path.stem for path in (root / "hybrid" / "commands").glob("*.py")} - _BESIDE_COMMANDS
    assert files == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(capsys, name):
    code, out, errors = answer(capsys, name, "--help")
    assert (code, errors) == (0, "")
    assert f"    hybrid {name}" in out and ".py" not in out.split("Settings")[0]
    assert callable(load(name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command: trian. Did you mean train? Valid: train, find-lr, svm, "),
        (["sweep_status"], "unknown command: sweep_status. Did you mean sweep-status?"),
        (["experiment=digits"], "experiment=digits is no command. Did you mean hybrid train experiment=digits …?"),
        (["-m", "seed=0,1"], "-m is no command. Did you mean hybrid train -m …?"),
        (["completion", "tcsh"], "unknown shell: tcsh."),
        (["completion"], "write hybrid completion SHELL. Valid: bash, fish, zsh."),
        (["info", "all=1"], "cannot use all=1: this command takes no options."),
    ],
)
def test_a_mistake_is_one_line(capsys, arguments, message):
    code, out, errors = answer(capsys, *arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(f"error: {message}")


def test_the_version(capsys):
    assert answer(capsys, "--version") == (0, f"hybrid {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["trian"],
        ["train", "--help"],
        ["train", "model=scat_resnt"],
        ["train", "-m", "model=scat_resnt"],
        *([name, "nonsense=1"] for name in COMMANDS if name not in ("search", "completion")),
        ["completion", "words", "--", "train", "mod"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_load_none_of_the_large_packages(root, arguments):
    code = f"""
import sys
from hybrid.commands.main import main
try:
    main({arguments})
finally:
    assert not (loaded := {set(_HEAVY)} & set(sys.modules)), loaded
"""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr, done.stderr


def test_train_py_is_the_same_command(root, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = []
    for program in (["-m", "hybrid", "train"], [str(root / "train.py")]):
        command = [sys.executable, *program, *_SMALL, "analysis=none", "trainer.device=cpu"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
        said.append(done.stdout)
    assert "test accuracy" in said[0] and "finished already" in said[1]
    assert len(list((tmp_path / "outputs").iterdir())) == 1


def test_a_file_of_the_user_does_not_stand_in_for_one_of_pythons_own(root, tmp_path):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not this one')")
    command = [sys.executable, "-m", "hybrid", "train", "model=scat_resnt"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: unknown model")


def test_info_says_what_there_is(call):
    code, out, errors = call("info")
    assert (code, errors) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert facts["hybrid"].startswith(__version__) and "torch" in facts["packages"]
    assert {"python", "processor", "engine", "cache", "configs", "variables"} <= set(facts)


def test_info_says_what_a_gpus_self_test_found(call, monkeypatch):
    from hybrid.scattering.compiled import selftest

    verdict = selftest.Verdict(False, "the cuda engine did not pass on a GPU: wrong numbers", "a GPU", "hybrid 0", 3.0)
    monkeypatch.setattr(selftest, "kept_verdicts", lambda: [verdict])
    assert "\nselftest     the cuda engine did not pass on a GPU: wrong numbers (hybrid 0)\n" in call("info")[1]
