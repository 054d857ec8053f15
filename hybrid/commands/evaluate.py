"""Evaluate a run: loss, accuracies, metrics, accuracy per class and the most frequent confusions.

    hybrid evaluate run=outputs/digits-scat_resnet-seed0-1a2b3c4d
    hybrid evaluate run=outputs/… split=validation weights=best json=validation.json
    hybrid evaluate run=outputs/… metrics=[balanced_accuracy,calibration_error]

With the defaults it repeats the run's own test: the figures are those of its summary.json. Every image of the split is
evaluated, as evaluation sees it (no augmentation, also for split=train). Nothing is written, unless json= says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import PICTURES, check_file, writing
from hybrid.configuration.trust import TRUST
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.objective.objective import Objective
    from hybrid.training.evaluation import Evaluation
    from hybrid.training.restore import Restored


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    run: str = option("the run's folder")
    split: Literal["test", "validation", "train"] = option("which images", default="test")
    weights: str | None = option(
        "which checkpoint: last, best or best-STEP; null: the one that the run tested", default=None
    )
    device: str = option("auto is the GPU if there is one; or cpu, cuda, cuda:1", default="auto")
    batch_size: int | None = option("images at a time; null: as the run", default=None)
    precision: Literal["fp32", "bf16", "fp16"] | None = option("null: as the run", default=None)
    data_root: str | None = option("folder of the data, if not where the run had them", default=None)
    trust: tuple[str, ...] = option(TRUST, default=())
    metrics: tuple[Any, ...] | None = option(
        "what is measured beside loss and accuracy, as in training: names and class paths; null: as the run",
        default=None,
    )
    confusion: str | None = option(
        "also draw the confusion matrix to this file: .png, .svg or .pdf (needs classes)", default=None
    )
    json: str | None = option("also write the results, with every confusion, to this file", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "batch_size")
        check_file("json", self.json)
        check_file("confusion", self.confusion, endings=PICTURES)


@command(Options)
def evaluate(options: Options) -> None:
    """Evaluate, print, and write the JSON file if one is wanted."""
    from hybrid.training.restore import restore

    run = restore(
        options.run, weights=options.weights, device=options.device, data_root=options.data_root, trust=options.trust
    )
    from hybrid.files import write_json
    from hybrid.training.evaluation import evaluate as evaluate_model  # now: a wrong folder is said without torch

    say(run.describe())
    loader = run.data.loader(options.split, batch_size=options.batch_size or run.settings.batch_size, device=run.device)
    precision = options.precision or run.settings.precision
    arithmetic = replace(run.settings.arithmetic, precision=precision)
    objective = _objective(run, options.metrics)
    if options.confusion and objective.task != "classification":
        raise UserError(
            f"confusion={options.confusion}: the run's images have no classes, so that nothing is confused."
        )
    known = {"num_classes": run.model.num_classes, "objective": objective, "arithmetic": arithmetic}
    result = evaluate_model(run.model, loader.epoch(0), **known)
    print(f"{options.split}: {result.images} images on {run.device}, {precision}")
    _print(result, run.class_names)
    if run.settings.max_evaluation_batches:
        print(f"\nnote: the run itself evaluated {run.settings.max_evaluation_batches} batches only (debug=fast).")
    if options.confusion:
        _draw(options.confusion, result, run.class_names)
    if options.json:
        with writing("json", options.json):
            write_json(Path(options.json), _record(options, precision, run, result))
        say("", f"written: {options.json}")


def _draw(path: str, result: Evaluation, class_names: Sequence[str]) -> None:
    from hybrid.files import write_atomically
    from hybrid.reports.confusion_figure import confusion_figure
    from hybrid.reports.style import picture

    content = picture(confusion_figure(result.confusion, class_names), Path(path).suffix.removeprefix("."))
    with writing("confusion", path):
        write_atomically(Path(path), lambda file: file.write(content))
    say("", f"written: {path}")


def _objective(run: Restored, metrics: tuple[Any, ...] | None) -> Objective:
    """The run's own loss, with these metrics in the place of its own."""
    from omegaconf import OmegaConf

    from hybrid.objective.objective import objective_of

    cfg = run.cfg.copy()
    if metrics is None:
        return objective_of(cfg, run.data, best_metric=run.settings.best_metric, device=run.device)
    OmegaConf.update(cfg, "metrics", list(metrics), merge=False, force_add=True)
    return objective_of(cfg, run.data, device=run.device)


def _print(result: Evaluation, class_names: tuple[str, ...]) -> None:
    """The numbers of the whole in a line, the other ones below."""
    from hybrid.reports.classes import classes_text
    from hybrid.runs.numbers import in_words

    whole = {name: value for name, value in result.numbers().items() if "/" not in name}
    print("   ".join(in_words(name, value) for name, value in whole.items()))
    for name, value in result.numbers().items():
        if name not in whole and not name.startswith("per_class/"):  # which is in the table of the classes
            say(f"  {in_words(name, value)}")
    if result.confusion is not None:
        print(f"\n{classes_text(result.confusion, class_names)}")


def _record(options: Options, precision: str, run: Restored, result: Evaluation) -> dict[str, Any]:
    from hybrid.reports.classes import class_accuracies, confusions

    names = run.class_names
    record = {
        "run": str(run.folder.path),
        "weights": run.weights,
        "step": run.step,
        "split": options.split,
        "device": str(run.device),
        "precision": precision,
        **result.numbers(),
        "images": result.images,
    }
    if result.confusion is None:
        return record
    return {
        **record,
        "classes": [row._asdict() for row in class_accuracies(result.confusion, names)],
        "confusions": [pair._asdict() for pair in confusions(result.confusion, names)],
    }
