from __future__ import annotations

import json
import os

import pytest

from hybrid.files import remove_temporaries, write_atomically, write_json, write_text


def test_what_is_written_is_there_and_nothing_else(tmp_path):
    write_text(tmp_path / "new" / "text.txt", "é\n")
    write_json(tmp_path / "new" / "numbers.json", {"a": 1})
    assert (tmp_path / "new" / "text.txt").read_text(encoding="utf-8") == "é\n"
    assert json.loads((tmp_path / "new" / "numbers.json").read_text()) == {"a": 1}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["numbers.json", "text.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / "summary.json"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the n")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "summary.json"
    write_text(path, "old")
    seen = []

    def write(file):
        file.write(b"new")
        file.flush()
        seen.append(path.read_text())

    write_atomically(path, write)
    assert seen == ["old"] and path.read_text() == "new"


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "a[1].pt"
    left = tmp_path / ".a[1].pt.1234.tmp"
    left.write_bytes(b"x")
    write_text(path, "new")
    assert left.exists()  # another process may be writing it
    os.utime(left, (0, 0))
    write_text(path, "new")
    assert sorted(tmp_path.iterdir()) == [path]
    left.write_bytes(b"x")
    remove_temporaries(tmp_path)
    assert sorted(tmp_path.iterdir()) == [path]
