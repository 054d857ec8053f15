"""Fixtures that every part of the test-suite shares."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

# Tiny tensors: threads would only wait for each other, and for those of a test that runs beside this one.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the commands that tests start

pytest_plugins = [
    "fixtures.wheel",
    "fixtures.training",
    "fixtures.commands",
    "fixtures.scattering",
    "fixtures.reports",
    "fixtures.data",
]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout: where train.py and scripts/ are."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets in their official layouts; tests that need it skip without it."""
    folder = os.environ.get("HYBRID_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data sets in $HYBRID_DATA")
    return Path(folder)


@pytest.fixture(autouse=True, scope="session")
def _state_of_the_user(tmp_path_factory):
    """What runs note about the user's own folders goes nowhere else."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    del os.environ["XDG_STATE_HOME"]
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(autouse=True)
def _own_modules(tmp_path_factory):
    """A module that a test writes is forgotten after it: another test may write one of that name."""
    before, written = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(written):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _signals():
    """What a test does with signals ends with it: a child that ignores SIGTERM would never end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        if handler is not None:  # not set from Python
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
