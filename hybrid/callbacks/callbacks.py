"""Callbacks: plain objects that the trainer calls at the events of a run. `Callback` lists the events.

class Watch:                                         # in a file of one's own, say watch.py
    def on_evaluation(self, session, split, numbers):
        print(session.state.step, split, numbers["top1"])

hybrid train callbacks=[watch.Watch]                 # or {_target_: watch.Watch, key: value} where it takes settings
hybrid.train("data=digits", callbacks=[Watch()])     # in Python
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from hybrid import distributed
from hybrid.configuration.instantiate import instantiate_each
from hybrid.data import Data
from hybrid.errors import PeerLost, Stopped, UserError, unknown_name
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch

    from hybrid.training.plan import Plan
    from hybrid.training.session import Session
else:
    torch = LazyModule("torch")

# The callbacks that hybrid brings along, by their short names.
CALLBACKS = {
    "early_stopping": "hybrid.callbacks.early_stopping.EarlyStopping",
    "unfreeze": "hybrid.callbacks.freezing.Unfreeze",
}


class Callback(Protocol):
    """The events of a run, in their order. A callback is any object that has at least one of these methods.

    Every process (rank) of a run calls them, at the same steps. `session.state` has the model, the optimizer and `step`;
    `session.plan` the run's length; `session.tracker.scalars(step, session.epoch, {"my/number": 1.0})` logs a number.
    `session.end_run(reason)` ends the run early: after this step come the last evaluation, the last checkpoint and the test,
    as at its planned end. An exception in a callback ends the run: the same command goes on from the last checkpoint.

    observer: True for a callback that only looks. All others count among the run's settings, so that the run with one has
        another folder than the run without it. False if it is missing.
    """

    observer: bool

    def on_setup(self, plan: Plan, data: Data) -> None:
        """The run is planned, and nothing is written yet: a UserError says here what is wrong with the callback's settings."""

    def on_fit_start(self, session: Session) -> None:
        """Training begins, or goes on from a checkpoint: `session.state.step` steps are done."""

    def on_step(self, session: Session) -> None:
        """The weights were updated; nothing of this step is logged yet."""

    def on_evaluation(self, session: Session, split: str, numbers: Mapping[str, float]) -> None:
        """A split was evaluated ("validation", and "test" at the end): name -> value, such as "loss" and "top1" (%)."""

    def on_epoch_end(self, session: Session) -> None:
        """The last step of an epoch is done, logged and, where it was due, evaluated."""

    def on_checkpoint(self, session: Session) -> None:
        """A checkpoint is about to be written; `state_dict` is called next."""

    def on_fit_end(self, session: Session) -> None:
        """The last step is done and its checkpoint is written; the test comes next."""

    def on_end(self, session: Session, summary: Mapping[str, Any]) -> None:
        """The run is finished, and its summary is written."""

    def state_dict(self) -> Mapping[str, Any]:
        """What a resumed run must know: numbers, text, tensors, and lists and dicts of these. Rank 0's is kept."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was called. It comes before `on_fit_start`, where a run goes on."""


EVENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class CallbackError(RuntimeError):
    """A callback raised an exception, which is this one's cause."""


class Callbacks:
    """The callbacks of a run. Raises UserError for an object that has none of the events, or has one that does not exist."""

    def __init__(self, objects: Sequence[Any] = ()) -> None:
        self._objects = list(objects)
        for each in self._objects:
            _check(each)

    def __bool__(self) -> bool:
        return bool(self._objects)

    def call(self, event: str, *arguments: Any, where: str = "") -> None:
        """Call a method of every callback that has it. where: the place in the run, for the error. Raises CallbackError."""
        for each in self._objects:
            if hasattr(each, event):
                self._call(each, event, arguments, where)

    def state_dict(self) -> list[dict[str, Any] | None]:
        """The states of all of them, in their order; None where one keeps nothing."""
        return [self._state_of(each) if hasattr(each, "state_dict") else None for each in self._objects]

    def load_state_dict(self, states: Sequence[Mapping[str, Any] | None]) -> None:
        """The counterpart of `state_dict`; a checkpoint that was written without callbacks has no states."""
        for each, state in zip(self._objects, states, strict=False):
            if state is not None and hasattr(each, "load_state_dict"):
                self._call(each, "load_state_dict", (state,), "")

    def _state_of(self, each: Any) -> dict[str, Any]:
        state = dict(self._call(each, "state_dict", (), ""))
        if (found := _not_plain(state)) is not None:
            raise UserError(
                f"the callback {name_of(each)} keeps a {found} in its state_dict. Valid: numbers, text, tensors, None, and "
                "lists and dicts of these."
            )
        return state

    @staticmethod
    def _call(each: Any, event: str, arguments: Sequence[Any], where: str) -> Any:
        try:
            return getattr(each, event)(*arguments)
        except (UserError, Stopped, PeerLost, CallbackError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise CallbackError(f"the callback {name_of(each)} failed in {event}{where}: {reason}") from error


def callbacks_from(items: ListConfig | Sequence[Any] | None, given: Sequence[Any] = ()) -> Callbacks:
    """The callbacks that `cfg.callbacks` lists, and after them the objects of `hybrid.train(…, callbacks=[…])`."""
    return Callbacks([*instantiate_each(items, path="callbacks", names=CALLBACKS), *given])


def note(cfg: DictConfig, given: Sequence[Any]) -> DictConfig:
    """The configuration with the callbacks that were given as objects, so that the run's folder tells who was there.

    An object is noted by the path of its class; the fields of a dataclass are its settings. Observers are not noted.
    """
    noted = [_entry(each) for each in given if not getattr(each, "observer", False)]
    if not noted:
        return cfg
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.callbacks = [*OmegaConf.to_container(OmegaConf.create(cfg.get("callbacks") or [])), *noted]
    return cfg


def agree_on_the_end(session: Session, callbacks: Callbacks) -> None:
    """Of several ranks the first one's word counts, whether the run ends early."""
    if callbacks and distributed.size() > 1:
        session.state.end = distributed.from_main(lambda: session.state.end)


def name_of(callback: Any) -> str:
    """The path of its class."""
    kind = type(callback)
    return f"{kind.__module__}.{kind.__qualname__}"


def _check(each: Any) -> None:
    if isinstance(each, type):
        raise UserError(f"callbacks: {each.__qualname__} is a class, and an object is wanted: {each.__qualname__}(…).")
    hooks = [name for name in dir(each) if name.startswith("on_") and callable(getattr(each, name))]
    for name in hooks:
        if name not in EVENTS:
            raise unknown_name(name, EVENTS, what=f"event in the callback {name_of(each)}")
    if not hooks:
        raise UserError(f"the callback {name_of(each)} has none of the events and so no effect: {', '.join(EVENTS)}.")


def _entry(each: Any) -> Any:
    if not dataclasses.is_dataclass(each):
        return name_of(each)
    fields = {field.name: getattr(each, field.name) for field in dataclasses.fields(each) if field.init}
    return {"_target_": name_of(each), **fields}


def _not_plain(value: Any) -> str | None:
    """The kind of the first value that a checkpoint must not hold, because it would not be read again."""
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor)):
        return None
    if isinstance(value, Mapping):
        return next(filter(None, map(_not_plain, [*value.keys(), *value.values()])), None)
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_not_plain, value)), None)
    return type(value).__name__
