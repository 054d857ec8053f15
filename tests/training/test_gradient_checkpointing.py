from __future__ import annotations

import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import hybrid
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.training.arithmetic import Arithmetic
from hybrid.training.gradient_checkpointing import Checkpointed, blocks
from hybrid.training.run import run

HEADS = {
    "scat_resnet": {"widths": [8, 16], "dropout": 0.3},
    "scat_cnn": {"widths": [[8, 256], [256]], "dropout": 0.3},
    "regular_cnn": {},
    "resnet18": {},
    "phase_collapse_real": {},
}
ARITHMETIC = (Arithmetic(), Arithmetic(winograd=True), Arithmetic("bf16"))


def network(name):
    torch.manual_seed(0)
    channels = 3 if name == "resnet18" else 1
    return hybrid.build_model(name, image_shape=(channels, 32, 32), num_classes=4, head=HEADS[name])


def images(model):
    return torch.rand(6, *model.image_shape, generator=torch.Generator().manual_seed(1))


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that were made and are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.made = {}

    def __torch_dispatch__(self, function, types, arguments=(), more=None):
        output = function(*arguments, **(more or {}))
        for tensor in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.made[storage.data_ptr()] = (weakref.ref(storage), storage.nbytes())
        return output

    @property
    def bytes(self):
        return sum(size for storage, size in self.made.values() if storage() is not None)


def step(model, forward, arithmetic=None):
    """Gradients, buffers and outputs of a step, and the generator's next number."""
    arithmetic = arithmetic or Arithmetic()
    torch.manual_seed(3)
    with arithmetic.on(torch.device("cpu")):
        output = forward(images(model))
    F.cross_entropy(output.float(), torch.arange(6) % 4, reduction="sum").backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return [output.detach(), *gradients, *(buffer.clone() for buffer in model.buffers()), torch.rand(1)]


@pytest.mark.parametrize("name", HEADS)
def test_the_step_is_the_same_to_the_last_bit(name):
    for arithmetic in ARITHMETIC if name == "scat_cnn" else ARITHMETIC[:1]:
        one, other = network(name), network(name)
        plain = step(one, one, arithmetic)
        again = step(other, Checkpointed(other, blocks(other.head), arithmetic), arithmetic)
        assert len(plain) == len(again) and all(map(torch.equal, plain, again))
        assert not any("forward" in vars(module) for module in other.modules())


def test_less_memory_is_held_for_the_backward_pass():
    held = []
    for wrap in (lambda model: model, lambda model: Checkpointed(model, blocks(model.head), Arithmetic())):
        model = network("scat_resnet")
        with Alive() as alive:
            output = wrap(model)(images(model))
            held.append(alive.bytes)
        del output
    assert held[1] < 0.6 * held[0]


def test_blocks_are_those_of_the_architecture():
    kinds = [type(block).__name__ for block in blocks(network("scat_resnet").head)]
    assert kinds == ["Sequential", "BasicBlock", "BasicBlock", "BasicBlock", "BasicBlock"]
    assert [type(block).__name__ for block in blocks(network("resnet18").head)].count("BasicBlock") == 8
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3, enable_nested_tensor=False)
    assert blocks(nn.Sequential(encoder)) == list(encoder.layers)


def test_a_run_with_it_is_the_run_without_in_the_same_folder(train, tiny, tmp_path):
    keys = ["model=scat_resnet", "model.head.widths=[4,8]", "model.head.dropout=0.2", "trainer.duration=2 steps"]
    assert RunFolder.of(tiny(*keys)).path == RunFolder.of(tiny(*keys, "trainer.gradient_checkpointing=true")).path
    plain = train(*keys, root=tmp_path / "plain")
    again = train(*keys, "trainer.gradient_checkpointing=true", root=tmp_path / "again")
    assert plain.read_summary()["test"] == again.read_summary()["test"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "trainer.gradient_checkpointing has no effect: the head Linear has no blocks"),
        (["model=scat_resnet", "trainer.compile=true"], "must be false with trainer.compile"),
    ],
)
def test_it_is_refused_where_it_has_no_effect(tiny, more, words):
    with pytest.raises(UserError, match=words):
        run(tiny("trainer.gradient_checkpointing=true", *more))
