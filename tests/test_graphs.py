"""The parts of a step that no compiled graph holds, and optimizers without an import of torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hybrid import graphs

graphs.spare_compiler()
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "ASGD")


def _trained(kind: str) -> torch.Tensor:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.ones(5, 3)).square().sum().backward()
        optimizer.step()
    return model.weight.detach()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_equal_bits_with_and_without_the_compiler(kind, monkeypatch):
    import torch._dynamo

    with_it = _trained(kind)
    monkeypatch.setattr(graphs, "_COMPILER", "no such module")
    assert torch.equal(_trained(kind), with_it)


def test_step_leaves_no_trace_for_gradients(monkeypatch):
    monkeypatch.setattr(graphs, "_COMPILER", "no such module")
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    assert torch.is_grad_enabled() and model.weight.grad_fn is None


def test_function_outside_graphs_breaks_a_graph():
    @graphs.outside_graphs
    def inside(x):
        seen.append(torch.compiler.is_compiling())
        return x + 1

    seen: list[bool] = []
    step = torch.compile(lambda x: inside(x * 2), backend="eager")
    assert step(torch.ones(1)).item() == 3 and seen == [False]


def test_run_on_digits_imports_only_what_it_uses(tmp_path):
    unused = ["sympy", "scipy", "sklearn", "pandas", "matplotlib.pyplot", "torch._dynamo", "torch.onnx", "torchvision"]
    program = f"""
import sys
from hybrid.commands.main import main
sys.argv = ["hybrid", "train", "model=scat_linear", "trainer.duration=1 step", "data.subset.n=100"]
try:
    main()
finally:
    print("imported:", [name for name in {unused} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "imported: []" in done.stdout, done.stdout[-500:] + done.stderr[-500:]
