"""The kept list of a folder's images: taken while it is true, made anew when it is not, and the same as a walk's."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from hybrid.data import folder_index
from hybrid.data.folder_index import find_images

CLASSES = ("cat", "cow", "dog")
LONG_AGO = 1_000_000_000


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    """Three classes with subfolders, links, hidden and other files, settled long ago; every number of files is many."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder_index, "_LEAST", 1)
    monkeypatch.setattr(folder_index, "_SETTLED", -1e6)  # the fixture's folders are new: no test waits for them to age
    root = tmp_path / "photos"
    for path in (
        "cat/2.jpg",
        "cat/1.JPG",
        "cat/deep/er/3.png",
        "cat/notes.txt",
        "cat/.hidden/4.jpg",
        "dog/5.jpg",
        "stray",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "caf\udce9.jpg").touch()
    (root / "cow").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "again").symlink_to(root / "dog")
    return root


@pytest.fixture
def walks(monkeypatch) -> list[str]:
    """The folders of classes that were walked through, one by one."""
    walked: list[str] = []
    of_class = folder_index._OfClass.__init__

    def note(self, folder, name):
        walked.append(name)
        of_class(self, folder, name)

    monkeypatch.setattr(folder_index._OfClass, "__init__", note)
    return walked


def plain(found):
    return list(found.names), found.counts, [(each.number, each.first) for each in found.left_out]


def found_again(root: Path, walks: list[str], classes=CLASSES):
    """What is found, and whether it took a walk."""
    walks.clear()
    return plain(find_images(root, classes)), bool(walks)


def test_a_kept_list_is_what_the_walk_found(tree, walks):
    first, walked = found_again(tree, walks)
    names = [
        "cat/1.JPG",
        "cat/2.jpg",
        "cat/deep/er/3.png",
        "cow/caf\udce9.jpg",
        "dog/5.jpg",
        "dog/linked/caf\udce9.jpg",
    ]
    assert walked and first == (
        [f"{tree}/{name}" for name in names], [3, 1, 2], [(1, "cat/.hidden"), (2, "cat/notes.txt"), (1, "dog/again")],
    )  # fmt: skip
    assert found_again(tree, walks) == (first, False)
    kept = find_images(tree, CLASSES).names
    assert not kept.names.flags.owndata and not kept.names.flags.writeable  # it is the file, mapped


def test_another_way_to_the_folder_finds_the_same_list(tree, walks, tmp_path, monkeypatch):
    find_images(tree, CLASSES)
    monkeypatch.chdir(tmp_path)
    found, walked = found_again(Path("photos"), walks)
    assert not walked and found[0][0] == "photos/cat/1.JPG"
    assert found_again(tree, walks, ("cat", "dog"))[1]  # of other classes


CHANGES = {
    "added": lambda root: (root / "cat" / "new.jpg").touch(),
    "removed": lambda root: (root / "cat" / "1.JPG").unlink(),
    "renamed": lambda root: (root / "dog" / "5.jpg").rename(root / "dog" / "6.jpg"),
    "in a subfolder": lambda root: (root / "cat" / "deep" / "er" / "new.jpg").touch(),
    "behind a link": lambda root: (root.parent / "elsewhere" / "new.jpg").touch(),
    "beside the classes": lambda root: (root / "other").touch(),
    "a class less": lambda root: shutil.rmtree(root / "dog"),
    "a folder put back": lambda root: (shutil.copytree(root / "dog", root / "x", symlinks=True), shutil.rmtree(root / "dog"),
                                       (root / "x").rename(root / "dog")),
    "a time put back": lambda root: (
        (root / "cat" / "new.jpg").touch(), os.utime(root / "cat", (LONG_AGO, LONG_AGO)),
    ),
    "a link turned": lambda root: ((root / "dog" / "linked").unlink(), (root / "dog" / "linked").symlink_to(root / "cat")),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_names_is_noticed(tree, walks, change, monkeypatch, tmp_path):
    if change == "a time put back":
        os.utime(tree / "cat", (LONG_AGO, LONG_AGO))
    find_images(tree, CLASSES)
    time.sleep(0.02)  # more than a tick of a file system's clock
    CHANGES[change](tree)
    found, walked = found_again(tree, walks)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "empty"))
    assert walked and found == plain(find_images(tree, CLASSES))


def test_an_absent_class_that_appears_is_noticed(tree, walks):
    shutil.rmtree(tree / "dog")
    (tree / "dog").symlink_to(tree.parent / "later")  # what it leads to is not there: this folder does not change again
    assert found_again(tree, walks)[0][1] == [3, 1, 0]
    (tree.parent / "later").mkdir()
    (tree.parent / "later" / "7.jpg").touch()
    assert found_again(tree, walks)[0][1] == [3, 1, 1]


def test_a_damaged_list_is_not_used(tree, walks, tmp_path):
    expected = plain(find_images(tree, CLASSES))
    (file,) = (tmp_path / "cache").glob("files-*.index")
    whole = file.read_bytes()
    for content in (
        b"",
        b"x",
        whole[:-9],
        whole[:200] + b"\x00" + whole[201:],
        whole[:-6] + b"XXXXXX",
        b"{}\n\x00\x00\x00\x00",
    ):
        file.write_bytes(content)
        assert found_again(tree, walks) == (expected, True) and file.read_bytes() == whole
    assert found_again(tree, walks) == (expected, False)


def test_nothing_is_kept_of_what_may_still_change(tree, walks, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_index, "_SETTLED", 10.0)
    find_images(tree, CLASSES)
    assert found_again(tree, walks)[1] and not list((tmp_path / "cache").glob("*.index"))
    monkeypatch.setattr(folder_index, "_SETTLED", -1e6)
    for folder in (tree, *tree.rglob("*/")):
        os.utime(folder, (0, 0))  # as undated folders of an object store
    find_images(tree, CLASSES)
    assert found_again(tree, walks)[1]


def test_few_images_are_not_kept_and_no_cache_is_needed(tree, walks, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_index, "_LEAST", 100)
    expected = plain(find_images(tree, CLASSES))
    assert found_again(tree, walks) == (expected, True) and not list((tmp_path / "cache").iterdir())
    monkeypatch.setattr(folder_index, "_LEAST", 1)

    def nowhere():
        raise folder_index.NoCacheFolder("no folder can be written")

    monkeypatch.setattr(folder_index, "cache_folder", nowhere)
    assert found_again(tree, walks) == (expected, True)


def test_a_full_disk_does_not_matter(tree, walks, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_index, "write_atomically", full)
    assert found_again(tree, walks)[1] and found_again(tree, walks)[0][1] == [3, 1, 2]


def test_the_second_process_waits_and_takes_what_the_first_has_kept(tree, walks, monkeypatch):
    index = folder_index._Index(tree, CLASSES)
    lock = folder_index.FileLock

    class AfterAnother(lock):
        def __enter__(self):
            index.made()
            walks.clear()
            return super().__enter__()

    monkeypatch.setattr(folder_index, "FileLock", AfterAnother)
    found, walked = found_again(tree, walks)
    assert not walked and found[1] == [3, 1, 2]


def test_a_folder_source_has_the_same_images_with_a_kept_list(
    make_folder, photos, walks, monkeypatch, tmp_path_factory
):
    expected = {name: list(split.paths) for name, split in make_folder(validation=4).splits.items()}
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(folder_index, "_LEAST", 1)
    monkeypatch.setattr(folder_index, "_SETTLED", -1e6)
    for walked in (True, False):
        walks.clear()
        splits = make_folder(validation=4).splits
        assert {name: list(split.paths) for name, split in splits.items()} == expected and bool(walks) is walked


def test_a_link_to_itself_beside_the_classes_is_left_out(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").touch()
    (tmp_path / "loop").symlink_to("loop")
    found = find_images(tmp_path, ["cat"])
    assert found.counts == [1]
    assert (found.others.number, found.others.first) == (1, "loop")
