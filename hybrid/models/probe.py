"""A check of a model's part: does it take and give the shapes that its place in the model asks for?"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.models.parts import is_fitted
from hybrid.taps import run_blank

_Shape = tuple[int, ...]


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
        output = run_blank(part, takes, count=2)
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
