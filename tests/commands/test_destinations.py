"""Every command that writes what it found says before it begins that it could not."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("bench_boundary", ["json=new/x.json"]),
        ("bench_images", ["json=new/x.json", "root=."]),
        ("bench_neighbours", ["json=new/x.json"]),
        ("bench_distributed", ["json=new/x.json"]),
        ("bench_scattering", ["json=new/x.json"]),
        ("bench_training", ["json=new/x.json"]),
        ("bench_training", ["figure=new/x.png"]),
        ("compare_kymatio", ["json=new/x.json"]),
        ("profile_scattering", ["json=new/x.json"]),
        ("profile_scattering", ["figure=new/x.png"]),
        ("evaluate", ["json=new/x.json", "run=nowhere"]),
        ("predict", ["out=new/x.csv", "run=nowhere", "x.png"]),
        ("report", ["out=new/x.txt"]),
        ("report", ["curves=new/x.png"]),
        ("report", ["figure=new/x.png", "over=optimizer.lr"]),
        ("analyze", ["to=/dev/null/x", "run=nowhere"]),
        ("export", ["to=/dev/null/x", "run=nowhere"]),
        ("measure_gpu", ["to=/dev/null/x", "device=cpu"]),
        ("show_scattering", ["out=/dev/null/x.png"]),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_first(call, script, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, error = call(script, *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"error: {arguments[0]} cannot be written: ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["md", "json", "png", "svg"])
def test_any_of_the_files_of_a_verification_that_cannot_be_written_is_refused_first(call, ending, tmp_path):
    (tmp_path / f"check.{ending}").mkdir()
    code, said, error = call("verify_scattering", f"out={tmp_path / 'check'}")
    assert (code, said) == (2, "")
    assert error == f"error: out={tmp_path / 'check'}.{ending} cannot be written: it is a folder.\n"


def test_a_picture_of_no_format_is_refused_first(call, tmp_path):
    code, said, error = call("show_scattering", f"out={tmp_path / 'new' / 'x.bmp'}")
    assert (code, said) == (2, "") and "x.bmp has none of the endings .png, .svg, .pdf." in error
    assert not list(tmp_path.iterdir())


def test_a_picture_is_written_into_a_folder_that_is_made(call, tmp_path):
    code, said, error = call("show_scattering", "size=16,24", "J=1", "L=2", f"out={tmp_path / 'new' / 'x.png'}")
    assert (code, error) == (0, "") and (tmp_path / "new" / "x.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("bench_distributed", ["ranks=[]"], "ranks=[] is not valid"),
        ("bench_boundary", ["samples=[]"], "nothing to measure"),
        ("bench_boundary", ["repeats=0"], "repeats=0 is not valid"),
        ("bench_boundary", ["clock=sun"], "clock"),
        ("bench_images", ["root=.", "sizes=[12x]"], "a size is width x height"),
        ("bench_images", ["root=missing"], "root=missing is no folder"),
        ("bench_neighbours", ["cases=[12x]"], "a case is samples x features"),
        ("bench_neighbours", ["cases=[31x2]"], "k=31 neighbours need more samples"),
    ],
)
def test_a_benchmark_of_nothing_is_one_line(call, script, arguments, message):
    code, said, error = call(script, *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1) and message in error
