from __future__ import annotations

import io
import re
import sys
import types

import pytest

from hybrid.runs import console as module
from hybrid.runs.console import Console

TRAINING = {
    "train/loss": 1.25,
    "train/top1": 50.0,
    "train/lr": 0.1,
    "speed/images_per_second": 400.4,
    "speed/data_wait": 0.01,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """The console's clock: clock[0] = 7.0 makes it seven seconds."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    """terminal() puts one of 80 columns in the place of stdout; the test calls it, because pytest replaces stdout later."""

    def install() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        return stream

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return install


def test_without_a_terminal_it_prints_plain_lines(capsys):
    console = Console(total_steps=100, total_epochs=10)
    assert console.style == "lines"
    console.advance(9)
    console.scalars(10, 1.0, TRAINING)
    console.scalars(10, 1.0, {"validation/loss": 0.5, "validation/top1": 90.0, "validation/top5": 99.0})
    console.close()
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\r" not in out
    first, second = out.splitlines()
    assert first.startswith("epoch   1.00/10  step 10/100  loss 1.2500  accuracy 50.00 %  lr 0.1  400 images/s  left ")
    assert second == "epoch   1.00/10  step 10/100  validation loss 0.5000  validation accuracy 90.00 %"


@pytest.mark.parametrize(
    ("steps", "epochs", "end"), [(2, 2 / 11, "0.18/0.18"), (300, 1.5, "1.50/1.50"), (4, 4000000, "4000000.00/4000000")]
)
def test_a_broken_number_of_epochs_has_as_many_digits_as_the_epochs_done(capsys, steps, epochs, end):
    Console(total_steps=steps, total_epochs=epochs, style="lines").scalars(steps, epochs, TRAINING)
    assert f"{end}  step {steps}/{steps}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("start", "step", "seconds", "left"),
    [(0, 10, 20.0, "0:03:00"), (0, 100, 20.0, "0:00:00"), (90, 95, 10.0, "0:00:10"), (0, 1, 100.0, "2:45:00")],
)
def test_the_time_left_counts_this_sessions_steps_alone(capsys, clock, start, step, seconds, left):
    console = Console(total_steps=100, total_epochs=10, start_step=start, style="lines")
    clock[0] = seconds
    console.scalars(step, step / 10, TRAINING)
    assert re.search(r"left (\S+)$", capsys.readouterr().out.strip())[1] == left


def test_numbers_that_it_has_no_words_for_are_no_line(capsys):
    Console(total_steps=10, total_epochs=1, style="lines").scalars(1, 0.1, {"probe/depth_3": 1.0})
    assert capsys.readouterr().out == ""


def test_none_is_silent(capsys):
    console = Console(total_steps=10, total_epochs=1, style="none")
    console.scalars(1, 0.1, TRAINING)
    console.say("run folder here")
    assert capsys.readouterr().out == ""


def test_on_a_terminal_there_is_a_bar_with_the_latest_numbers_and_lines_above_it(terminal):
    stream = terminal()
    console = Console(total_steps=100, total_epochs=10, start_step=40)
    assert console.style == "bar"
    console.advance(49)
    console.scalars(50, 5.0, TRAINING)
    console.scalars(50, 5.0, {"validation/loss": 0.5, "validation/top1": 90.0})
    console.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "50/100" in plain and "loss 1.2500  accuracy 50.00 %  400 images/s" in plain
    assert "epoch   5.00/10  step 50/100  validation loss 0.5000  validation accuracy 90.00 %" in plain
    assert max(len(line) for line in re.split(r"[\r\n]", plain) if "left" in line) <= 80


def test_lines_may_be_asked_for_on_a_terminal(terminal):
    stream = terminal()
    console = Console(total_steps=100, total_epochs=10, style="lines")
    console.scalars(50, 5.0, TRAINING)
    console.close()
    assert "\x1b" not in stream.getvalue() and "step 50/100" in stream.getvalue()


def test_in_a_notebook_a_bar_is_drawn_in_the_cells_output(monkeypatch, capsys):
    """IPython is not a dependency: a kernel has it, and this stands in for one."""

    class ZMQInteractiveShell:
        pass

    pictures = []
    handle = types.SimpleNamespace(update=pictures.append)
    drawing = types.ModuleType("IPython.display")
    drawing.HTML, drawing.display = str, lambda picture, display_id: pictures.append(picture) or handle
    kernel = types.ModuleType("IPython")
    kernel.get_ipython, kernel.display = ZMQInteractiveShell, drawing
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", drawing)
    console = Console(total_steps=100, total_epochs=10)
    assert console.style == "bar"
    console.say("run folder <a>")
    console.scalars(100, 10.0, TRAINING)
    console.close()
    assert 'value="0" max="100"' in pictures[0] and 'value="100"' in pictures[-1]
    assert "100/100 loss 1.2500" in pictures[-1]
    assert capsys.readouterr().out == "run folder <a>\n"


def test_names_of_others_move_no_cursor(capsys):
    Console(total_steps=1, total_epochs=1, style="lines").say("class \x1b[2J\nnext line")
    assert capsys.readouterr().out == "class \\x1b[2J\nnext line\n"
