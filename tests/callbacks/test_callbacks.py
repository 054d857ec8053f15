from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from fixtures.training import power_cut

import hybrid
from hybrid.callbacks.callbacks import EVENTS, CallbackError, Callbacks, callbacks_from, note
from hybrid.configuration.entry import guarded
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.run import run


@dataclasses.dataclass
class Noise:
    """Draws from a generator of its own in every step, and moves the weights by it; its state must survive a resume."""

    size: float = 1e-3

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(7)

    def on_step(self, session) -> None:
        with torch.no_grad():
            for parameter in session.state.model.parameters():
                parameter += self.size * torch.randn(parameter.shape, generator=self.generator)

    def state_dict(self):
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state) -> None:
        self.generator.set_state(state["generator"])


class Diary:
    observer = True

    def __init__(self) -> None:
        self.lines = []


def _entry(event):
    def hook(self, *arguments):
        session = arguments[0]
        step = session.state.step if hasattr(session, "state") else None
        more = [each for each in arguments[1:] if isinstance(each, str)]
        self.lines.append((event, step, *more))

    return hook


for each in EVENTS:
    setattr(Diary, each, _entry(each))


def weights(folder):
    return checkpoint.load(folder.checkpoints / "last.pt")["model"]


def test_the_events_come_in_the_order_of_the_protocol(train):
    diary = Diary()
    folder = train("trainer.duration=2 epochs", "trainer.evaluate_every=1 epoch", callbacks=[diary])
    steps = [step for event, step, *_ in diary.lines if event == "on_step"]
    assert steps == [1, 2, 3, 4] or steps == list(range(1, folder.read_summary()["steps"] + 1))
    last = steps[-1]
    assert diary.lines[:2] == [("on_setup", None), ("on_fit_start", 0)]
    assert diary.lines[-6:] == [
        ("on_evaluation", last, "validation"),
        ("on_epoch_end", last),
        ("on_checkpoint", last),
        ("on_fit_end", last),
        ("on_evaluation", last, "test"),
        ("on_end", last),
    ]
    assert {event for event, *_ in diary.lines} == set(EVENTS)


def test_a_callback_with_a_state_resumes_bit_identical_and_has_a_folder_of_its_own(train, tiny, tmp_path):
    plain = train(root=tmp_path / "runs")
    whole = train(root=tmp_path / "runs", callbacks=[Noise()])
    other = RunFolder.of(note(tiny(root=tmp_path / "runs"), [Noise(size=0.1)]))
    assert len({plain.path, whole.path, other.path}) == 3
    with pytest.raises(CallbackError, match="power"):
        train(root=tmp_path / "parts", callbacks=[Noise(), power_cut(5)])
    parts = train(root=tmp_path / "parts", callbacks=[Noise()])
    assert parts.path.name == whole.path.name
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(whole).items())
    assert not all(torch.equal(value, weights(plain)[name]) for name, value in weights(whole).items())


def test_a_class_path_with_its_settings_on_the_command_line_is_the_object_given_in_python(
    train, tiny, tmp_path, monkeypatch
):
    (tmp_path / "my_hooks.py").write_text(
        "class Halt:\n"
        "    def __init__(self, *, at: int = 2):\n"
        "        self.at = at\n"
        "    def on_step(self, session):\n"
        "        if session.state.step == self.at:\n"
        "            session.end_run('enough')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = train("callbacks=[{_target_: my_hooks.Halt, at: 3}]", "trainer.log_every=4 steps")
    assert folder.read_summary()["ended"] == {"step": 3, "reason": "enough"}
    assert folder.read_summary()["steps"] == 3 and folder.read_summary()["epochs"] == 1
    records = read_metrics(folder.metrics)
    assert [r["step"] for r in records if "train/loss" in r] == [3]  # the last step is logged, and evaluated
    assert [r["step"] for r in records if "validation/loss" in r] == [3]
    assert [r["step"] for r in records if "test/loss" in r] == [3]


def test_an_error_in_a_callback_names_it_and_keeps_its_traceback(train, tiny):
    class Broken:
        observer = True

        def on_evaluation(self, session, split, numbers):
            numbers["top2"]

    words = r"the callback .*Broken failed in on_evaluation at step 3: KeyError: 'top2'"
    with pytest.raises(CallbackError, match=words) as caught:
        train(callbacks=[Broken()])
    assert isinstance(caught.value.__cause__, KeyError)
    assert 'numbers["top2"]' in RunFolder.of(tiny()).error.read_text()


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        ("early_stoping", r"callbacks=early_stoping is not a list: write callbacks=\[early_stoping\]"),
        ("[early_stoping]", r"unknown name in callbacks: early_stoping. Did you mean early_stopping\?.*class path"),
        (
            "[{early_stopping: {patince: 3 epochs}}]",
            r"unknown key in callbacks.early_stopping: patince. Did you mean patience",
        ),
        ("[{early_stopping: {patience: 3}}]", r"callbacks.early_stopping.patience: 3 is not text|a number and a unit"),
        ("[{early_stopping: {patience: 100 epochs}}]", "has no effect: the whole run has 6 steps"),
        ("[{early_stopping: {metric: loss, mode: max}}]", "metric=loss goes with mode=min"),
        ("[{early_stopping: {metric: f1}}]", "unknown metric in callbacks.early_stopping: f1.*Valid: loss, top1"),
        ("[fractions.Fraction]", "has none of the events"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, capsys, callbacks, words):
    cfg = tiny(f"callbacks={callbacks}")
    assert guarded(lambda: run(cfg)) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not RunFolder.of(cfg).path.exists()


def test_an_event_that_does_not_exist_and_a_state_that_cannot_be_kept_are_refused():
    class Typo:
        def on_stpe(self, session): ...

    class Keeper:
        def on_step(self, session): ...

        def state_dict(self):
            return {"all": {1, 2}}

    with pytest.raises(UserError, match="unknown event in the callback .*Typo: on_stpe. Did you mean on_step"):
        Callbacks([Typo()])
    with pytest.raises(UserError, match="is a class, and an object is wanted"):
        Callbacks([Keeper])
    with pytest.raises(UserError, match="Keeper keeps a set in its state_dict"):
        Callbacks([Keeper()]).state_dict()


def test_no_callbacks_change_nothing(tiny):
    assert RunFolder.of(tiny()).path == RunFolder.of(tiny("callbacks=[]")).path
    assert RunFolder.of(note(tiny(), [Diary()])).path == RunFolder.of(tiny()).path
    assert not callbacks_from(None)


def test_hybrid_train_takes_them(command_line, tmp_path):
    diary = Diary()
    assert hybrid.train(*command_line(root=tmp_path), callbacks=[diary]).finished
    assert diary.lines[-1] == ("on_end", 6)
