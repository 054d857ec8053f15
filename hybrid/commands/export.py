"""Export a run's model for use elsewhere, pixel preprocessing included, and verify every file against the model.

    hybrid export run=outputs/digits-scat_resnet-seed0-1a2b3c4d
    hybrid export run=outputs/… to=deploy formats=onnx weights=best

Input: images (N, C, H, W), float32 in [0, 1], of the run's size, any N; output: logits (N, classes). Of a run of labels it is
a logit for each label, whose sigmoid is its probability; of a run of values it is the values, in their own units.
  torch        model.pt2           torch.export.load("model.pt2").module()(images); needs torch alone
  onnx         model.onnx          the whole model, its scattering as matrix products; needs onnxruntime alone.
               head.onnx           instead, with the coefficients as input, for a front-end that ONNX cannot express
  safetensors  model.safetensors   the weights alone
and model.json: class names, preprocessing, how files become images, configuration, how far each file is from the model. Each
file is read back and compared on real and random images; if one differs, that is an error and nothing is written.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import check_folder
from hybrid.configuration.trust import TRUST
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:
    from hybrid.data import Data  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.training.restore import Restored


_FORMATS = ("torch", "onnx", "safetensors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    run: str = option("the run's folder")
    to: str | None = option("folder to write; null: exported/ and the run's name", default=None)
    formats: tuple[Literal["torch", "onnx", "safetensors"], ...] = option(
        "what to write; without it, a format whose packages are missing is skipped", default=_FORMATS
    )
    weights: str | None = option(
        "which checkpoint: last, best or best-STEP; null: the one that the run tested", default=None
    )
    data_root: str | None = option("folder of the data, if not where the run had them", default=None)
    trust: tuple[str, ...] = option(TRUST, default=())

    def __post_init__(self) -> None:
        if not self.formats:
            raise UserError("formats is empty. Valid: torch, onnx, safetensors.")
        check_folder("to", self.to)


@command(Options)
def export(options: Options) -> None:
    """Export, verify, and say what was written."""
    from omegaconf import OmegaConf

    from hybrid.training.restore import restore

    run = restore(
        options.run,
        weights=options.weights,
        device="cpu",
        data_root=options.data_root,
        download=False,
        trust=options.trust,
    )
    from hybrid.export import Pipeline  # now: a wrong folder is said without torch
    from hybrid.export.package import export as export_package
    from hybrid.export.package import missing_package, real_images

    say(run.describe())
    formats = list(options.formats)
    if options.formats is _FORMATS:  # nobody asked for them by name
        missing = {name: reason for name in formats if (reason := missing_package(name)) is not None}
        for name, reason in missing.items():
            say(f"{name} is skipped: {reason}")
        formats = [name for name in formats if name not in missing]
    to = Path(options.to) if options.to else Path("exported") / run.name
    artefacts = export_package(
        Pipeline(run.data.preprocessing, run.model).eval(),
        formats=formats,
        to=to,
        description=_description(run),
        model_config=OmegaConf.to_container(run.cfg.model, resolve=True),
        real=real_images(run.data),
    )
    for file, takes, difference, note in artefacts:
        say(
            f"{to / file}: takes {takes}; largest difference {difference.largest:.2g} in outputs up to "
            f"{difference.scale:.3g}, {difference.images} images"
        )
        if note:
            say(f"  note: {note}")
    say(f"{to / 'model.json'}: class names, preprocessing and configuration")


_MEANING = {
    "classification": "logits of the classes: their softmax is the probability of each class",
    "multilabel": "logits of the labels: the sigmoid of each is the probability of the label",
    "regression": "the values, in their own units",
}


_SCORES = {
    "classification": "scores of the classes, the largest wins: the loss was not one of probabilities",
    "multilabel": "scores of the labels, positive where the image has it: the loss was not one of probabilities",
}


def _description(run: Restored) -> dict[str, Any]:
    from hybrid.configuration.kept import plain
    from hybrid.version import __version__

    means = _MEANING[run.task] if run.likelihood == "probability" else _SCORES.get(run.task, _MEANING[run.task])
    return {
        "run": run.name,
        "model": run.cfg.choices.model,
        "data": run.data.name,
        "weights": run.weights,
        "averaged": run.averaged,
        "step": run.step,
        "input": {
            "shape": ["N", *run.data.image_shape],
            "type": "float32",
            "range": [0, 1],
            "colour": {1: "grey", 3: "RGB"}.get(run.data.image_shape[0]),
            "files": _files(run.data),
        },
        "task": run.task,
        "output": {"shape": ["N", len(run.class_names)], "means": means},
        "class_names": list(run.class_names),
        "preprocessing": {
            "type": type(run.data.preprocessing).__name__,
            "normalize": _normalize(run),
        },
        "config": plain(run.cfg),
        "hybrid": __version__,
    }


def _files(data: Data) -> dict[str, Any] | None:
    """How image files become the input, as `hybrid.data.images.ImageReader(**files)`; None where files cannot hold it."""
    return dataclasses.asdict(data.source.reader) if data.image_shape[0] in (1, 3) else None


def _normalize(run: Restored) -> Any:
    scale = run.data.scale
    return scale if isinstance(scale, str) else {"mean": list(scale.mean), "std": list(scale.std)}
