"""Taps: the outputs of a model's modules in a forward, by name, recorded without leaving a trace in the model.

    names = nonlinearity_taps(model, (3, 32, 32))
    with capture(model, names) as outputs:
        model(images)
        outputs[names[0]]   # (N, C, H, W)

A tap is the name of a module. A module that runs several times in a forward (torchvision's ResNets use one ReLU twice per
block) has one tap for each time: `name`, `name#2`, … Non-linearities that a network calls as functions have no module, so
they have no tap. `watch` is the recorder under all of these; `hybrid.analysis` and `hybrid.models` build on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.errors import unknown_name

NONLINEARITIES = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softshrink,
    nn.Hardshrink,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,  # and ReLU6
    nn.Hardswish,
    nn.Hardsigmoid,
)

Tell = Callable[[str, Any], None]


@contextmanager
def watch(modules: Mapping[str, nn.Module], tell: Tell) -> Iterator[Counter[str]]:
    """While active, call `tell(tap, output)` each time that one of these modules has run.

    modules: name -> module. The counter that it yields holds how often each has run, which makes the second call's tap
    `name#2`; clear it where another forward begins. Hooks need the model itself, not its torch.compile'd form.
    """
    calls: Counter[str] = Counter()

    def hook(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        calls[name] += 1
        tell(name if calls[name] == 1 else f"{name}#{calls[name]}", output)

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(partial(hook, name)).remove)
        yield calls


def modules_of(model: nn.Module, taps: Iterable[str]) -> dict[str, nn.Module]:
    """The modules that these taps belong to, by name. Raises UserError for a name that is no module of the model."""
    modules = {name: module for name, module in model.named_modules() if name}
    names = list(dict.fromkeys(tap.partition("#")[0] for tap in taps))
    for name in names:
        if name not in modules:
            raise unknown_name(name, modules, what="module in the model")
    return {name: modules[name] for name in names}


@contextmanager
def capture(model: nn.Module, names: Sequence[str], *, detach: bool = True) -> Iterator[dict[str, Tensor]]:
    """While active, every forward of the model puts the outputs of the named taps into the dictionary that this yields.

    Args:
        names: taps; the name of any module is one ("frontend" and "normalization" of a hybrid model, too).
        detach: True stores outputs without their graph; False keeps it, for derivatives with respect to the images.

    The dictionary maps tap to output, in the order in which the forward completes them, and is emptied when the next
    forward begins. Outputs are not copied, so later work in-place on them shows. Raises UserError for an unknown name.
    """
    outputs: dict[str, Tensor] = {}
    wanted = set(names)

    def store(tap: str, output: Tensor) -> None:
        if tap in wanted:
            outputs[tap] = output.detach() if detach else output

    with watch(modules_of(model, names), store) as calls:

        def begin(*_: Any) -> None:
            outputs.clear()
            calls.clear()

        handle = model.register_forward_pre_hook(begin)
        try:
            yield outputs
        finally:
            handle.remove()


def nonlinearity_taps(model: nn.Module, image_shape: tuple[int, int, int] | None = None) -> list[str]:
    """The taps of all non-linearities, in the order in which a forward in evaluation mode runs them.

    A module counts as a non-linearity if it is one of torch's activations or has an attribute `is_nonlinearity = True`.
    image_shape: (C, H, W) of the images; None takes the model's own attribute of that name.
    """
    order: list[str] = []
    modules = {name: module for name, module in model.named_modules() if is_nonlinearity(module)}
    with watch(modules, lambda tap, _output: order.append(tap)):
        run_blank(model, image_shape or model.image_shape)
    return order


def is_nonlinearity(module: nn.Module) -> bool:
    """Whether a module is one of torch's activations, or says so of itself by `is_nonlinearity = True`."""
    return isinstance(module, NONLINEARITIES) or getattr(module, "is_nonlinearity", False) is True


def is_fitted(module: nn.Module) -> bool:
    """Whether a module can be used as it is; a normalization of the training set says `fitted = False` before it has seen it."""
    return getattr(module, "fitted", True) is not False


def run_blank(model: nn.Module, shape: Sequence[int], *, count: int = 1, differentiable: bool = False) -> Any:
    """The model's output for `count` blank images of `shape` (C, H, W), in evaluation mode, on the model's device.

    The model stays as it was, and a normalization that has yet to be fitted counts as fitted. differentiable: keep the graph.
    """
    anchor = next(model.parameters(), torch.zeros(()))
    blank = torch.zeros(count, *shape, device=anchor.device, dtype=anchor.dtype)
    with undisturbed(model), _as_if_fitted(model), torch.set_grad_enabled(differentiable):
        return model(blank)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode; afterwards restore every module's mode, its buffers and torch's random generators.

    Buffers, such as the running statistics of batch norm, are put back in case a forward in evaluation mode writes to
    them. The random generators are those of the CPU and of the GPU that the model is on.
    """
    modes = [(module, module.training) for module in model.modules()]
    filled = [buffer for buffer in model.buffers() if not nn.parameter.is_lazy(buffer)]
    buffers = [(buffer, _version(buffer), buffer.clone()) for buffer in filled]
    anchor = next(model.parameters(), None)
    devices = [anchor.device] if anchor is not None and anchor.device.type == "cuda" else []
    try:
        model.eval()
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for buffer, version, content in buffers:
            if _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(content)


@contextmanager
def _as_if_fitted(model: nn.Module) -> Iterator[None]:
    """Let normalizations run that have `fitted = False`."""
    unfitted = [module for module in model.modules() if not is_fitted(module)]
    try:
        for module in unfitted:
            module.fitted = True
        yield
    finally:
        for module in unfitted:
            module.fitted = False


def _version(buffer: Tensor) -> int:
    """A number that grows with every change of the buffer in-place; inference tensors have none."""
    return 0 if buffer.is_inference() else buffer._version
