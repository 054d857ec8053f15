"""ONNX: the whole pipeline where it can be made equal, with the scattering as matrix products; else its head."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.export.dft_scattering import DftScattering
from hybrid.export.optional import need
from hybrid.export.pipeline import Head, Pipeline, for_export
from hybrid.export.torch_program import one_line, trace
from hybrid.export.verify import Function


def need_packages() -> None:
    """UserError where a package that ONNX needs is missing."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package, what="ONNX")


def save_whole(pipeline: Pipeline, path: Path) -> None:
    """Write the pipeline: input `images` (N, C, H, W) float32 in [0, 1], output `logits`. UserError if ONNX cannot say it."""
    module = for_export(pipeline, engine=DftScattering)
    _save(module, (2, *pipeline.image_shape), path, input_name="images")


def save_head(pipeline: Pipeline, path: Path) -> None:
    """Write normalization and head: input `coefficients` (N, C, H, W) float32, as the front-end gives them."""
    model = for_export(pipeline).model
    _save(
        Head(model), (2, *coefficients(pipeline, torch.rand(1, *pipeline.image_shape)).shape[1:]), path, "coefficients"
    )


@torch.no_grad()
def coefficients(pipeline: Pipeline, images: Tensor) -> Tensor:
    """What the front-end gives for images in [0, 1]: the input of an exported head."""
    return pipeline.model.frontend(pipeline.preprocessing(images))


def load_onnx(path: Path) -> Function:
    """The function of images, or of coefficients, that a file holds, as onnxruntime computes it on the CPU."""
    runtime = need("onnxruntime", what="ONNX")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.contiguous().numpy()})[0])


def _save(module: nn.Module, example_shape: tuple[int, ...], path: Path, input_name: str) -> None:
    try:
        with _quiet():
            program = torch.onnx.export(
                trace(module.eval(), example_shape),
                dynamo=True,
                input_names=[input_name],
                output_names=["logits"],
                verbose=False,
            )
            program.save(str(path))
    except Exception as error:  # a part of the user's own may fail in any way
        raise UserError(f"ONNX cannot express it: {one_line(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks to its developers: on stdout, in warnings and in its log."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
