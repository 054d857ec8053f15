"""Analysis while a network trains: when it is due, on which images, and where its results go."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from hybrid import distributed
from hybrid.analysis.measurements import Abandoned, Host
from hybrid.analysis.result import DESCRIPTION, Analysis
from hybrid.errors import PeerLost, first_line
from hybrid.files import write_atomically, write_text
from hybrid.training.analysis.data import DataImages, analyse_data
from hybrid.training.plan import AnalysisPlan

if TYPE_CHECKING:
    from hybrid.training.session import Session


class LiveAnalysis:
    """Measures the model at some steps, logs the numbers, and writes analysis/step-N.npz and .csv into the run's folder.

    It draws from generators of its own and leaves the model as it was, so training with it and without it gives the same
    weights. An analysis that fails is reported and the training goes on.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan: AnalysisPlan = session.plan.analysis
        self.folder = session.folder.analysis
        self._began, self._spent = time.monotonic(), 0.0
        self._said: set[str] = set()
        self._earlier: Analysis | None = None
        if distributed.is_main():
            self._forget_after(session.state.step)

    def due(self, step: int) -> bool:
        """Whether an analysis is to be made after this step: every so often, and at the end.

        With every=auto one is left out while the analyses of this session took more than 5 % of its time: how long they take
        depends on the network and the machine.
        """
        plan, ends = self.plan, self.session.at_the_end
        if not (ends or plan.due(step)):
            return False
        return ends or plan.most is None or distributed.from_main(lambda: self.share <= plan.most)

    @property
    def share(self) -> float:
        """The part of this session's time that went into analyses."""
        return self._spent / max(time.monotonic() - self._began, 1e-9)

    def __call__(self, step: int, model: nn.Module, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Analyse the model and log the results. All ranks call this; the first one writes.

        Returns False, having written nothing, if `should_stop` said yes on any rank, which that of the others soon says, too.
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

    def _forget_after(self, step: int) -> None:
        """Delete what is later than the checkpoint that the run goes on from: it will be made again."""
        for path in self.folder.glob("step-*"):
            if path.stem[5:].isdecimal() and int(path.stem[5:]) > step:
                path.unlink()

    def _measured(self, model: nn.Module, should_stop: Callable[[], bool]) -> Analysis | None:
        """The measurements of all ranks; None if a rank has abandoned them, whether or not the others came to their end."""
        plan = self.session.plan
        images = DataImages(
            data=self.session.data,
            test_split=self._probe_split,
            batch_size=plan.trainer.batch_size,
            device=plan.device,
        )
        try:
            analysis = analyse_data(
                model, images, self.plan.settings, earlier=self._earlier, host=Host(should_stop=should_stop)
            )
        except PeerLost:
            raise
        except Exception as error:
            if _any_rank(isinstance(error, Abandoned)):
                return None
            raise
        return None if _any_rank(False) else analysis

    def _keep(self, step: int, analysis: Analysis, began: float) -> None:
        plan, data = self.session.plan, self.session.data
        about = {"model": plan.model, "data": data.name, "seed": plan.seed, "class_names": list(data.class_names)}
        analysis = analysis.with_about(**about, split="train", probe_split=self._probe_split, step=step)
        self._log(step, analysis, time.monotonic() - began)
        self._say_split()
        self._write(step, analysis)
        (self.folder / "error.txt").unlink(missing_ok=True)
        self._warn(step, analysis)

    @property
    def _probe_split(self) -> str | None:
        """The split that probes are tested on; None: no probes.

        Without validation images it is the test images, as published, but at the end of the run alone.
        """
        if "probes" not in self.plan.settings.measures:
            return None
        wanted = self.plan.live.probe_split
        if wanted in self.session.data.splits:
            return wanted
        return "test" if self.session.at_the_end else None

    def _log(self, step: int, analysis: Analysis, seconds: float) -> None:
        numbers = {
            f"analysis/{number}/{row['depth']:02d}_{row['layer']}": value
            for row in analysis.rows()
            for number, value in row.items()
            if number not in DESCRIPTION
        }
        numbers["speed/analysis_seconds"] = seconds
        self.session.tracker.scalars(step, self.session.epoch, numbers)
        self.session.console.say(f"analysis  {analysis.in_words()}  {seconds:.1f} s")

    def _say_split(self) -> None:
        split, wanted = self._probe_split, self.plan.live.probe_split
        if split is not None and split != wanted and split not in self._said:
            self._said.add(split)
            self.session.console.say(f"analysis  probes are tested on the {split} images: there are no {wanted} images")

    def _warn(self, step: int, analysis: Analysis) -> None:
        for problem in analysis.problems[:3]:
            if problem not in self._said:  # it will be the same at the next analysis
                warnings.warn(f"analysis at step {step}: {problem}", stacklevel=2)
                self._said.add(problem)

    def _write(self, step: int, analysis: Analysis) -> None:
        from hybrid.reports.analysis_figures import MAIN_FIGURES, analysis_figures
        from hybrid.reports.layer_table import layer_csv
        from hybrid.reports.style import pixels_of, save_figure, write_png

        write_text(self.folder / f"step-{step}.csv", layer_csv(analysis.rows()), parents=False)
        last, figures = self.session.at_the_end, self.plan.live.figures
        if figures == "always" or (figures == "last" and last):
            formats = self.plan.live.formats
            for title, figure in analysis_figures({"": analysis}, only=MAIN_FIGURES, stacked=True).items():
                pixels = pixels_of(figure)  # drawing takes longest: once for TensorBoard and the png
                shown = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
                self.session.tracker.figure(step, f"analysis/{title}", figure, drawn=shown)
                if last and "png" in formats:
                    write_atomically(self.folder / f"{title}.png", lambda file, p=pixels: write_png(file, p))
                if last and (drawn := [each for each in formats if each != "png"]):
                    save_figure(figure, self.folder / title, drawn)
        content = analysis.to_bytes()
        # last of all: a run that goes on from this step makes the analysis again if they are not there
        write_atomically(self.session.folder.analysis_of(step), lambda file: file.write(content), parents=False)


def _any_rank(abandoned: bool) -> bool:
    return bool(distributed.max_later(int(abandoned))())
