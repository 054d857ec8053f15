"""torch.export: a program for torch alone, with a free batch size (`torch.export.load(path).module()(images)`)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hybrid.errors import UserError
from hybrid.export.pipeline import Pipeline, for_export
from hybrid.export.verify import Function


def save_program(pipeline: Pipeline, path: Path) -> None:
    """Trace the pipeline and write a .pt2 file. UserError where a part of the model cannot be traced."""
    try:
        program = trace(for_export(pipeline), (2, *pipeline.image_shape))
    except Exception as error:  # a part of the user's own may fail in any way
        raise UserError(f"torch.export cannot trace this model: {one_line(error)}") from error
    torch.export.save(program, path)


def load_program(path: Path) -> Function:
    """The function of images that a .pt2 file holds."""
    return torch.export.load(path).module()


def trace(module: torch.nn.Module, example_shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """The program of a module of one tensor whose first dimension may have any size, 0 too."""
    example: tuple[Tensor, ...] = (torch.rand(example_shape),)
    return torch.export.export(module, example, dynamic_shapes=({0: torch.export.Dim("batch", min=0)},))


def one_line(error: Exception) -> str:
    """The beginning of an error that may take a page."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
