"""An export: a folder with the model in several formats and model.json, written when all of it is verified and not before."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hybrid.data import Data
from hybrid.errors import UserError
from hybrid.export import onnx_model, torch_program, weights
from hybrid.export.optional import need
from hybrid.export.pipeline import Pipeline
from hybrid.export.verify import Difference, Function, Unequal, check, probe_batches

Format = Literal["torch", "onnx", "safetensors"]
DESCRIPTION = "model.json"
# Largest difference of a logit from the model's, times the largest logit where that is above 1.
_TORCH_TOLERANCE, _ONNX_TOLERANCE = 1e-5, 1e-4


class Artefact(NamedTuple):
    """One written file: what it takes, how far it is from the model, and what a user should know about it."""

    file: str
    takes: Literal["images", "coefficients", "weights"]
    difference: Difference
    note: str = ""


def export(
    pipeline: Pipeline,
    *,
    formats: Sequence[Format],
    to: Path,
    description: dict[str, Any],
    model_config: dict[str, Any],
    real: Tensor | None = None,
) -> list[Artefact]:
    """Write the pipeline (on the CPU, in evaluation mode) to the folder `to`, replacing an earlier export there.

    description: what model.json shall say beside the list of files. model_config: the `model` section that builds the same
    model. real: images (N, C, H, W) in [0, 1] to verify with, beside random ones. Raises UserError, and leaves no file
    behind, for a missing package, a model that cannot be traced, and a file whose logits differ.
    """
    _need_packages(formats)
    makers: dict[str, Callable[[Path], Artefact]] = {
        "torch": lambda folder: _torch(pipeline, folder, batches),
        "onnx": lambda folder: _onnx(pipeline, folder, batches),
        "safetensors": lambda folder: _safetensors(pipeline, folder, batches, model_config),
    }
    batches = probe_batches(pipeline.image_shape, real)
    try:
        with tempfile.TemporaryDirectory(dir=_existing(to), prefix=".export-") as partial:
            artefacts = [makers[name](Path(partial)) for name in dict.fromkeys(formats)]
            _describe(Path(partial) / DESCRIPTION, description, artefacts)
            _replace(Path(partial), to)
    except Unequal as error:
        raise UserError(f"{error}: nothing was exported.") from error
    except OSError as error:
        raise UserError(f"to={to} cannot be written: {error.strerror or error}.") from error
    return artefacts


def real_images(data: Data, count: int = 16) -> Tensor | None:
    """`count` test images spread over the set, (N, C, H, W) in [0, 1]; None, with a warning, where there are none here."""
    try:
        split = data.splits["test"]
        positions = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
        if hasattr(split, "images"):
            pixels = split.images[positions]
        else:
            pixels = torch.stack([data.source.item(split.paths[position]) for position in positions.tolist()])
    except UserError as error:
        warnings.warn(f"verified on random images alone: {error}", stacklevel=2)
        return None
    return pixels.float() / 255


def missing_package(name: Format) -> str | None:
    """What a format needs and this Python lacks, in words; None where nothing is missing."""
    try:
        _need_packages([name])
    except UserError as error:
        return str(error)
    return None


def _need_packages(formats: Sequence[Format]) -> None:
    """Before minutes of work, not after."""
    if "onnx" in formats:
        onnx_model.need_packages()
    if "safetensors" in formats:
        need("safetensors.torch", what="safetensors")


def _torch(pipeline: Pipeline, folder: Path, batches: list[Tensor]) -> Artefact:
    path = folder / "model.pt2"
    torch_program.save_program(pipeline, path)
    found = torch_program.load_program(path)
    return Artefact(path.name, "images", check(path.name, pipeline, found, batches, tolerance=_TORCH_TOLERANCE))


def _onnx(pipeline: Pipeline, folder: Path, batches: list[Tensor]) -> Artefact:
    """The whole model; where that cannot be had, the head."""
    whole, head = folder / "model.onnx", folder / "head.onnx"
    try:
        onnx_model.save_whole(pipeline, whole)
        return Artefact(whole.name, "images", _check_onnx(whole, pipeline, batches))
    except UserError as error:
        reason = error
        for path in folder.glob("model.onnx*"):
            path.unlink()
    onnx_model.save_head(pipeline, head)
    features = [onnx_model.coefficients(pipeline, images) for images in batches]
    model = pipeline.model
    found = _check_onnx(head, model.of_features, features)
    return Artefact(head.name, "coefficients", found, f"the head alone, not the whole model ({reason})")


def _check_onnx(path: Path, expected: Function, batches: list[Tensor]) -> Difference:
    try:
        found = onnx_model.load_onnx(path)
        return check(path.name, expected, found, batches, tolerance=_ONNX_TOLERANCE)
    except UserError:
        raise
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"onnxruntime refuses {path.name}: {torch_program.one_line(error)}") from error


def _safetensors(pipeline: Pipeline, folder: Path, batches: list[Tensor], model_config: dict[str, Any]) -> Artefact:
    path = folder / "model.safetensors"
    weights.save_weights(pipeline, path)
    found = weights.load_weights(pipeline, path, model_config)
    return Artefact(path.name, "weights", check(path.name, pipeline, found, batches, tolerance=_TORCH_TOLERANCE))


def _describe(path: Path, description: dict[str, Any], artefacts: list[Artefact]) -> None:
    files = {
        each.file: {"takes": each.takes, "largest_difference": each.difference.largest, "note": each.note}
        for each in artefacts
    }
    path.write_text(json.dumps({"format": 1, **description, "files": files}, indent=2) + "\n")


def _existing(folder: Path) -> Path:
    """The folder or the nearest one above it that exists: on the same disk, so that moving out of it is renaming."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())


def _replace(partial: Path, to: Path) -> None:
    """Move the new files into place, after what an earlier export says it wrote there."""
    to.mkdir(parents=True, exist_ok=True)
    new = {path.name for path in partial.iterdir()}
    for name in _files_of(to / DESCRIPTION) - new:
        (to / name).unlink(missing_ok=True)
    for name in sorted(new, key=lambda name: name == DESCRIPTION):
        (partial / name).chmod((partial / DESCRIPTION).stat().st_mode)  # safetensors makes its file the owner's alone
        shutil.move(partial / name, to / name)


def _files_of(description: Path) -> set[str]:
    try:
        names = set(json.loads(description.read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    # only plain names: this file may have been edited, and what it lists is deleted
    return {
        name for name in names if Path(name).name == name and Path(name).suffix in (".pt2", ".onnx", ".safetensors")
    }
