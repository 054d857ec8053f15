"""Whether a data set is still the one that a run began with: its classes, their order, its images and their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_NAMED = 5  # classes that a line names


class Labelled(Sized, Protocol):
    """The images of a split, whatever holds them."""

    labels: Tensor


def described(labels: Tensor) -> dict[str, Any]:
    """What a run keeps of a split's labels: {"number": of the images, "labels": a digest of the labels, in their order}."""
    values = np.ascontiguousarray(labels.cpu().numpy())
    return {"number": len(values), "labels": hashlib.blake2b(values.tobytes(), digest_size=8).hexdigest()}


def class_change(then: Sequence[str] | None, now: Sequence[str]) -> str | None:
    """What changed in the classes, in words; None where they are the same, or those of then are not known."""
    if then is None or list(then) == list(now):
        return None
    new, gone = [name for name in now if name not in then], [name for name in then if name not in now]
    parts = [_list(new, "new"), _list(gone, "gone")] if new or gone else ["their order is another"]
    return f"the classes have changed since the run began: {' and '.join(filter(None, parts))}"


def image_change(then: Mapping[str, Mapping[str, Any]] | None, now: Mapping[str, Labelled]) -> str | None:
    """What changed in the splits, in words; None where nothing did, or nothing is known of then."""
    if then is None:
        return None
    parts = []
    for name in dict.fromkeys([*then, *now]):
        before = then.get(name, {"number": 0})
        here = described(now[name].labels) if name in now else {"number": 0}
        if before["number"] != here["number"]:
            parts.append(f"{before['number']:,} {name} images then and {here['number']:,} now")
        elif before != here:
            parts.append(f"{name} images with other labels")
    return f"the images have changed since the run began: {', '.join(parts)}" if parts else None


def _list(names: Sequence[str], word: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'is' if len(names) == 1 else 'are'} {word}"
