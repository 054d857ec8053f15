"""What a run's settings and the file system say by themselves, checked before torch is loaded, which takes seconds.

The run checks everything again, with what is known by then. A mistake that is found here is answered in half a second.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import hybrid.data
from hybrid.callbacks.callbacks import CALLBACKS
from hybrid.configuration import build_record
from hybrid.configuration.from_config import DataSettings
from hybrid.configuration.instantiate import sections_of
from hybrid.configuration.output_paths import check_folder
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError
from hybrid.objective.metrics import read_metrics
from hybrid.runs.folder import RunFolder
from hybrid.training.settings import FolderSettings, check_seed, read_sections, with_absolute_root


def check_run(cfg: DictConfig) -> None:
    """Check the configuration of a run. Raises UserError for what cannot become one.

    A run that was begun needs neither its data nor its first weights to be told finished, so no files are looked for.
    Several ranks check together (`hybrid.training.run`), as a folder may be missing on one machine alone.
    """
    if Launch.read().size > 1:
        return
    with _in_silence():
        read_sections(cfg)
        sections_of(cfg.get("callbacks"), path="callbacks", names=CALLBACKS)
        _check_metrics(cfg.get("metrics") or [])
        if _check_folders(cfg) and cfg.run.init_from is not None:
            check_weights(Path(str(cfg.run.init_from)), given="run.init_from")


def check_classifier(cfg: DictConfig) -> None:
    """Check the configuration of a classifier on fixed coefficients, as `check_run` does that of a training."""
    if Launch.read().size == 1:
        with _in_silence():
            build_record(FolderSettings, cfg.run, path="run")
            check_seed(cfg)
            _check_folders(cfg)


def _check_metrics(entries: Any) -> None:
    """Check the names of metrics; the user's own are imported later."""
    listed = isinstance(entries, Sequence) and not isinstance(entries, str)
    read_metrics([each for each in entries if isinstance(each, str) and "." not in each] if listed else entries)


def _check_folders(cfg: DictConfig) -> bool:
    """Check the data, and where the run is new, that their files and a place for the run are there; whether it is new."""
    cfg = with_absolute_root(cfg)
    folder = RunFolder.of(cfg)
    new = bool(cfg.run.restart) or not folder.config.is_file()
    _check_data(cfg, look_for_files=new)
    if new:
        check_folder("run.root", str(folder.path.parent))
    return new


def _check_data(cfg: DictConfig, *, look_for_files: bool) -> None:
    """Check the sections `data` and `augmentation`. No data set of a class of the user's own is made for it."""
    settings = DataSettings.of(cfg.data, cfg.augmentation)
    if not str(settings.source.get("_target_")).startswith("hybrid."):
        return
    source = settings.make_source()
    if look_for_files:
        source.look_for_files()
    if not source.reads_shape:
        hybrid.data.build(source, **settings.options, seed=OmegaConf.select(cfg, "seed") or 0)


def check_weights(source: Path, *, given: str) -> None:
    """Raises UserError where there is no such file, and no folder of a run with a checkpoint."""
    if source.is_dir():
        if not any((source / "checkpoints").glob("*.pt")):
            raise UserError(f"{given}={source} has no checkpoint.")
    elif not source.is_file():
        raise UserError(f"{given}: there is no checkpoint {source}.")


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """A context in which nothing is warned of: the run will say it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
