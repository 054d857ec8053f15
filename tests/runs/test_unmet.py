"""A finished run says which requests of the same command it has not met, and the command that meets them."""

from __future__ import annotations

import pytest

from hybrid.configuration.composition import compose
from hybrid.runs.unmet import unmet

BASE = ["analysis=light", "trainer.tensorboard=false"]
AGAIN = "run.restart=true runs it again, to the same results"


def lines(tmp_path, *asked, had=BASE):
    return unmet(compose([*had]), compose([*had, *asked]), path=tmp_path / "run")


@pytest.mark.parametrize(
    "asked", [[], ["analysis=none"], ["trainer.device=cpu", "trainer.progress=none"], ["trainer.keep_best=1"]], ids=str
)
def test_what_asks_for_nothing_more_is_met(tmp_path, asked):
    assert lines(tmp_path, *asked) == []


def test_an_analysis_is_made_by_the_command_that_is_named(tmp_path):
    (line,) = lines(tmp_path, "analysis=full", "analysis.images=500", "analysis.measures=[boundary,spectra]")
    command = f"hybrid analyze run={tmp_path}/run preset=full measures=boundary,spectra images=500"
    assert line == f"not met: analysis=full (the run has analysis=light): {command}"
    (line,) = lines(tmp_path, "analysis=light", had=["analysis=none"])
    assert (
        line == f"not met: analysis=light (the run has analysis=none): hybrid analyze run={tmp_path}/run preset=light"
    )
    (tmp_path / "run/analysis/full").mkdir(parents=True)
    assert lines(tmp_path, "analysis=full") == []


def test_records_need_the_run_again(tmp_path):
    asked = ["trainer.tensorboard=true", "trainer.keep_best=3", "trainer.log_every=1 step"]
    settings = "trainer.tensorboard=true, trainer.keep_best=3, trainer.log_every='1 step'"
    assert lines(tmp_path, *asked) == [f"not met: {settings}: {AGAIN}"]
    assert lines(tmp_path, "analysis.every=1 epoch") == [f"not met: analysis.every=1 epoch: {AGAIN}"]


def test_a_finished_run_prints_them(train, capsys):
    train()
    capsys.readouterr()
    train("trainer.keep_best=2", "analysis=full")
    out = capsys.readouterr().out
    assert "finished already" in out and "preset=full" in out and "trainer.keep_best=2" in out


def test_another_logger_is_among_them(tmp_path):
    assert lines(tmp_path, "loggers=[tensorboard,csv]") == [f"not met: loggers=[csv]: {AGAIN}"]
    assert lines(tmp_path, "loggers=[]") == []
