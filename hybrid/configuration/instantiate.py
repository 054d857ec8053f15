"""Build what a configuration describes, after checking its names and values against the constructor's signature.

Hydra's own `instantiate` reports a misspelt key as a TypeError from deep inside; here the signature is read first, so the
message can name the key, its place in the configuration, and what would be valid.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.class_paths import explain_missing, find_class
from hybrid.configuration.renamed import renamed
from hybrid.configuration.values import convert
from hybrid.errors import UserError, is_out_of_memory, memory_words, unknown_name
from hybrid.plain import plain
from hybrid.ranges import OutOfRange, range_of

T = TypeVar("T")


def instantiate(
    config: Mapping[str, Any] | DictConfig, *, path: str, also_valid: Iterable[str] = (), **runtime: Any
) -> Any:
    """Call the class or function that `config["_target_"]` names with the other keys and `runtime` as keyword arguments.

    `path` is the place in the configuration (for example ``model.frontend``), which errors name; `also_valid` are keys that
    the section may have beside these, for the error about an unknown one. Raises UserError for a class path that cannot be
    imported, an unknown or missing key, a value of the wrong type, and for any ValueError that the constructor itself raises;
    a UserError of the constructor's passes, as it says its own place.
    """
    values = _as_dict(config, path)
    factory = _factory(values, path)
    values.pop("_target_")
    return _call(factory, values, path=path, also_valid=also_valid, **runtime)


def given(section: Mapping[str, Any] | DictConfig, *, path: str) -> dict[str, Any]:
    """The section's values; one that the user still has to give ("???" in the yaml) is left out, and counts as missing."""
    return {
        name: value
        for name, value in _as_dict(section, path).items()
        if not (isinstance(value, str) and value == "???")
    }


def signature_of(config: Mapping[str, Any] | DictConfig, *, path: str) -> Mapping[str, inspect.Parameter]:
    """The arguments of the class or function that a section's `_target_` names. Raises UserError as `instantiate` does."""
    return _parameters(_factory(_as_dict(config, path), path), path)


def instantiate_each(items: Iterable[Any] | None, *, path: str, names: Mapping[str, str], **runtime: Any) -> list[Any]:
    """Build every part of a list, as `instantiate` does, in their order.

    An item is a short name of `names` (name -> class path), a class path, {short name: its settings}, or a section with a
    `_target_`. Raises UserError for any other, and for a list that is none.
    """
    return [
        instantiate(section, path=place, **runtime) for section, place in sections_of(items, path=path, names=names)
    ]


def sections_of(
    items: Iterable[Any] | None, *, path: str, names: Mapping[str, str]
) -> list[tuple[dict[str, Any], str]]:
    """Each item of such a list as a section with a `_target_`, and its place for errors; UserError as `instantiate_each`."""
    if items is not None and (isinstance(items, str | Mapping) or not isinstance(items, Sequence)):
        raise UserError(f"{path}={items} is not a list: write {path}=[{items if isinstance(items, str) else '…'}].")
    plain = OmegaConf.to_container(OmegaConf.create(list(items or [])), resolve=True)
    return list(_sections(plain, path, names))


def class_path(item: Any, names: Mapping[str, str]) -> str | None:
    """The class path of an item of such a list; None where it has none."""
    if isinstance(item, Mapping):
        item = item.get("_target_", next(iter(item), None))
    return names.get(item, item) if isinstance(item, str) else None


def _sections(items: Iterable[Any], path: str, names: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each item as a section with a `_target_`, and its place for errors."""
    for item in items:
        target = class_path(item, names)
        if target is None or (isinstance(item, Mapping) and "_target_" not in item and len(item) != 1):
            raise UserError(
                f"{path}: {item} is not valid: an item is a name, a class path, a name with settings "
                "({name: {key: value}}), or a section with a _target_."
            )
        if isinstance(item, Mapping) and "_target_" in item:
            yield dict(item), f"{path}.{target}"
            continue
        name, settings = next(iter(item.items())) if isinstance(item, Mapping) else (item, {})
        if "." not in target:
            error = unknown_name(target, names, what=f"name in {path}")
            raise UserError(f"{error} Or a class path, like package.module.Class.")
        if not isinstance(settings or {}, Mapping):
            raise UserError(f"{path}.{name}={settings} is not a section of settings: write {{{name}: {{key: value}}}}.")
        yield {"_target_": target, **(settings or {})}, f"{path}.{name}"


def build_record(record: Callable[..., T], config: Mapping[str, Any] | DictConfig, *, path: str, **runtime: Any) -> T:
    """Build a dataclass (or call any annotated function) from a configuration, with the checks of `instantiate`."""
    return _call(record, _as_dict(config, path), path=path, **runtime)


def _as_dict(config: Mapping[str, Any] | DictConfig, path: str = "it") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        shown = "empty" if config is None else repr(config)
        raise UserError(f"{path} is {shown}, and must be a section of settings.")
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in config.items()}


def _factory(config: Mapping[str, Any], path: str) -> Callable[..., Any]:
    target = config.get("_target_")
    if not isinstance(target, str) or target == "???":
        raise UserError(f"{path}._target_ is missing: set it to the path of a class, like package.module.Class.")
    return located(target, path)


def located(target: str, path: str) -> Callable[..., Any]:
    """The class or function of a dotted path. Raises UserError, naming its place `path`, where there is none."""
    try:
        found = find_class(target)
    except SyntaxError as error:
        raise UserError(f"{path}._target_={target}: {error.filename}, line {error.lineno}: {error.msg}.") from error
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # TypeError: a relative path
        words = explain_missing(target, error)
        raise UserError(f"{path}._target_={target} cannot be imported: {words}") from error
    if not callable(found):
        raise UserError(f"{path}._target_={target} is no class or function.")
    return found


def _parameters(factory: Callable[..., Any], path: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError as error:  # built into Python: nothing can be checked, so nothing is called
        raise UserError(f"{path}: {factory} has no signature to check the configuration against.") from error


def _call(
    factory: Callable[..., T], values: dict[str, Any], *, path: str, also_valid: Iterable[str] = (), **runtime: Any
) -> T:
    parameters = _parameters(factory, path)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    settable = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in values:
        if not takes_any and (name not in settable or name in runtime):
            former = renamed(f"{path}.{name}")
            raise former or unknown_name(name, {*settable, *also_valid} - set(runtime), what=f"key in {path}")
    hints = _hints(factory)
    for name, value in values.items():
        values[name] = checked(value, hints.get(name, Any), path=f"{path}.{name}")
    for name in settable:
        if parameters[name].default is inspect.Parameter.empty and name not in values and name not in runtime:
            raise UserError(f"{path}.{name} is missing.")
    accepted = runtime if takes_any else {name: value for name, value in runtime.items() if name in settable}
    try:
        return factory(**values, **accepted)
    except ValueError as error:
        if type(error) is UserError:  # which says its place; a ScatteringError, say, does not know it
            raise
        raise UserError(f"{path}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"{path}: {memory_words(error)}; choose smaller numbers there.") from error


def checked(value: Any, annotation: Any, *, path: str) -> Any:
    """The value as its annotation wants it; a section becomes the record (a dataclass) that the annotation names.

    Raises UserError, naming `path`, for another type and for a number outside the annotation's range (`hybrid.ranges`).
    """
    if dataclasses.is_dataclass(annotation) and not isinstance(value, annotation):
        if not isinstance(value, Mapping):
            names = ", ".join(field.name for field in dataclasses.fields(annotation))
            raise UserError(f"{path}: {value!r} is not a section of {names}.")
        return _call(annotation, dict(value), path=path)
    try:
        converted = convert(value, annotation)
        if (value_range := range_of(annotation)) is not None:
            value_range.check(plain(value))
        return converted
    except OutOfRange as error:
        raise UserError(f"{path}={error}.") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from error


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # annotations of a user's class that name things that only its type checker sees
        return {}
