"""What a compiled graph leaves out, without an import of torch's compiler (a second) by programs that compile nothing."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

_F = TypeVar("_F", bound=Callable[..., Any])
_COMPILER = "torch._dynamo"
_KEPT = "__dynamo_disable"  # where torch keeps a function that it calls in place of one of its own, outside graphs
_GUARD = "_use_grad"  # what torch wraps the step of each optimizer in
_OPTIMIZER = ("state_dict", "load_state_dict", "zero_grad", "add_param_group")


def outside_graphs(function: _F) -> _F:
    """Decorate a function that torch.compile must not trace; as torch.compiler.disable, which imports the compiler at once."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _COMPILER not in sys.modules:  # nothing can be traced
            return function(*args, **kwargs)
        return torch.compiler.disable(function)(*args, **kwargs)

    return call  # type: ignore[return-value]


def spare_compiler() -> None:
    """Let torch's optimizers work without an import of the compiler, which their methods ask for at the first call.

    They compute the same. Where a version of torch has no such methods, this does nothing.
    """
    for name in _OPTIMIZER:
        method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if method is not None and not hasattr(method, _KEPT):
            setattr(method, _KEPT, outside_graphs(method))
    for kind in vars(torch.optim).values():
        step = vars(kind).get("step") if isinstance(kind, type) else None
        if step is not None and step.__code__.co_name == _GUARD:  # another name: the class was used before
            kind.step = _step_outside_graphs(step)


def _step_outside_graphs(step: Callable[..., Any]) -> Callable[..., Any]:
    plain = step.__wrapped__

    @functools.wraps(plain)
    def call(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        if _COMPILER in sys.modules:
            return step(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return plain(self, *args, **kwargs)

    return call
