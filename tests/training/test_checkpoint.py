from __future__ import annotations

import os
import pickle

import pytest
import torch

from hybrid.errors import UserError
from hybrid.training import checkpoint


def content(step):
    return {"step": step, "model": {"weight": torch.full((64, 64), float(step))}}


def test_last_and_previous_are_the_two_newest(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save_last(tmp_path, content(step))
    assert checkpoint.load(tmp_path / "last.pt")["step"] == 3
    assert checkpoint.load(tmp_path / "previous.pt")["step"] == 2
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty", "text"])
def test_a_damaged_last_falls_back_to_the_previous_with_a_warning(tmp_path, harm):
    for step in (1, 2):
        checkpoint.save_last(tmp_path, content(step))
    damage(tmp_path / "last.pt", harm)
    with pytest.warns(UserWarning, match="last.pt.*previous.pt, step 1"):
        assert checkpoint.load_latest(tmp_path)["step"] == 1


def test_no_readable_checkpoint_is_an_error_and_none_at_all_is_a_beginning(tmp_path):
    assert checkpoint.load_latest(tmp_path) is None
    checkpoint.save_last(tmp_path, content(1))
    damage(tmp_path / "last.pt", "truncate")
    with pytest.raises(UserError, match="run.restart=true"):
        checkpoint.load_latest(tmp_path)


def test_a_hostile_pickle_runs_no_code(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "last.pt"
    torch.save({"format": 1, "step": 1, "model": Hostile()}, path)
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_foreign_file_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        checkpoint.load(tmp_path / "other.pt")
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "absent.pt")


def test_a_failed_write_leaves_the_old_checkpoint_and_no_litter(tmp_path, monkeypatch):
    checkpoint.save_last(tmp_path, content(1))

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save_last(tmp_path, content(2))
    assert checkpoint.load(tmp_path / "last.pt")["step"] == 1
    assert not list(tmp_path.glob(".last*"))


def damage(path, harm):
    raw = bytearray(path.read_bytes())
    if harm == "truncate":
        raw = raw[: len(raw) // 2]
    elif harm == "flip":
        raw[len(raw) // 2] ^= 1  # one bit in the middle of a tensor
    elif harm == "empty":
        raw = b""
    else:
        raw = b"not a checkpoint"
    path.unlink()  # previous.pt may be a hard link to the same data
    path.write_bytes(raw)
