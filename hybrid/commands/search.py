"""Search over configurations with Optuna: trials are ordinary runs, judged by their validation images.

    hybrid search trials=20 model=scat_linear 'optimizer.lr=tag(log,interval(0.01,1))'
    hybrid search trials=40 name=wide data=cifar10 model=scat_wrn optimizer=sgd,adamw 'model.head.k=range(2,9,2)'

The options below may stand anywhere. Everything else is as `hybrid train` takes it, with the values to try as choices (a,b or
choice(a,b)), range(1,10), interval(0.1,1), int(interval(1,10)), and tag(log,…) around one for a logarithmic scale. The same
command continues a search that was stopped; a larger trials= goes on with a finished one. Trials that look bad on the
validation images are stopped early (pruner=). The test images decide nothing.

Needs pip install 'hybrid-scattering[search]'.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from hybrid.configuration.arguments import help_text, option, parse
from hybrid.configuration.entry import guarded
from hybrid.configuration.hydra_arguments import config_folders_apart
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:
    from hybrid.runs.sweeps.search_space import Search


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line, beside the settings of training."""

    trials: int = option("trials, over all sessions; failed ones are not counted")
    name: str | None = option(
        "the search's folder in run.root/searches; null: a name that the command gives", default=None
    )
    metric: str | None = option(
        "a name in metrics.jsonl, of the validation images; null: validation/top1, of labels validation/average_precision, of "
        "values validation/mean_absolute_error",
        default=None,
    )
    pruner: Literal["median", "hyperband", "none"] = option("when to stop a trial early", default="median")
    sampler_seed: int = option("of Optuna's sampler", default=0)

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UserError(f"trials={self.trials} is not valid: it must be at least 1.")


def search(arguments: Sequence[str] | None = None) -> NoReturn:
    """Read the command line, run the search, end the process."""
    given, folders = config_folders_apart(sys.argv[1:] if arguments is None else arguments)
    if any(flag in ("--help", "-h") for flag in given):
        sys.exit(guarded(lambda: print(help_text(Options, __doc__))))
    own = [text for text in given if text.split("=")[0] in {field.name for field in fields(Options)}]
    others = [text for text in given if text not in own]
    sys.exit(guarded(functools.partial(_search, own, others), overrides=others, folders=folders))


def _higher_is_better(search: Search) -> bool | None:
    """Whether more is better of the metric, as it says itself; None of a number that a callback may log.

    Raises UserError, before any trial, for a metric that an evaluation of these runs does not have. Numbers that callbacks log
    are shown by a trial alone.
    """
    from hybrid.configuration.composition import composed
    from hybrid.configuration.from_config import data_from
    from hybrid.objective.objective import objective_of

    cfg = composed([*search.fixed, *search.examples()])
    data = data_from(cfg.data, cfg.augmentation, seed=cfg.seed)
    data.prepare()
    numbers = objective_of(cfg, data).numbers
    name = search.metric.removeprefix("validation/")
    if name not in numbers and not cfg.callbacks:
        valid = ", ".join(f"validation/{name}" for name in numbers)
        raise UserError(
            f"metric={search.metric} is not measured by these runs. Valid: {valid}. metrics=[…] adds others."
        )
    return numbers.get(name)


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """SIGTERM leaves by SystemExit, so that the trial's process ends with this one."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _search(own: Sequence[str], others: Sequence[str]) -> None:
    options = parse(Options, own)
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError("a search needs optuna: pip install 'hybrid-scattering[search]'.") from None
    from hybrid.runs.sweeps.search import best_words, run_search
    from hybrid.runs.sweeps.search_space import Search, examples, split_space

    fixed, space = split_space(others)
    metric = options.metric or _usual_metric([*fixed, *examples(space)])
    what = Search(fixed=fixed, space=space, metric=metric, pruner=options.pruner, seed=options.sampler_seed)
    what = replace(what, higher_is_better=_higher_is_better(what))
    with _exit_on_sigterm():
        study = run_search(what, name=options.name, trials=options.trials, tell=say)
    say(*best_words(study))


def _usual_metric(overrides: Sequence[str]) -> str:
    """The number of the validation images that says how good a run of these data is."""
    from hybrid.configuration.from_config import data_from
    from hybrid.runs.numbers import main_number
    from hybrid.runs.sweeps.plan import plan_run

    cfg = plan_run(overrides).cfg
    return f"validation/{main_number(data_from(cfg.data, cfg.augmentation, seed=0).source.task)}"
