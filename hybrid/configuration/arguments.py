"""Command lines of key=value options, checked against an annotated dataclass.

    @dataclass(frozen=True, kw_only=True)
    class Options:
        run: str = option("the run's folder")
        top: int = option("classes to show per image", default=5)

    @command(Options)
    def predict(options: Options) -> None: ...

`predict()` reads sys.argv, `predict(["run=…"])` takes the arguments that it is given; both end the process. Training is
composed by Hydra (`hybrid.configuration.entry`); these commands need no composition, and are written in the same way.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.entry import guarded
from hybrid.configuration.hydra_arguments import config_folders_apart
from hybrid.configuration.values import convert, expectation
from hybrid.errors import UserError, unknown_name
from hybrid.version import __version__

T = TypeVar("T")


def option(explanation: str, *, default: Any = dataclasses.MISSING, positional: bool = False) -> Any:
    """A dataclass field with its explanation for --help. An option without a default must be given.

    At most one field is `positional`, a tuple of str: it takes every argument that is no key=value.
    """
    return dataclasses.field(default=default, metadata={"help": explanation, "positional": positional})


def command(options: type[T]) -> Callable[[Callable[[T], Any]], Callable[..., NoReturn]]:
    """Decorate a command's function(options): the result takes arguments (by default sys.argv's) and ends the process.

    Exit codes as for training: 0, 2 after a user's mistake (one line on stderr), 130 after Ctrl-C.
    """

    def decorate(task: Callable[[T], Any]) -> Callable[..., NoReturn]:
        @functools.wraps(task)
        def run(arguments: Sequence[str] | None = None) -> NoReturn:
            given, folders = config_folders_apart(sys.argv[1:] if arguments is None else arguments)
            if any(flag in ("--help", "-h") for flag in given):
                document = sys.modules[task.__module__].__doc__ or ""
                sys.exit(guarded(lambda: print(help_text(options, document))))
            if "--version" in given:
                sys.exit(guarded(lambda: print(f"hybrid {__version__}")))
            sys.exit(guarded(lambda: task(parse(options, given)), folders=folders))

        return run

    return decorate


def parse(options: type[T], arguments: Sequence[str]) -> T:
    """The options that these arguments give. Raises UserError for an unknown, repeated, missing or invalid option."""
    fields = {field.name: field for field in dataclasses.fields(options)}
    rest = next((name for name, field in fields.items() if field.metadata["positional"]), None)
    hints = typing.get_type_hints(options)
    values: dict[str, Any] = {}
    positional: list[str] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not fields:
            raise UserError(f"cannot use {argument}: this command takes no options.")
        if rest and (not equals or (name not in fields and Path(argument).exists())):
            positional.append(argument)
            continue
        if not equals:
            raise _no_assignment(argument, fields)
        if name not in fields or name == rest:
            raise unknown_name(name, set(fields) - {rest}, what="option")
        if name in values:
            raise UserError(f"{name} is given twice.")
        values[name] = _value(name, text, hints[name])
    if positional:
        values[rest] = tuple(positional)
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            wanted = f"give {name} on the command line" if name == rest else f"give {name}=…"
            raise UserError(f"{name} is missing: {wanted} ({field.metadata['help']}).")
    try:
        return options(**values)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def check_at_least(options: Any, least: float, *names: str) -> None:
    """Raises UserError if one of these options is a number below `least`, or none at all; null passes."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UserError(f"{name}={value} is not valid: it must be at least {least}.")


def check_not_empty(options: Any, *names: str) -> None:
    """Raises UserError if one of these options is an empty list, which would leave nothing to do; null passes."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not value:
            raise UserError(f"{name}=[] is not valid: it must name at least one.")


def help_text(options: type, docstring: str) -> str:
    """The command's docstring, then every option with its default and explanation."""
    lines = [docstring.strip(), ""]
    if dataclasses.fields(options):
        lines += ["Options (KEY=VALUE; * must be given):", ""]
    for field in dataclasses.fields(options):
        required = field.default is dataclasses.MISSING
        name = f"{field.name}…" if field.metadata["positional"] else field.name
        head = f"  {name}*" if required else f"  {name}={_shown(field.default)}"
        choices = _choices(typing.get_type_hints(options)[field.name])
        text = field.metadata["help"] + (f" ({choices})" if choices else "")
        lines += textwrap.wrap(text, 110, initial_indent=f"{head:<26} ", subsequent_indent=" " * 27)
    lines += [
        *([""] if dataclasses.fields(options) else []),
        "HYBRID_TRACEBACK=1 shows where in the code an error comes from.",
    ]
    return "\n".join(lines)


def _value(name: str, text: str, annotation: Any) -> Any:
    """The value that yaml reads in the text. Options of type str take the text as it is: a folder may be called 2024."""
    alternatives = typing.get_args(annotation) or (annotation,)
    if text == "null" and type(None) in alternatives:
        return None
    several = next((each for each in (annotation, *alternatives) if typing.get_origin(each) is tuple), None)
    if str in alternatives and not several:
        return text
    if several and not text.startswith("["):
        text = f"[{text}]"  # formats=onnx,torch without a shell's brackets
    try:
        if several and typing.get_args(several)[0] is str:
            return convert(yaml.load(text, Loader=yaml.BaseLoader), annotation)  # which takes no 32 for a number
        container = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=True)
        return convert(container["value"], annotation)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{name}={text} cannot be read: it must be {expectation(annotation)}.") from error
    except ValueError as error:
        raise UserError(f"{name}: {error}.") from error


def _no_assignment(argument: str, names: Sequence[str] | dict[str, Any]) -> UserError:
    bare = argument.lstrip("-")
    close = difflib.get_close_matches(bare, list(names), n=1)
    example = close[0] if close else "key"
    return UserError(f"cannot read the argument {argument}: write {example}=value. Valid: {', '.join(sorted(names))}.")


def _choices(annotation: Any) -> str:
    """The choices of a Literal, also of an optional one or of a list of them."""
    for part in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(part) is Literal:
            return ", ".join(str(choice) for choice in typing.get_args(part))
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    return "null" if value is None else str(value)
