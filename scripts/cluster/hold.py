"""A callback that makes a rank wait at an exact place of its run until someone has done something to it.

    callbacks=[hold.Hold]        with this folder in PYTHONPATH, and a folder in HYBRID_HOLD

A file of that folder, such as seed0.rank1.step12, names the place: the rank writes its host and its process into it, and waits
until the file is gone. The events, with the number of steps done: start, step, checkpoint (about to be written), validation and
test (evaluated), end (the summary is written), and forward: the model's next use after a step, in its evaluation or analysis.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid import distributed

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from hybrid.training.session import Session


class Hold:
    """Waits at the places that files in HYBRID_HOLD name."""

    observer = True

    def __init__(self) -> None:
        self._folder = Path(os.environ["HYBRID_HOLD"])

    def on_fit_start(self, session: Session) -> None:
        """Training begins."""
        self._wait(session, "start")

    def on_step(self, session: Session) -> None:
        """A step is done."""
        self._wait(session, "step")
        if self._file(session, "forward").exists():
            handle = session.state.evaluated.register_forward_pre_hook(lambda *_: self._once(handle, session))

    def on_evaluation(self, session: Session, split: str, numbers: Mapping[str, float]) -> None:
        """A split was evaluated."""
        self._wait(session, split)

    def on_checkpoint(self, session: Session) -> None:
        """A checkpoint is about to be written."""
        self._wait(session, "checkpoint")

    def on_end(self, session: Session, summary: Mapping[str, Any]) -> None:
        """The summary is written."""
        self._wait(session, "end")

    def _once(self, handle: RemovableHandle, session: Session) -> None:
        handle.remove()
        self._wait(session, "forward")

    def _file(self, session: Session, event: str) -> Path:
        return self._folder / f"seed{session.plan.seed}.rank{distributed.rank()}.{event}{session.state.step}"

    def _wait(self, session: Session, event: str) -> None:
        file = self._file(session, event)
        if not file.exists():
            return
        here = {"host": platform.node(), "pid": os.getpid()}
        part = file.with_name(f"{file.name}.{os.getpid()}")
        part.write_text(json.dumps(here))
        part.replace(file)
        while file.exists():
            time.sleep(0.02)
