from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from pathlib import PurePosixPath

import pytest
import torch
from torch import nn

from hybrid.errors import UserError
from hybrid.training import checkpoint
from hybrid.training.initial_weights import load_initial_weights


class Network(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        body = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, classes))
        self.head = nn.ModuleDict({"network": body})


@pytest.fixture
def given():
    torch.manual_seed(1)
    return Network()


def same(one: nn.Module, other: nn.Module, *, but: str = "nothing") -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(torch.equal(a, b) for (name, a), (_, b) in pairs if but not in name)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_anybodys_state_dict(given, tmp_path, prefix, wrapper):
    weights = {prefix + name: tensor for name, tensor in given.state_dict().items()}
    torch.save({wrapper: weights, "epoch": 3} if wrapper else weights, tmp_path / "w.pth")
    model = Network()
    assert load_initial_weights(model, tmp_path / "w.pth") == set(model.state_dict())
    assert same(model, given)


def test_the_weights_of_a_part_find_their_place(given, tmp_path):
    torch.save(given.head["network"].state_dict(), tmp_path / "w.pth")
    model = Network()
    load_initial_weights(model, tmp_path / "w.pth")
    assert same(model, given)


def test_safetensors(given, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(given.state_dict(), tmp_path / "w.safetensors")
    model = Network()
    load_initial_weights(model, tmp_path / "w.safetensors")
    assert same(model, given)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="bad.safetensors cannot be read"):
        load_initial_weights(model, tmp_path / "bad.safetensors")


def test_a_checkpoint_gives_its_averaged_weights(given, tmp_path):
    averaged = Network()
    content = {"step": 1, "model": given.state_dict(), "ema": {"weights": averaged.state_dict(), "updates": 1}}
    checkpoint.save(tmp_path / "last.pt", content)
    model = Network()
    load_initial_weights(model, tmp_path / "last.pt")
    assert same(model, averaged)


def test_another_number_of_classes(given, tmp_path, caplog):
    torch.save(given.state_dict(), tmp_path / "w.pth")
    model, before = Network(classes=7), Network(classes=7)
    before.load_state_dict(model.state_dict())
    with pytest.raises(
        UserError, match=r"other shapes: head.network.3.weight \(3, 5\), here \(7, 5\).*init_match=shapes"
    ):
        load_initial_weights(model, tmp_path / "w.pth")
    assert same(model, before), "a refused file must leave the model as it was"
    taken = load_initial_weights(model, tmp_path / "w.pth", match="shapes")
    assert re.search("as asked: 7 of the model's 9 tensors .* first values .other shapes: head", caplog.text)
    assert "head.network.3.weight" not in taken and torch.equal(
        model.head["network"][0].weight, given.head["network"][0].weight
    )
    assert torch.equal(model.head["network"][3].weight, before.head["network"][3].weight)


def test_what_holds_no_fitting_weights(tmp_path):
    model = Network()
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="no weight that fits"):
        load_initial_weights(model, tmp_path / "other.pth", match="shapes")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(UserError, match="holds no model's weights"):
        load_initial_weights(model, tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UserError, match="text.pth cannot be read"):
        load_initial_weights(model, tmp_path / "text.pth")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"state_dict": {"head.network.0.weight": torch.zeros(5, 4)}, "x": Hostile()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="cannot be read"):
        load_initial_weights(Network(), tmp_path / "w.pth")
    assert not (tmp_path / "harm").exists()


class _Runs:
    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_file_of_timm_or_lightning_gives_its_weights_and_runs_nothing(tmp_path):
    layer, runs = torch.nn.Linear(2, 3), _Runs()
    runs.folder = tmp_path / "owned"
    weights = {f"model.{name}": tensor for name, tensor in layer.state_dict().items()}
    others = {
        "args": argparse.Namespace(lr=0.1),
        "callbacks": {"path": PurePosixPath("a")},
        "hyper_parameters": Counter(a=1),
    }
    torch.save({"epoch": 3, "state_dict": weights, **others}, tmp_path / "lightning.ckpt")
    new = torch.nn.Linear(2, 3)
    assert load_initial_weights(new, tmp_path / "lightning.ckpt") == {"weight", "bias"}
    assert torch.equal(new.weight, layer.weight)
    torch.save({"state_dict": weights, "worse": runs}, tmp_path / "hostile.ckpt")
    with pytest.raises(UserError, match=r"it holds more than weights.*torch.save\(model.state_dict"):
        load_initial_weights(new, tmp_path / "hostile.ckpt")
    assert not runs.folder.exists()
