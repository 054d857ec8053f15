"""`hybrid data-stats` and `hybrid prepare-data`, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

import hybrid
from hybrid.configuration.from_config import data_from
from hybrid.data.statistics import contact_sheet, file_sizes, pixel_statistics
from hybrid.data.stored import FileSplit


def run(root, name, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "hybrid", name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)


def test_data_stats(root, cifar10, tmp_path):
    out = tmp_path / "sheets" / "tiny.png"
    result = run(root, "data-stats", "data=cifar10", f"data.root={cifar10}", "data.validation=10", f"out={out}")
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["class", "train", "validation", "test"] in lines and ["class3", "9", "1", "2"] in lines
    assert ["all", "90", "10", "20"] in lines and str(out) in result.stdout
    with Image.open(out) as sheet:
        assert sheet.height == 10 * 34 and sheet.width > 12 * 34


def test_pixel_statistics_equal_a_plain_computation():
    data = data_from({"_target_": "hybrid.data.digits.Digits"}, {}, seed=0)
    statistics = pixel_statistics(data.loader("train", batch_size=100))
    pixels = data.splits["train"].images.double() / 255
    assert statistics.mean == pytest.approx([float(pixels.mean())], abs=1e-6)
    assert statistics.std == pytest.approx([float(pixels.std(correction=0))], abs=1e-6)
    torch.testing.assert_close(statistics.mean[0], 0.31, atol=0.01, rtol=0)


def test_data_stats_of_a_folder_and_its_mistakes(root, photos, tmp_path):
    folder = ["data=folder", f"data.root={photos}", "data.size=24", "data.resize=28", "data.num_workers=0"]
    result = run(root, "data-stats", *folder, f"out={tmp_path / 'a.png'}")
    assert result.returncode == 0, result.stderr
    assert "files 49 x 40, 54 x 45, 60 x 51 (smallest, median, largest" in result.stdout
    bare = ["data=folder", f"data.root={photos / 'train'}", *folder[2:]]  # folders of classes alone
    result = run(root, "data-stats", *bare, f"out={tmp_path / 'b.png'}")
    assert result.returncode == 0, result.stderr
    assert "note  no test images of its own" in result.stdout and "validation" not in result.stdout
    result = run(root, "data-stats", "split=vaildation")
    assert result.returncode == 2 and "Did you mean validation?" in result.stderr


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("/dev/null/new/a.png", "cannot be written: /dev/null is no folder."),
        ("a.xyz", "has none of the endings .png, .svg, .pdf, .jpg"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_refused_before_images_are_counted(root, out, message):
    result = run(root, "data-stats", f"out={out}")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"out={out} {message}" in result.stderr


def test_prepare_data_of_several_sets(root, cifar10, mnist):
    result = run(root, "prepare-data", "data=mnist,cifar10", f"data.root={cifar10}", "data.validation=0")
    assert result.returncode == 0, result.stderr
    assert "mnist: 40 train, 20 test; 10 classes" in result.stdout
    assert "cifar10: 100 train, 20 test; 10 classes" in result.stdout
    assert result.stdout.count("not the official one") == 11  # 7 files of CIFAR-10 and 4 of MNIST


def test_prepare_data_of_missing_files(root, tmp_path):
    result = run(root, "prepare-data", "data=stl10", f"data.root={tmp_path}", "data.download=false")
    assert result.returncode == 2 and "stl10: train_X.bin is missing" in result.stderr


def test_sizes_are_those_of_upright_images(tmp_path):
    exif = Image.Exif()
    for orientation in (1, 3, 6, 8):
        exif[0x0112] = orientation
        Image.new("RGB", (40, 20)).save(tmp_path / f"{orientation}.jpg", exif=exif)
    paths = [str(tmp_path / f"{orientation}.jpg") for orientation in (6, 8)]
    assert file_sizes(FileSplit(paths, torch.zeros(2).long(), torch.arange(2))) == ((20, 40),) * 3
    paths = [str(tmp_path / f"{orientation}.jpg") for orientation in (1, 3, 6)]
    assert file_sizes(FileSplit(paths, torch.zeros(3).long(), torch.arange(3))) == ((20, 20), (40, 20), (40, 40))


@pytest.mark.parametrize(("ending", "beginning"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_a_sheet_has_the_format_of_its_ending(tmp_path, ending, beginning):
    contact_sheet(hybrid.load_data("digits"), tmp_path / f"sheet.{ending}", columns=2)
    assert (tmp_path / f"sheet.{ending}").read_bytes().startswith(beginning)
