"""The settings that a search varies and its metric: from a command line in Hydra's syntax to Optuna's distributions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from hybrid.configuration.combinations import parse_overrides
from hybrid.errors import UserError
from hybrid.runs.numbers import smaller_is_better

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


# They decide which images validate.
_JUDGES = {
    "data", "debug", "data.root", "data.validation", "data.split_seed", "data.test", "data.folds", "data.fold", "data.per_class",
    "data.pool", "trainer.max_evaluation_batches",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """The settings of a search.

    Attributes:
        fixed: overrides of all trials.
        space: setting -> Optuna's distribution of its values.
        metric: a name in metrics.jsonl that begins with "validation/".
        pruner: median, hyperband or none.
        higher_is_better: of the metric; None: as its name says.
    """

    fixed: tuple[str, ...]
    space: dict[str, BaseDistribution]
    metric: str
    pruner: str
    seed: int
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        if not self.metric.startswith("validation/"):
            raise UserError(
                f"metric={self.metric}: a search looks at the validation images alone; choose validation/top1 or validation/loss."
            )
        if not self.space:
            raise UserError("a search needs a setting to vary, such as 'optimizer.lr=tag(log,interval(0.01,1))'.")

        if judge := next((name for name in self.space if self._is_judge(name)), None):
            raise UserError(
                f"{judge} is varied, and it decides how {self.metric} is measured: trials could not be compared. Search with "
                "each of its values by itself."
            )

    def _is_judge(self, name: str) -> bool:
        """Whether a setting decides which images validate, or what the metric is."""
        of_loss = self.metric == "validation/loss" and (name == "loss" or name.startswith("loss."))
        return of_loss or name in _JUDGES or name.startswith("data.subset.")

    @property
    def direction(self) -> str:
        """Whether Optuna makes the metric as large or as small as it can."""
        higher = self.higher_is_better if self.higher_is_better is not None else not smaller_is_better(self.metric)
        return "maximize" if higher else "minimize"

    def examples(self) -> list[str]:
        """Overrides with one value of each setting, so that a configuration can be composed."""
        return examples(self.space)

    def described(self) -> dict[str, Any]:
        """The settings that must not change when a search is continued."""
        space = {name: repr(distribution) for name, distribution in sorted(self.space.items())}
        return {"fixed": sorted(self.fixed), "space": space, "metric": self.metric}


def examples(space: Mapping[str, BaseDistribution]) -> list[str]:
    """An override with one value of each setting."""
    firsts = {name: getattr(each, "choices", None) or (each.low,) for name, each in space.items()}
    return [f"{name}={values[0]}" for name, values in firsts.items()]


def split_space(arguments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, BaseDistribution]]:
    """Split a command line in Hydra's syntax into fixed overrides and the distributions of the varied settings.

    choice(a,b) or a,b: one of them. range(1,10) and int(interval(1,10)): whole numbers. interval(0.1,1): any number.
    tag(log, …) around one of the last two: uniform in the logarithm.
    """
    fixed, space = [], {}
    for override in parse_overrides(arguments):
        if override.is_sweep_override():
            space[override.get_key_element()] = _distribution(override)
        else:
            fixed.append(override.input_line)
    return tuple(fixed), space


def _distribution(override: Override) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    log = "log" in getattr(sweep, "tags", ())
    try:
        if isinstance(sweep, ChoiceSweep):
            return CategoricalDistribution([str(value) for value in override.sweep_string_iterator()])
        if isinstance(sweep, RangeSweep):
            values = list(sweep.range())
            if all(isinstance(value, int) for value in values):
                return IntDistribution(values[0], values[-1], step=abs(sweep.step), log=log)
            return FloatDistribution(values[0], values[-1], step=None if log else abs(sweep.step), log=log)
        if isinstance(sweep, IntervalSweep):
            whole = isinstance(sweep.start, int) and isinstance(sweep.end, int) and "int" in override.input_line
            kind = IntDistribution if whole else FloatDistribution
            return kind(sweep.start, sweep.end, log=log)
    except (ValueError, IndexError) as error:
        raise UserError(f"{override.input_line}: {error}") from error
    raise UserError(
        f"{override.input_line}: valid are a,b, choice(…), range(…), interval(…) and tag(log, …) around one."
    )
