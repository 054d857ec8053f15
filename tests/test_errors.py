"""Errors say what is wrong and where, in one line."""

from __future__ import annotations

import pytest
import torch

from hybrid.configuration.entry import guarded
from hybrid.configuration.instantiate import instantiate
from hybrid.errors import UserError, is_out_of_memory
from hybrid.models.layers import fully_connected


def test_memory_that_runs_out_says_how_much_and_where(capsys):
    def action():
        fully_connected([10**7, 10**7, 2])

    assert guarded(action) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: there is not enough memory (3.73e+05 GiB more) in fully_connected (layers.py).")
    assert guarded(lambda: (_ for _ in ()).throw(MemoryError())) == 2
    assert "there is not enough memory" in capsys.readouterr().err


def test_a_part_of_a_model_that_does_not_fit_is_named():
    section = {"_target_": "hybrid.models.dense.MLP", "hidden": [10**6, 10**6]}
    with pytest.raises(UserError, match=r"^model.head: there is not enough memory \(.* GiB more\)"):
        instantiate(section, path="model.head", input_shape=(1, 2, 2), num_classes=2)
    with pytest.raises(UserError, match=r"norm have no effect with batch_norm=false"):
        section = {"_target_": "hybrid.models.dense.MLP", "norm": {"momentum": 0.3}}
        instantiate(section, path="model.head", input_shape=(1, 2, 2), num_classes=2)


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("shape"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
