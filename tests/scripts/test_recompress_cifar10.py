"""scripts/recompress_cifar10.py writes CIFAR-10 again, its images through JPEG once more."""

from __future__ import annotations

import pytest
import torch

from hybrid.data.cifar import Cifar10


@pytest.mark.filterwarnings("ignore:.*checksum")
def test_images_change_a_little_and_everything_else_stays(call, small_cifar10, tmp_path):
    code, said, _ = call("recompress_cifar10", f"data_root={small_cifar10}", f"to={tmp_path}", "quality=60")
    assert code == 0 and "dB" in said
    before, after = (Cifar10(root=str(root), download=False) for root in (small_cifar10, tmp_path))
    assert after.class_names == before.class_names
    for part in ("train", "test"):
        (images, labels), (new_images, new_labels) = before.read(part), after.read(part)
        difference = (images.float() - new_images.float()).abs().mean()
        assert torch.equal(labels, new_labels) and new_images.dtype == torch.uint8 and 0.5 < difference < 8


def test_data_are_looked_for_where_training_looks(call, small_cifar10, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_DATA", str(small_cifar10))
    assert call("recompress_cifar10", f"to={tmp_path}")[0] == 0


def test_the_same_blocks_change_nothing_the_second_time(call, small_cifar10, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    call("recompress_cifar10", f"data_root={small_cifar10}", f"to={first}", "shift=0")
    code, said, _ = call("recompress_cifar10", f"data_root={first}", f"to={second}", "shift=0")
    assert code == 0 and ("unchanged" in said or float(said.split()[-2]) > 45)  # dB


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quality=0"], "quality=0 is not valid: it must be from 1 to 95"),
        (["shift=16"], "shift=16 is not valid: it must be from 0 to 15"),
        (["data_root=nowhere"], "nowhere"),
        ([], "has cifar-10-batches-py already"),
    ],
)
def test_mistakes_are_one_line(call, small_cifar10, tmp_path, arguments, message):
    to = tmp_path if arguments else small_cifar10
    code, said, error = call("recompress_cifar10", f"to={to}", *arguments)
    assert (code, said) == (2, "") and error.count("error:") == 1 and message in error
    assert not list(tmp_path.iterdir())
