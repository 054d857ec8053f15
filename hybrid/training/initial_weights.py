"""Weights from elsewhere into a new model: of a run's folder, a checkpoint, or anybody's file of tensors."""

from __future__ import annotations

import logging
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.models.channel_order import ChannelOrder, from_pyscatwave
from hybrid.training import checkpoint
from hybrid.training.early_checks import check_weights

_log = logging.getLogger(__name__)
Match = Literal["all", "shapes"]

_WRAPPED_UNDER = ("ema", "model", "state_dict", "model_state_dict", "model_state", "net", "weights")
_HARMLESS = re.compile(r"argparse\.Namespace$|pathlib\.|collections\.|datetime\.|enum\.|__main__\.")  # of Python itself
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # of DataParallel and DDP, of torch.compile, of Lightning


def load_initial_weights(
    model: nn.Module,
    source: Path,
    *,
    match: Match = "all",
    channels: ChannelOrder = "kymatio",
    given: str = "run.init_from",
    relax: str = "run.init_match",
) -> set[str]:
    """Copy into `model` the weights that `source` holds: a run's folder, a checkpoint, a state_dict or a .safetensors file.

    Names may carry the prefixes of DataParallel, DDP, torch.compile or Lightning, or lack the model's own ("head.network." of
    a torchvision network's weights): the renaming under which most names agree is used.

    match: "all": every tensor must be there with its shape, and none may be left over. "shapes": what agrees in name and shape
    is taken, the rest keeps its first values and is named in a line (another number of classes, another front-end).

    channels: the order of the scattering coefficients that the weights were trained on; pyscatwave: they are reordered
    (`hybrid.models.channel_order`).

    given, relax: how the user says `source` and `match`, for messages. Returns the names of the tensors that were taken.
    Raises UserError, naming the file, if it cannot be read, does not match, or if nothing of it fits.
    """
    own = model.state_dict()
    found = _renamed(_read(source, given), own)
    if channels == "pyscatwave":
        try:
            found = from_pyscatwave(model, found)
        except ValueError as error:
            raise UserError(f"run.init_channels=pyscatwave: {error}.") from error
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    left_over = [name for name in found if name not in own]
    misfits = [name for name in found if name in own and found[name].shape != own[name].shape]
    problems = _described(own, found, missing, left_over, misfits)
    if match == "all" and problems:
        raise UserError(f"{source} holds the weights of another model: {problems}. {relax}=shapes takes what fits.")
    taken = {name: tensor for name, tensor in found.items() if name in own and name not in misfits}
    if not taken.keys() & dict(model.named_parameters()).keys():
        raise UserError(f"{source} has no weight that fits this model: {problems}.")
    model.load_state_dict(taken, strict=False)
    if problems:
        _log.warning(  # a line without "warning": it says what was asked for
            "%s=shapes, as asked: %d of the model's %d tensors are taken from %s, the others keep their first values (%s).",
            relax, len(taken), len(own), given, problems,
        )  # fmt: skip
    return set(taken)


def _read(source: Path, given: str) -> dict[str, Tensor]:
    check_weights(source, given=given)
    if source.is_dir():
        content = checkpoint.load_latest(source / "checkpoints")
        if content is None:
            raise UserError(f"{given}={source} has no checkpoint.")
    elif source.suffix == ".safetensors":
        content = _read_safetensors(source)
    else:
        content = _read_torch(source)
    weights = _unwrapped(content)
    if weights is None:
        raise UserError(f"{source} holds no model's weights: neither a state_dict nor one under {_WRAPPED_UNDER[1:]}.")
    return weights


def _read_torch(path: Path) -> Any:
    try:
        return checkpoint.load(path)
    except checkpoint.Damaged:
        raise
    except UserError as own_error:
        try:
            return _load_without_objects(path)
        except Exception:  # whatever a file that is none of torch's makes it raise
            raise own_error from None


class _LeftOut:
    """Takes the place of a class that a file names, such as those of timm's or Lightning's arguments. It makes a plain dict.

    An OrderedDict is all that torch's own reader of weights lets a file fill.
    """

    def __new__(cls, *arguments: Any, **more: Any) -> OrderedDict[Any, Any]:
        return OrderedDict()


def _load_without_objects(path: Path) -> Any:
    """The tensors, numbers and texts of a file of torch; no code of the file's is run, and what it asks to make is left out."""
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
    if hostile := [
        name for name in names if name.split(".")[0] in sys.stdlib_module_names and not _HARMLESS.match(name)
    ]:
        raise ValueError(f"it asks for {hostile[0]}")
    stand_ins = [
        (type("LeftOut", (_LeftOut,), {"__module__": "left_out", "__qualname__": name}), name) for name in names
    ]
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location="cpu", weights_only=True)  # a pickle that runs code is refused


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(f"reading {path.name} needs safetensors: pip install 'hybrid-scattering[export]'.") from error
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {str(error)[:120]}") from error


def _unwrapped(content: Any) -> dict[str, Tensor] | None:
    """The dictionary of tensors in a checkpoint: the averaged weights where a run kept them."""
    if not isinstance(content, Mapping):
        return None
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return dict(content)
    inner = (_unwrapped(content.get(key)) for key in _WRAPPED_UNDER)
    return next((weights for weights in inner if weights), None)


def _renamed(given: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names under which most of the tensors are the model's: wrappers' prefixes off, the model's own before them."""
    while given and (wrapper := next((w for w in _WRAPPERS if all(key.startswith(w) for key in given)), None)):
        if any(key.startswith(wrapper) for key in own):
            break
        given = {key.removeprefix(wrapper): tensor for key, tensor in given.items()}
    prefixes = {""} | {".".join(key.split(".")[:depth]) + "." for key in own for depth in range(1, key.count(".") + 1)}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + key in own for key in given))
    return {best + key: tensor for key, tensor in given.items()}


def _described(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], missing: list[str], left_over: list[str], misfits: list[str]
) -> str:
    parts = []
    if misfits:
        shapes = [f"{name} {tuple(given[name].shape)}, here {tuple(own[name].shape)}" for name in misfits]
        parts.append(f"other shapes: {_few(shapes)}")
    if missing:
        parts.append(f"missing: {_few(missing)}")
    if left_over:
        parts.append(f"not in this model: {_few(left_over)}")
    return "; ".join(parts)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
