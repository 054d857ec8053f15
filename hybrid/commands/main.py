"""The console's command `hybrid`: it lists the commands and starts one. Only that one is imported."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from hybrid.streams import outliving_readers
from hybrid.version import __version__

COMMANDS = {
    "train": "train a network, or go on with a run that was stopped; -m trains many",
    "find-lr": "find a learning rate: a hundred steps while the rate grows",
    "svm": "fit a support vector machine to the fixed coefficients of a model",
    "classify": "fit a classifier to features of a fixed front-end, in many random divisions of the images",
    "search": "search over settings with Optuna",
    "sweep-status": "show how far the runs of a sweep are",
    "report": "compare runs: a table of mean and standard deviation over seeds, curves",
    "evaluate": "test a run: loss, accuracy per class, confusions",
    "predict": "predict the classes of image files with a run",
    "inspect": "look at single images: the mistakes of a run, saliency, maps in the layers",
    "analyze": "measure how a network contracts space and separates classes, layer by layer",
    "export": "export a run's model: torch, ONNX, safetensors",
    "describe": "print a model layer by layer: shapes, parameters, operations",
    "show-scattering": "draw the scattering coefficients of an image",
    "prepare-data": "fetch and check data sets before a run needs them",
    "pack": "pack image files into a few large ones, smaller if you like: shards of WebDataset",
    "data-stats": "describe a data set: classes, pixels, sizes, a contact sheet",
    "selftest": "test whether this machine's GPUs compute the scattering transform correctly",
    "info": "print versions, devices, compiler, engines and folders, for bug reports",
    "new": "make a project folder of your own: a data set, a head, a recipe, a test",
    "completion": "print a script that completes commands and settings in bash, zsh or fish",
}
USER_ERROR = 2
_FORKS = "--forks"  # an order of hybrid/runs/sweeps/forks.py, for nobody to type


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command that the arguments (by default sys.argv's) name, and end the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == [_FORKS]:
        given = importlib.import_module("hybrid.commands.forks").forked_with(int(given[1]))  # goes on in forks
    with outliving_readers():
        if not given or given[0] in ("--help", "-h", "help"):
            print(help_text())
        elif given[0] in ("--version", "version"):
            print(f"hybrid {__version__}")
        elif given[0] in COMMANDS:
            load(given[0])(given[1:])
        else:
            print(f"error: {_unknown(given[0])}", file=sys.stderr)
            sys.exit(USER_ERROR)


def load(name: str) -> object:
    """The function of a command, which takes its arguments and ends the process."""
    module = name.replace("-", "_")
    return getattr(importlib.import_module(f"hybrid.commands.{module}"), module)


def help_text() -> str:
    """A line for each command."""
    lines = [
        "Train hybrid scattering + CNN networks and measure why they work.",
        "",
        "    hybrid train experiment=digits      the first thing to run: no download, about a minute on two cores",
        "    hybrid COMMAND --help               what a command does, and its options",
        "",
        "Commands:",
        "",
        *(f"  {name:<16} {words}" for name, words in COMMANDS.items()),
    ]
    return "\n".join(lines)


def _unknown(name: str) -> str:
    if "=" in name or name in ("-m", "--multirun", "--from"):
        return f"{name} is no command. Did you mean hybrid train {name} …? Valid: {', '.join(COMMANDS)}."
    close = difflib.get_close_matches(name.replace("_", "-"), COMMANDS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"unknown command: {name}.{hint} Valid: {', '.join(COMMANDS)}."
