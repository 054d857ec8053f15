"""Where commands write is checked before they begin."""

from __future__ import annotations

import os
import tempfile

import pytest

from hybrid.configuration.output_paths import PICTURES, check_file, check_folder, writing
from hybrid.errors import UserError


def test_a_file_in_a_folder_that_exists_is_fine_and_nothing_is_left(tmp_path):
    check_file("json", str(tmp_path / "x.json"))
    check_file("figure", str(tmp_path / "x.svg"), endings=PICTURES)
    check_file("json", None)
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.json").write_text("before")
    check_file("json", str(tmp_path / "x.json"))
    assert (tmp_path / "x.json").read_text() == "before"


def test_a_file_of_the_current_folder_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_file("json", "x.json")
    check_folder("to", "results")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "json= cannot be written: it is a folder."),
        (".", "json=. cannot be written: it is a folder."),
        ("new/x.json", "json=new/x.json cannot be written: there is no folder new."),
        ("/dev/null/x.json", "json=/dev/null/x.json cannot be written: there is no folder /dev/null."),
        ("/dev/null", "json=/dev/null cannot be written: it is no plain file."),
    ],
)
def test_other_files_are_refused_in_one_line_and_no_folder_is_made(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        check_file("json", path)
    assert str(error.value) == message and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "x.bmp", "x.PNG", "x.png.gif"])
def test_a_figure_has_one_of_three_endings(tmp_path, name):
    with pytest.raises(UserError, match="has none of the endings .png, .svg, .pdf"):
        check_file("figure", str(tmp_path / name), endings=PICTURES)


def test_a_folder_that_takes_no_files_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match="x.json cannot be written: Permission denied"):
        check_file("json", str(tmp_path / "x.json"))
    with pytest.raises(UserError, match="to=.*new cannot be written: Permission denied"):
        check_folder("to", str(tmp_path / "new"))


def test_a_folder_may_be_made_but_not_below_a_file(tmp_path):
    check_folder("to", str(tmp_path / "new" / "results"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="to=.*results cannot be written: .*file is no folder"):
        check_folder("to", str(tmp_path / "file" / "results"))


def test_the_folder_of_a_file_may_be_made_but_not_below_a_file(tmp_path):
    check_file("out", str(tmp_path / "new" / "results" / "x.png"), makes_folder=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="out=.*x.png cannot be written: .*file is no folder"):
        check_file("out", str(tmp_path / "file" / "x.png"), makes_folder=True)


def test_an_error_while_writing_is_one_line():
    with (
        pytest.raises(UserError, match="json=x.json cannot be written: No space left on device"),
        writing("json", "x.json"),
    ):
        raise OSError(28, os.strerror(28))
