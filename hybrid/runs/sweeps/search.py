"""A search over configurations with Optuna: each trial is an ordinary run, judged by its validation images alone.

A search's folder is <run.root>/searches/NAME. It holds study.db (Optuna's SQLite file) and, for each run, the same files as a
sweep's folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.configuration.kept import as_kept
from hybrid.errors import UserError, first_line
from hybrid.files import write_text
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.sweeps.folder import SweepRun
from hybrid.runs.sweeps.job import Job, Jobs
from hybrid.runs.sweeps.plan import Planned, plan_run
from hybrid.runs.sweeps.search_space import Search
from hybrid.runs.sweeps.settings import check_name

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

_PAUSE = 0.2  # seconds between two looks at metrics.jsonl
_SETTINGS, _FOLDER = "hybrid", "folder"  # attributes of a study and of a trial


def run_search(search: Search, *, name: str | None, trials: int, tell: Callable[[str], None] = print) -> Study:
    """Run trials until the study has `trials` that are completed or pruned; return it.

    The same command continues: a trial that was cut off is tried again, and its run goes on from its checkpoint. Raises
    UserError if the folder holds another search or a trial's configuration is not valid.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = _folder(search, name)
    study = _open_study(search, folder)
    _try_again_what_was_cut_off(study)
    tell(str(folder))
    tell(f"{_count(study)} of {trials} trials are done")
    with contextlib.closing(Jobs(warm=True)) as jobs:
        if trials - _count(study) > 1:
            jobs.warm_up()
        _try_until(study, search, trials, folder=folder, jobs=jobs, tell=tell)
    return study


def _try_until(
    study: Study, search: Search, trials: int, *, folder: Path, jobs: Jobs, tell: Callable[[str], None]
) -> None:
    import optuna

    while _count(study) < trials:
        trial = study.ask(search.space)
        try:
            state, value, words = _run_trial(search, trial, folder, jobs)
        except UserError as error:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise UserError(f"trial {trial.number} ({_values(trial.params)}): {error}") from error
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
            raise
        study.tell(trial, value, state=state)
        tell(f"[{_count(study)}/{trials}] {state.name.lower()}: {_values(trial.params)}: {words}")
        _stop_if_nothing_works(study)


def _folder(search: Search, name: str | None) -> Path:
    check_name(name)
    root = plan_run([*search.fixed, *search.examples()]).cfg.run.root
    digest = hashlib.sha256(str(search.described()).encode()).hexdigest()[:8]
    return Path(root) / "searches" / (name or f"search-{digest}")


def _open_study(search: Search, folder: Path) -> Study:
    import optuna

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.db"
    try:
        study = _study_of(search, file)
        there, known = study.user_attrs.get(_SETTINGS), len(study.trials)
    except Exception as error:  # Optuna, SQLAlchemy and SQLite each have their own for a file that is damaged
        reason = first_line(error.__cause__ or error)
        raise UserError(
            f"{file} cannot be read as the study of a search ({reason}). Remove it to begin again: finished runs are found "
            "and not repeated. Or choose another name=…."
        ) from error
    if there is None and known:
        raise UserError(f"{file} holds a study of another program. Choose another name=….")
    if there is not None and there != search.described():
        changed = ", ".join(key for key, value in search.described().items() if there.get(key) != value)
        raise UserError(f"{folder} holds another search: {changed} differ. Choose another name=….")
    study.set_user_attr(_SETTINGS, search.described())
    # A sampler begins anew with each session: without this it would draw the first session's numbers again.
    study.sampler = optuna.samplers.TPESampler(seed=search.seed + known)
    return study


def _study_of(search: Search, file: Path) -> Study:
    import optuna

    return optuna.create_study(
        storage=f"sqlite:///{file.resolve()}",
        study_name="search",
        load_if_exists=True,
        direction=search.direction,
        sampler=optuna.samplers.TPESampler(seed=search.seed),
        pruner=_pruner(search.pruner),
    )


def _try_again_what_was_cut_off(study: Study) -> None:
    """Queue the trials of a process that has ended without a word to Optuna, which still calls them running."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _run_trial(search: Search, trial: Trial, folder: Path, jobs: Jobs) -> tuple[Any, float | None, str]:
    """Train one trial; report every validation to Optuna, which may stop it. Returns its state, value and a line of words."""
    from optuna.trial import TrialState

    planned = plan_run([*search.fixed, *(f"{name}={value}" for name, value in trial.params.items())])
    if not planned.cfg.data.get("validation"):
        raise UserError("data.validation=0: a search needs validation images.")
    trial.set_user_attr(_FOLDER, str(planned.folder.path))
    run = _prepare(planned, folder)
    while run.in_use:  # by what a killed search has left running
        time.sleep(_PAUSE)
    if planned.folder.finished:
        return TrialState.COMPLETE, _value(search, planned), "finished already"
    job = jobs.start(run)
    try:
        pruned = _watch(job, search, trial)
    finally:
        job.stop()
        job.process.wait()
    outcome = job.outcome()
    if pruned:
        return TrialState.PRUNED, None, "no longer promising"
    if outcome.state == "finished":
        value = _value(search, planned)
        return TrialState.COMPLETE, value, f"{search.metric} {value:.4g}"
    if outcome.state in ("stopped", "killed"):
        raise KeyboardInterrupt  # someone has stopped the run: the search stops too
    return TrialState.FAIL, None, outcome.words


def _watch(job: Job, search: Search, trial: Trial) -> bool:
    """Wait until the run ends. Returns True if it should be stopped as unpromising. A step is reported to Optuna once."""
    reported = -1
    while job.process.poll() is None:
        for record in read_metrics(job.run.folder.metrics):
            value = record.get(search.metric)
            if record["step"] > reported and value is not None:
                reported = record["step"]
                trial.report(value, reported)
                if trial.should_prune():
                    return True
        time.sleep(_PAUSE)
    return False


def _prepare(planned: Planned, folder: Path) -> SweepRun:
    config = folder / "configs" / f"{planned.name}.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, as_kept(planned.cfg))
    log = folder / "logs" / f"{planned.name}.log"
    return SweepRun(planned.name, planned.folder.path, planned.overrides, config, log)


def _value(search: Search, planned: Planned) -> float:
    """The metric of the weights that the run tests: the last, or with trainer.test_weights=best the best."""
    records = read_metrics(planned.folder.metrics)
    values = [record[search.metric] for record in records if record.get(search.metric) is not None]
    if not values:
        there = dict.fromkeys(name for record in records for name in record if name.startswith("validation/"))
        raise UserError(f"metric={search.metric} is not in {planned.folder.metrics}. There are: {', '.join(there)}.")
    if planned.cfg.trainer.test_weights == "best":
        return max(values) if search.direction == "maximize" else min(values)
    return values[-1]


def _stop_if_nothing_works(study: Study) -> None:
    trials = study.get_trials(deepcopy=False)
    if len(trials) >= 3 and all(trial.state.name == "FAIL" for trial in trials):
        raise UserError(
            f"the first {len(trials)} trials all failed; see error.txt in {trials[-1].user_attrs[_FOLDER]}."
        )


def _count(study: Study) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _pruner(name: str) -> Any:
    import optuna

    pruners = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "none": optuna.pruners.NopPruner,
    }
    return pruners[name]()


def _values(params: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in params.items())


def best_words(study: Study) -> list[str]:
    """The counts of trials, the best value with its settings, and the folder of that run."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False)
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    lines = [", ".join(f"{count} {state}" for state, count in counts.items())]
    if any(trial.state.name == "COMPLETE" for trial in trials):
        best = study.best_trial
        lines += [f"best: {best.value:.4g} with {_values(best.params)}", str(best.user_attrs[_FOLDER])]
    return lines
