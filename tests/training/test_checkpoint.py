from __future__ import annotations

import os
import pickle
import zipfile

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


def test_every_flipped_byte_is_found(tmp_path):
    checkpoint.save(tmp_path / "a.pt", {"step": 1, "model": {"weight": torch.arange(3.0)}})
    whole = (tmp_path / "a.pt").read_bytes()
    path, wrong = tmp_path / "b.pt", []
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        try:
            found = checkpoint.load(path)
        except UserError as error:
            assert "\n" not in str(error)
        else:  # in the checksum itself: then the parts' own checksums decide
            assert position >= len(whole) - 80 and torch.equal(found["model"]["weight"], torch.arange(3.0))
            wrong.append(position)
    assert len(wrong) <= 80


def test_a_checkpoint_without_a_checksum_is_read_as_before(tmp_path):
    torch.save({"format": 1, **content(1)}, tmp_path / "old.pt")
    assert checkpoint.load(tmp_path / "old.pt")["step"] == 1
    damage(tmp_path / "old.pt", "flip")
    with pytest.raises(UserError, match="is damaged: the checksum of"):
        checkpoint.load(tmp_path / "old.pt")


def test_a_compressed_file_is_not_expanded(tmp_path):
    torch.save({"format": 1, **content(1)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.infolist():
            new.writestr(part.filename, old.read(part), zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="is no checkpoint: it has compressed parts"):
        checkpoint.load(tmp_path / "b.pt")


def ranked(folder, kept, step, top1, most):
    return checkpoint.save_ranked(folder, kept, {"step": step, "top1": top1}, content(step), most=most)


def weights(folder):
    return {path.stem: int(torch.load(path)["model"]["weight"][0, 0]) for path in folder.glob("best*.pt")}


def test_each_file_of_best_weights_holds_the_step_of_its_name(tmp_path):
    kept = []
    for step, top1 in enumerate((50, 70, 60, 70, 65), start=1):
        kept = ranked(tmp_path, kept, step, top1, most=3)
        assert weights(tmp_path) == {
            "best" if number == 0 else f"best-{each['step']}": each["step"] for number, each in enumerate(kept)
        }
    assert [each["step"] for each in kept] == [2, 4, 5]


def test_a_kill_between_the_weights_and_the_checkpoint_leaves_no_wrong_name(tmp_path):
    """The process died after the weights of step 8 and before the checkpoint that tells of them: step 8 comes again."""
    kept = ranked(tmp_path, [], 7, 70, most=2)
    for _ in range(2):
        assert [each["step"] for each in ranked(tmp_path, kept, 8, 80, most=2)] == [8, 7]
        assert weights(tmp_path) == {"best": 8, "best-7": 7}


def test_weights_that_a_killed_process_wrote_over_leave_the_ranking(tmp_path):
    kept = ranked(tmp_path, [], 7, 70, most=1)
    ranked(tmp_path, kept, 8, 80, most=1)  # and killed: the resumed process knows of step 7 alone
    assert ranked(tmp_path, kept, 8, 60, most=1) == [{"step": 8, "top1": 60}]  # a GPU may compute other weights
    assert weights(tmp_path) == {"best": 8}
    kept = ranked(tmp_path, [], 7, 70, most=2)
    ranked(tmp_path, kept, 8, 80, most=2)
    assert [each["step"] for each in ranked(tmp_path, kept, 8, 60, most=2)] == [7, 8]
    assert weights(tmp_path) == {"best": 7, "best-8": 8}


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
