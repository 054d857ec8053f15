"""Blank images through a model, or through one part of it, leaving it as it was: for tables, the order of layers, and checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.models.parts import is_fitted

_Shape = tuple[int, ...]


def probe(model: nn.Module, image_shape: tuple[int, int, int]) -> Tensor:
    """The logits of one blank image (C, H, W), in evaluation mode, on the model's device.

    Gradients are recorded. Running statistics stay as they are, and a statistics normalization need not be fitted.
    """
    with _unchanged(model), torch.enable_grad():
        return model(_blank(model, 1, image_shape))


def check_part(part: nn.Module, *, path: str, takes: _Shape, gives: _Shape, trusted: bool) -> None:
    """Raises UserError, naming the part's place `path`, unless it makes a tensor (N, *gives) of one (N, *takes).

    It is tried on two blank samples, in evaluation mode. A class of hybrid's own is not, if it is `trusted` to have been built
    for these shapes; a part that has yet to be fitted cannot be tried.
    """
    kind = type(part)
    if not isinstance(part, nn.Module):
        raise UserError(f"{path}: a {kind.__name__} is no torch.nn.Module.")
    if (trusted and kind.__module__.split(".")[0] == "hybrid") or not is_fitted(part):
        return
    place = f"{path}: {kind.__module__}.{kind.__name__}"
    try:
        with _unchanged(part), torch.no_grad():
            output = part(_blank(part, 2, takes))
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{place} does not take {shape_words(('N', *takes))}: {reason}") from error
    if not isinstance(output, Tensor):
        given = "None" if output is None else f"a {type(output).__name__}"
    elif output.shape != (2, *gives):
        given = f"{shape_words(output.shape)} for N = 2"
    else:
        return
    raise UserError(f"{place} gives {given}, and a tensor {shape_words(('N', *gives))} is wanted.")


def shape_words(shape: Iterable[object]) -> str:
    """("N", 3, 32, 32) as "(N, 3, 32, 32)"."""
    return "(" + ", ".join(str(size) for size in shape) + ")"


def _blank(module: nn.Module, count: int, shape: _Shape) -> Tensor:
    anchor = next(module.parameters(), torch.zeros(()))
    return torch.zeros(count, *shape, device=anchor.device, dtype=anchor.dtype)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    unfitted = [module for module in model.modules() if not is_fitted(module)]
    try:
        model.eval()
        for module in unfitted:
            module.fitted = True
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for module in unfitted:
            module.fitted = False
