"""What a run leaves when it ends: summary.json, and the words on the console."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Mapping
from typing import Any

from hybrid import distributed
from hybrid.escaping import for_terminal
from hybrid.objective.objective import Objective
from hybrid.runs.numbers import headline, in_words, results
from hybrid.training.device import device_name
from hybrid.training.evaluation import Evaluation
from hybrid.training.session import Session

_FAR = 10  # times the loss of guessing: far from everything that trains


def summarize(session: Session, test: Evaluation) -> dict[str, Any]:
    """The content of summary.json: accuracies in %, losses in nats, times in seconds of training steps alone."""
    plan, state = session.plan, session.state
    return {
        "model": plan.model,
        "data": session.data.name,
        "task": plan.objective.task,
        "loss": plan.objective.record(),
        "seed": plan.seed,
        "smaller_is_better": [name for name, higher in plan.objective.numbers.items() if not higher],
        "test": {**test.numbers(), "images": test.images, "weights": plan.trainer.test_weights},
        "validation": {"final": _part(state.latest, "validation/"), "best": state.best},
        "train": _part(state.latest, "train/"),
        "labels": {name: len(split) for name, split in session.data.splits.items() if name != "test"},
        "parameters": sum(p.numel() for p in state.model.parameters() if p.requires_grad),
        "steps": state.step,
        "epochs": session.epoch,
        "seconds": round(state.seconds, 2),
        "images_per_second": round(state.images / max(state.seconds, 1e-9), 1),
        "device": device_name(plan.device),
        "ranks": distributed.size(),
        "precision": plan.trainer.precision,
        **({"ended": state.end} if state.end is not None else {}),
    }


def _part(values: dict[str, float], prefix: str) -> dict[str, float] | None:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)} or None


def final_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """The results that TensorBoard's table of runs shows, under the names of their curves."""
    parts = {"test": summary["test"], "validation": summary["validation"]["final"] or {}}
    return {
        f"{part}/{name}": value
        for part, values in parts.items()
        for name, value in results(values)
        if name != "top5" and math.isfinite(value)
    }


def diverged(test: Mapping[str, float], objective: Objective, *, outputs: int) -> str | None:
    """A line where the results of the test are far worse than those of guessing; None where they are not."""
    advice = (
        "training has diverged, or the network is sure of what is wrong: a lower optimizer.lr is the first thing to try"
    )
    if objective.task == "classification" and objective.name == "cross_entropy" and outputs > 1:
        guessing = math.log(outputs)
        if not test["loss"] <= _FAR * guessing:
            return f"warning: the test loss is {test['loss']:.3g}, that of guessing {guessing:.2f}: {advice}"
    if objective.task == "regression" and "r2" in test and not test["r2"] >= 1 - _FAR:
        return f"warning: the squared error of the test is {1 - test['r2']:.3g} times that of always saying the mean: {advice}"
    return None


def closing_words(summary: dict[str, Any], session: Session) -> str:
    """The last words of a run: how good it is, how long it took, where it is, and how to look at it."""
    folder = session.folder.path
    test = summary["test"]
    whole = len(session.data.splits["test"])
    images = test["images"] if test["images"] == whole else f"{test['images']} of the {whole}"
    first = headline(test, asked=session.plan.trainer.best_metric)
    others = [words for words in itertools.starmap(in_words, reversed(list(results(test)))) if words != first]
    lines = [
        f"test {first} of {images} images ({', '.join(others)}), "
        f"trained in {summary['seconds']:.0f} s at {summary['images_per_second']:.0f} images/s",
        f"run folder:  {for_terminal(str(folder))}",
    ]
    if (warning := diverged(test, session.plan.objective, outputs=session.data.num_classes)) is not None:
        lines.insert(1, warning)
    if session.plan.loggers.tensorboard:
        lines.append(f"TensorBoard: tensorboard --logdir {for_terminal(shlex.quote(str(folder.parent)))}")
    return "\n".join(lines)
