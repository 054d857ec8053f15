from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from hybrid.training.feature_cache.file import FeatureFile


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_of_processes_at_once_one_writes_and_all_read_the_same(tmp_path):
    values = torch.arange(4000.0).view(1000, 4)

    def every():
        with open(tmp_path / "writers", "a") as file:
            file.write("x")
        yield from values.split(7)

    children = []
    for _ in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            rows, _ = FeatureFile("key", (1000, 4)).rows((part for part in values.split(16)), every)
            os._exit(0 if torch.equal(rows, values) else 1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert (tmp_path / "writers").read_text() == "x"
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {
        "features-key.npy",
        "features-key.sha256",
        "features-key.lock",
    }


def test_what_a_killed_process_left_is_overwritten_and_a_reader_keeps_what_it_has_mapped(tmp_path):
    file = FeatureFile("key", (6, 2))
    file.path.with_suffix(".partial").write_bytes(b"half of someth")
    old, new = torch.zeros(6, 2) + 1, torch.zeros(6, 2) + 2
    mapped, _ = file.rows(iter_of(old), lambda: old.split(4))
    with pytest.warns(UserWarning, match="is damaged or holds other features"):
        other, written = file.rows(iter_of(new), lambda: new.split(4))
    assert written and torch.equal(other, new) and torch.equal(mapped, old)
    other.zero_()
    assert torch.equal(file.rows(iter_of(new), lambda: new.split(4))[0], new), "a change of the rows reached the file"
    assert not file.path.with_suffix(".partial").exists()


@pytest.mark.parametrize("harm", ["rows are reversed", "the checksums are gone"])
def test_a_file_that_was_changed_behind_its_first_rows_is_made_again(harm):
    file, good = FeatureFile("key", (100, 2)), torch.arange(200.0).view(100, 2)
    assert file.rows(iter_of(good), lambda: good.split(7))[1]
    assert not file.rows(iter_of(good), lambda: good.split(7))[1]
    if harm == "rows are reversed":
        array = np.load(file.path)
        array[20:] = array[20:][::-1].copy()
        np.save(file.path, array)
    else:
        file.path.with_suffix(".sha256").unlink()
    with pytest.warns(UserWarning, match=r"features-key\.npy is damaged or holds other features: they are computed"):
        rows, written = file.rows(iter_of(good), lambda: good.split(7))
    assert written and torch.equal(rows, good)


def iter_of(rows):
    yield rows[:3]
