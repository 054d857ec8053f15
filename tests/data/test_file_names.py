"""Names of files in arrays: they are what a list of the paths is."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hybrid.data.file_names import FileNames, numbered_names

PATHS = ["/a/cat/1.jpg", "/a/cat/deep/é.jpg", "/a/cat/2.jpg", "b.jpg", "/a/dog/caf\udce9.png", "/a/dog/", "train:7", ""]


def test_names_are_what_a_list_of_them_is():
    names = FileNames.of(PATHS)
    assert list(names) == PATHS == [names[k] for k in range(len(PATHS))] and len(names) == len(PATHS)
    assert names == PATHS and names != PATHS[:-1] and "/a/cat/2.jpg" in names and "2.jpg" not in names
    assert names[-1] == "" and names[-3] == "/a/dog/" and names[np.int64(3)] == "b.jpg"
    assert list(names[1:6:2]) == PATHS[1:6:2] and list(names[::-1]) == PATHS[::-1]
    with pytest.raises(IndexError):
        _ = names[len(PATHS)]
    assert list(FileNames.of([])) == [] and not FileNames.of(iter(()))
    assert list(numbered_names("test", 3)) == ["test:0", "test:1", "test:2"]


def test_a_selection_shares_the_arrays_and_can_be_selected_from_and_joined():
    names = FileNames.of(PATHS)
    some = names.take(np.array([6, 1, 4, 1]))
    assert list(some) == [PATHS[k] for k in (6, 1, 4, 1)] and np.shares_memory(some.names, names.names)
    assert list(some.take(np.array([2, 0]))) == [PATHS[4], PATHS[6]] and some[2] == PATHS[4]
    assert names.take(np.arange(len(PATHS))).chosen is None
    both = FileNames.joined([some, names, FileNames.of([])])
    assert list(both) == [*some, *names] and len(both.folders) == len(set(both.folders))
    assert list(pickle.loads(pickle.dumps(some))) == list(some)


def test_many_names_come_block_by_block():
    many = numbered_names("train", 10_000)
    assert list(many[5:]) == [f"train:{number}" for number in range(5, 10_000)]


def test_a_digest_tells_names_and_order_and_not_where_the_folder_lies():
    digest = FileNames.of(["/here/cat/1", "/here/dog/2"]).digest()
    assert digest == FileNames.of(["/other/place/cat/1", "/other/place/dog/2"]).digest()
    others = (["/here/dog/2", "/here/cat/1"], ["/here/cat/1", "/here/cow/2"], ["/here/cat/1", "/here/dog/3"], [])
    assert len({digest, *(FileNames.of(paths).digest() for paths in others)}) == 5
    assert digest != FileNames.of(["/here/cat/1", "/here/dog/2"]).take(np.array([1, 0])).digest()
