"""The runs of a sweep's command line. Each is composed once, when the command is given."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.combinations import composing_one_of, expand
from hybrid.configuration.composition import compose
from hybrid.configuration.kept import plain
from hybrid.errors import UserError
from hybrid.runs.folder import RunFolder, identity


@dataclasses.dataclass(frozen=True)
class Planned:
    """One run: its name, which is its folder's; the overrides that make it; its whole configuration, resolved."""

    name: str
    overrides: tuple[str, ...]
    cfg: DictConfig

    @property
    def folder(self) -> RunFolder:
        """The run's own folder."""
        return RunFolder.of(self.cfg)


def plan_runs(arguments: Sequence[str], *, several: Callable[[Planned], None] = lambda run: None) -> list[Planned]:
    """Compose every run of a sweep; nothing is written.

    several: is called once it is clear that there are several runs, and that they can be composed: with the second one.

    Raises UserError, which names the combination, if one of them cannot be composed: a typo costs no run. Two combinations
    that make the same run become one run; one warning says which settings made the difference.
    """
    runs: dict[str, Planned] = {}
    again: list[str] = []
    for overrides in expand(arguments):
        with composing_one_of(overrides, arguments):
            run = plan_run(overrides)
        there = runs.setdefault(run.name, run)
        if there is run:
            if len(runs) == 2:
                several(run)
            continue
        if identity(there.cfg) != identity(run.cfg):
            raise UserError(
                f"run.name={run.cfg.run.name} names one folder, and the sweep has several runs: leave it out."
            )
        here = [text for text in overrides if text not in there.overrides]
        before = [text for text in there.overrides if text not in overrides]
        again.append(f"{' '.join(here) or 'given twice'} is the same run as {' '.join(before) or 'before'}")
    if again:
        more = f" (and {len(again) - 1} more of the kind)" if len(again) > 1 else ""
        warnings.warn(f"{again[0]}: it runs once{more}.", stacklevel=2)
    return list(runs.values())


def plan_run(overrides: Sequence[str]) -> Planned:
    """Compose one run. The result does not depend on files or the current folder any more."""
    cfg = compose(overrides)
    cfg = OmegaConf.create(plain(cfg))
    if not cfg.run.root:
        raise UserError("run.root is empty: it is the folder of all runs, such as outputs.")
    if cfg.run.restart:
        raise UserError(
            "run.restart=true is not for sweeps: a run that is continued would delete itself again. "
            "Choose another run.root, or delete the folders."
        )
    cfg.run.root = str(Path(cfg.run.root).resolve())
    if cfg.data.get("root") is not None:
        cfg.data.root = str(Path(cfg.data.root).resolve())
    return Planned(RunFolder.of(cfg).path.name, tuple(overrides), cfg)
