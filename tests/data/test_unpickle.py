"""The restricted unpickler: what data sets hold comes out, anything else stops it before it runs."""

from __future__ import annotations

import os
import pickle
import subprocess

import numpy as np
import pytest

from hybrid.data.unpickle import read_pickle
from hybrid.errors import UserError

CONTENT = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2, 3], "name": "a", "raw": b"b"}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_reads_plain_content_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    content = read_pickle(path)
    np.testing.assert_array_equal(content["data"], CONTENT["data"])
    assert content["data"].flags.writeable
    assert (content["labels"], content["name"], content["raw"]) == ([1, 2, 3], "a", "b")


def test_reads_numpy_1_names_column_order_and_big_endian(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    content = pickle.dumps({"data": array, "one": np.int64(7)}, protocol=2)
    (tmp_path / "old").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    read = read_pickle(tmp_path / "old")
    np.testing.assert_array_equal(read["data"], array)
    assert read["one"] == 7


def test_reads_python_2_text(tmp_path):
    # protocol 2 as Python 2 wrote it: byte strings (SHORT_BINSTRING 'U') where Python 3 has text
    (tmp_path / "old").write_bytes(b"\x80\x02}q\x00U\x06labelsq\x01]q\x02(K\x01K\x02es.")
    assert read_pickle(tmp_path / "old") == {"labels": [1, 2]}


@pytest.mark.parametrize(
    "function", [os.system, eval, exec, subprocess.call, pickle.loads, getattr, np.load, np.fromfile]
)
def test_tampered_file_runs_nothing_and_is_named(tmp_path, function):
    marker = tmp_path / "ran"
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": Call(function, f"touch {marker}"), "labels": []}, protocol=2))
    with pytest.raises(UserError, match=r"data_batch_1.*refused"):
        read_pickle(path)
    assert not marker.exists()


def test_payload_would_run_in_the_plain_unpickler(tmp_path):
    """Guards the test above: without our reader the same bytes do run."""
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Call(os.system, f"touch {marker}")))
    assert marker.exists()


@pytest.mark.parametrize(
    "value",
    [np.array([{"a": 1}], dtype=object), np.array(["text"]), {1, 2}, 1j],
    ids=["objects", "text", "set", "complex"],
)
def test_other_types_are_refused(tmp_path, value):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": value}, protocol=4))
    with pytest.raises(UserError, match="batch"):
        read_pickle(tmp_path / "batch")


def test_stand_ins_cannot_be_changed_by_a_file(tmp_path):
    """BUILD on an allowed name must not leave attributes behind for the next file."""
    (tmp_path / "bad").write_bytes(b"\x80\x02cnumpy\nndarray\n}U\x05arrayK\x01sb.")
    with pytest.raises(UserError, match="bad"):
        read_pickle(tmp_path / "bad")
    (tmp_path / "good").write_bytes(pickle.dumps(CONTENT, protocol=2))
    np.testing.assert_array_equal(read_pickle(tmp_path / "good")["data"], CONTENT["data"])


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.99])
def test_truncated_file_is_named(tmp_path, keep):
    whole = pickle.dumps(CONTENT, protocol=2)
    (tmp_path / "batch").write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match=r"batch: damaged or truncated"):
        read_pickle(tmp_path / "batch")


def test_wrong_byte_count_is_named(tmp_path):
    whole = pickle.dumps(CONTENT, protocol=2)
    (tmp_path / "batch").write_bytes(whole.replace(b"K\x03K\x04\x86", b"K\x05K\x04\x86"))  # the shape of the array
    with pytest.raises(UserError, match=r"batch: damaged"):
        read_pickle(tmp_path / "batch")


def test_not_a_dictionary(tmp_path):
    (tmp_path / "batch").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(UserError, match="no dictionary"):
        read_pickle(tmp_path / "batch")


@pytest.mark.parametrize("leaf", [1, np.zeros(9, np.uint8), "a" * 50], ids=["numbers", "arrays", "texts"])
def test_a_few_bytes_cannot_stand_for_billions_of_values(tmp_path, leaf):
    for _ in range(40):
        leaf = [leaf] * 9
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": leaf}, protocol=2))
    with pytest.raises(UserError, match="it stands for more values than it has bytes"):
        read_pickle(tmp_path / "batch")


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 1])
def test_a_large_number_of_a_name_asks_for_no_memory(tmp_path, size):
    """Python's unpickler in C makes room for every number below it: 34 GB."""
    (tmp_path / "batch").write_bytes(b"\x80\x02}r" + size.to_bytes(4, "little") + b".")
    assert read_pickle(tmp_path / "batch") == {}


def test_a_text_that_says_to_be_longer_than_the_file_is_named(tmp_path):
    (tmp_path / "batch").write_bytes(b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.")
    with pytest.raises(UserError, match="damaged or truncated"):
        read_pickle(tmp_path / "batch")


def test_392_bytes_that_would_not_end(tmp_path):
    """A list of nine times the list before it, 40 times: of a real attack."""
    content = b"\x80\x02}U\x04data]q\x00"
    for level in range(40):
        content += b"]q" + bytes([level + 1]) + b"(" + (b"h" + bytes([level])) * 2 + b"e"
    content = (content + b"s.")[: 392 - 2] + b"s."
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(UserError, match="batch: "):
        read_pickle(tmp_path / "batch")
