"""The page on hooks, loggers and optimizers: its Python runs, and its commands are valid."""

from __future__ import annotations

import re
import shlex

import pytest
import torch

from hybrid.callbacks.callbacks import callbacks_from
from hybrid.configuration.composition import compose
from hybrid.configuration.paths import add_folder
from hybrid.runs.loggers import Loggers
from hybrid.training.optimizer import optimizer_from
from hybrid.training.torch_schedule import is_torchs

_FILE = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(root, tmp_path, monkeypatch):
    """The page's text; the files that it shows are in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = (root / "docs" / "guide" / "my-hooks.md").read_text()
    for name, content in _FILE.findall(text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return text


def test_its_python_runs(page):
    names = {"__name__": "guide"}
    for block in _BLOCK.findall(page):
        exec(compile(block, "my-hooks", "exec"), names)
    assert names["run"].metrics["my/norm"].dropna().size == 2


def test_its_commands_are_valid(page, monkeypatch, tmp_path):
    for logger in ("wandb", "mlflow"):  # which need not be installed here
        monkeypatch.setattr(f"hybrid.runs.{logger}_logger.require", lambda module: None)
    model = torch.nn.ModuleDict({"frontend": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    lines = re.sub(r"\\\n\s*", "", page).splitlines()
    commands = [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("    hybrid train ")]
    assert len(commands) >= 12
    for overrides in commands:
        cfg = compose(overrides)
        callbacks_from(cfg.callbacks)
        Loggers(cfg.loggers)
        optimizer_from(cfg.optimizer, model)
        assert is_torchs(cfg.schedule) == any("lr_scheduler" in text for text in overrides)


def test_its_yaml_is_an_optimizer(page, monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRID_CONFIGS", "")
    add_folder(str(tmp_path / "my_configs"))
    cfg = compose(["optimizer=radam", "optimizer.rates={head: 0.1}"])
    first, second = optimizer_from(cfg.optimizer, torch.nn.ModuleDict({"head": torch.nn.Linear(2, 2)})).param_groups
    assert (first["lr"], second["weight_decay"]) == pytest.approx((2e-4, 0.0))
