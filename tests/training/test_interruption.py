from __future__ import annotations

import os
import signal

import pytest

from hybrid.runs.tracker import SilentSink, Tracker
from hybrid.training.interruption import Interruption


def test_the_second_ctrl_c_interrupts_and_the_third_signal_ends_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert ended == [128 + signal.SIGUSR1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_is_a_signal_unless_nohup_ignores_it(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.signal == (None if ignored else signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sinks_are_not_waited_for_after_an_interruption():
    class Waiting(SilentSink):
        closed = False

        def close(self):
            self.closed = True

        def abandon(self):
            pass

    class Simple(Waiting):
        def abandon(self):
            SilentSink.abandon(self)

    for error, closed in ((KeyboardInterrupt, [False, True]), (ValueError, [True, True])):
        sinks = [Waiting(), Simple()]
        with pytest.raises(error), Tracker(*sinks):
            raise error
        assert [sink.closed for sink in sinks] == closed
