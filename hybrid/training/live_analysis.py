"""Analysis while a network trains: when it is due, on which images, and where its results go."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from hybrid import distributed
from hybrid.analysis.measurements import Abandoned, Host
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration import build_record
from hybrid.data import Data
from hybrid.durations import Duration, interval
from hybrid.errors import PeerLost, first_line
from hybrid.files import write_atomically, write_text
from hybrid.runs import Tracker
from hybrid.runs.console import Console
from hybrid.training.data_analysis import DataImages, analyse_data

_SHARE = 0.05  # of the training time, for every=auto
# In forwards per image: a training step, where a fixed front-end is half of the forward; an analysis, with its measurements.
_STEP, _ANALYSIS = 2, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """When and how an analysis is made during training; configs/analysis/light.yaml says what each means."""

    every: Duration
    figures: Literal["last", "always", "never"]
    probe_split: Literal["validation", "test"]


def live_settings(cfg: DictConfig) -> tuple[LiveSettings, AnalysisSettings] | None:
    """The `analysis` section of a run's configuration, checked; None for analysis=none and analysis.every=null.

    What a recipe or debug=fast says of the analysis stands there with analysis=none, too.
    """
    values = OmegaConf.to_container(cfg.analysis, resolve=True)
    if cfg.choices.get("analysis") == "none" or values.get("every") is None:
        return None
    own = {field.name for field in dataclasses.fields(LiveSettings)}
    live = build_record(LiveSettings, {key: value for key, value in values.items() if key in own}, path="analysis")
    rest = {key: value for key, value in values.items() if key not in own}
    settings = build_record(AnalysisSettings, rest, path="analysis")
    if live.every != "auto":
        interval(live.every, path="analysis.every", steps_per_epoch=100, total_steps=1000)  # its form alone
    return live, settings


class LiveAnalysis:
    """Measures the model at some steps, logs the numbers, and writes analysis/step-N.npz and .csv into the run's folder.

    It draws from generators of its own and leaves the model as it was, so training with it and without it gives the same
    weights. An analysis that fails is reported and the training goes on.
    """

    def __init__(
        self,
        live: LiveSettings,
        settings: AnalysisSettings,
        *,
        data: Data,
        batch_size: int,
        device: torch.device,
        steps_per_epoch: int,
        total_steps: int,
        folder: Path,
        tracker: Tracker,
        console: Console,
        about: Mapping[str, Any],
    ) -> None:
        self.live, self.settings, self.data, self.device = live, settings, data, device
        self.batch_size, self.steps_per_epoch, self.total_steps = batch_size, steps_per_epoch, total_steps
        self.folder, self.tracker, self.console, self.about = folder, tracker, console, about
        self.every = self._interval()
        self._began, self._spent = time.monotonic(), 0.0
        self._said: set[str] = set()
        self._earlier: Analysis | None = None

    def due(self, step: int) -> bool:
        """Whether an analysis is to be made after this step: every so often, and at the end.

        With every=auto one is left out while those that were made took more than 5 % of the time: what the network and the
        machine cost cannot be known before.
        """
        if step == self.total_steps:
            return True
        if step % self.every:
            return False
        return self.live.every != "auto" or distributed.from_main(lambda: self.share <= _SHARE)

    @property
    def share(self) -> float:
        """The part of this session's time that went into analyses."""
        return self._spent / max(time.monotonic() - self._began, 1e-9)

    def __call__(self, step: int, model: nn.Module, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Analyse the model as it is after `step`; whether that is done with. Called by all ranks; the first one writes.

        It is not, and nothing is logged or written, where `should_stop` said yes on any rank: that of the others answers soon.
        """
        began = time.monotonic()
        try:
            analysis = self._measured(model, should_stop)
            if analysis is None:
                return False
            self._earlier = analysis
            if distributed.is_main():
                self._keep(step, analysis, began)
        except PeerLost:
            raise
        except Exception as error:  # whatever it is: hours of training are worth more than one measurement
            if distributed.is_main():
                write_text(self.folder / "error.txt", traceback.format_exc(), parents=False)
                warnings.warn(
                    f"the analysis at step {step} failed, training goes on: {first_line(error)[:200]}", stacklevel=2
                )
        finally:
            self._spent += time.monotonic() - began
        return True

    def _measured(self, model: nn.Module, should_stop: Callable[[], bool]) -> Analysis | None:
        """What all ranks have measured; None where one has abandoned it, whatever the others have made of that."""
        images = DataImages(
            data=self.data, test_split=self._probe_split, batch_size=self.batch_size, device=self.device
        )
        try:
            analysis = analyse_data(
                model, images, self.settings, earlier=self._earlier, host=Host(should_stop=should_stop)
            )
        except PeerLost:
            raise
        except Exception as error:
            if _any_rank(isinstance(error, Abandoned)):
                return None
            raise
        return None if _any_rank(False) else analysis

    def _keep(self, step: int, analysis: Analysis, began: float) -> None:
        names = list(self.data.class_names)
        analysis = analysis.with_about(**self.about, probe_split=self._probe_split, step=step, class_names=names)
        self._log(step, analysis, time.monotonic() - began)
        self._write(step, analysis)
        (self.folder / "error.txt").unlink(missing_ok=True)
        self._warn(step, analysis)

    @property
    def _probe_split(self) -> str | None:
        wanted = "probes" in self.settings.measures and self.live.probe_split in self.data.splits
        return self.live.probe_split if wanted else None

    def _interval(self) -> int:
        if self.live.every != "auto":
            lengths = {"steps_per_epoch": self.steps_per_epoch, "total_steps": self.total_steps}
            return interval(self.live.every, path="analysis.every", **lengths)
        trained = self.steps_per_epoch * self.batch_size
        images = min(self.settings.images or trained, trained) + self.settings.pair_images
        epochs = math.ceil(_ANALYSIS * images / (_SHARE * _STEP * trained))
        return epochs * self.steps_per_epoch

    def _log(self, step: int, analysis: Analysis, seconds: float) -> None:
        numbers = {
            f"analysis/{number}/{row['depth']:02d}_{row['layer']}": value
            for row in analysis.rows()
            for number, value in row.items()
            if number not in ("layer", "kind", "depth", "dimension")
        }
        self.tracker.scalars(step, step / self.steps_per_epoch, {**numbers, "speed/analysis_seconds": seconds})
        self.console.say(f"analysis  {_in_words(analysis.rows())}  {seconds:.1f} s")

    def _warn(self, step: int, analysis: Analysis) -> None:
        for problem in analysis.problems[:3]:
            if problem not in self._said:  # it will be the same at the next analysis
                warnings.warn(f"analysis at step {step}: {problem}", stacklevel=2)
                self._said.add(problem)

    def _write(self, step: int, analysis: Analysis) -> None:
        from hybrid.reports.analysis_figures import MAIN_FIGURES, analysis_figures
        from hybrid.reports.layer_table import layer_csv
        from hybrid.reports.style import pixels_of, write_png

        content, name = analysis.to_bytes(), f"step-{step}"
        write_atomically(self.folder / f"{name}.npz", lambda file: file.write(content), parents=False)
        write_text(self.folder / f"{name}.csv", layer_csv(analysis.rows()))
        last = step == self.total_steps
        if self.live.figures == "always" or (self.live.figures == "last" and last):
            for title, figure in analysis_figures({"": analysis}, only=MAIN_FIGURES, stacked=True).items():
                pixels = pixels_of(figure)  # drawing takes longest: once for both
                self.tracker.images(step, f"analysis/{title}", torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
                if last:
                    write_atomically(self.folder / f"{title}.png", lambda file, p=pixels: write_png(file, p))


def _any_rank(abandoned: bool) -> bool:
    return bool(distributed.max_later(int(abandoned))())


def _in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a reader of the console may want: how the first and the last layer compare."""
    first, last = rows[0], rows[-1]
    parts = []
    for number, words in (("boundary.nested_1", "boundary points"), ("classes.ratio", "within/between distance")):
        if number in first and number in last:
            unit = " %" if number.startswith("boundary") else ""
            parts.append(
                f"{words} {first[number]:.3g}{unit} in {first['layer']}, {last[number]:.3g}{unit} in {last['layer']}"
            )
    return "; ".join(parts) or f"{len(rows)} layers"
