"""One search: an Optuna study in a file, which a killed search goes on with to the trials it would have made.

The trials are told apart from those that were stopped: a trial that a kill interrupted is made again, with the same
settings, since what a trial tries depends on the finished ones before it and on the seed alone.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation.search_space import Dimension

if TYPE_CHECKING:
    import optuna

PRUNERS = ("median", "halving", "none")
SAMPLERS = ("tpe", "random")


@dataclasses.dataclass(frozen=True)
class Tried:
    """A finished trial.

    Attributes:
        number: among the finished ones, from 1.
        state: "complete"; "pruned", stopped early since others did better at that point; or "failed".
        value: inner value of the objective; None unless it is complete.
        settings: what was tried.
        reason: why it failed, otherwise empty.
        seconds: it took.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    reason: str
    seconds: float


# Number of a training epoch and its value; raises Optuna's TrialPruned, which ends the trial, where it is hopeless.
Report = Callable[[int, float], None]
# Number of the trial and its settings in, the value out.
Objective = Callable[[int, dict[str, Any], Report], float]


class TrialError(Exception):
    """Raised by an objective whose settings lead nowhere; the search notes why and goes on."""


def import_optuna() -> Any:
    """The module, quiet.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "pat-tune needs Optuna, which is not installed. Install it with: pip install 'pat_keras[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Storage:
    """The sqlite file of all studies of a tuning; closed when the block ends.

    Args:
        path: of the file, made if it is not there.

    Raises:
        RunError: if it is damaged.
    """

    def __init__(self, path: pathlib.Path) -> None:
        optuna = import_optuna()
        import sqlalchemy

        url = sqlalchemy.engine.URL.create("sqlite", database=str(path.resolve()))
        try:
            self.inner = optuna.storages.RDBStorage(url.render_as_string(hide_password=False))
        except (sqlalchemy.exc.DatabaseError, RuntimeError) as error:
            raise RunError(
                f"{path}: found a file that Optuna can't read ({str(error).splitlines()[0]}), expected the trials of "
                "this tuning. Start a new one under another --out."
            ) from None

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.remove_session()
        self.inner.engine.dispose()


@dataclasses.dataclass(frozen=True)
class Search:
    """How one study searches.

    Attributes:
        space: dimensions of the settings.
        first: settings to try first, of any of the dimensions.
        trials: finished ones in the end.
        sampler: one of SAMPLERS.
        pruner: one of PRUNERS.
        seed: of the sampler.
        maximize: whether a larger value is better.
    """

    space: Sequence[Dimension]
    first: dict[str, Any]
    trials: int
    sampler: str
    pruner: str
    seed: int
    maximize: bool

    def run(self, storage: Storage, name: str, objective: Objective) -> list[Tried]:
        """Make the trials that are not finished yet; all finished ones, in their order.

        Args:
            storage: of the trials.
            name: of the study in it.
            objective: may raise `TrialError`.
        """
        optuna = import_optuna()
        study = optuna.create_study(
            storage=storage.inner,
            study_name=name,
            direction="maximize" if self.maximize else "minimize",
            pruner=self._pruner(optuna),
            load_if_exists=True,
        )
        states = optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            study.tell(trial.number, state=states.FAIL)  # a kill stopped it
        while (number := len(_finished(study)) + 1) <= self.trials:
            study.sampler = self._sampler(optuna, number)
            if number == 1 and self.first and not study.get_trials(deepcopy=False, states=(states.WAITING,)):
                study.enqueue_trial(self.first)
            self._try(optuna, study, number, objective)
        return _finished(study)

    def _try(self, optuna: Any, study: optuna.Study, number: int, objective: Objective) -> None:
        trial = study.ask()
        settings = {dimension.name: dimension.suggest(trial) for dimension in self.space}
        started = time.perf_counter()

        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        value, reason = None, ""
        try:
            value = objective(number, settings, report)
        except optuna.TrialPruned:
            pass
        except TrialError as failure:
            reason = str(failure)
        # Kept before the trial is told, which ends it.
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
        trial.set_user_attr("reason", reason)
        state = optuna.trial.TrialState.COMPLETE if value is not None else optuna.trial.TrialState.PRUNED
        study.tell(trial, value, state=state)

    def _sampler(self, optuna: Any, number: int) -> Any:
        """A new one for each trial, so that what is tried does not depend on where a search was stopped."""
        seed = (self.seed * 1_000_003 + number) % 2**32
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        startup = min(10, max(3, self.trials // 4))
        return optuna.samplers.TPESampler(n_startup_trials=startup, constant_liar=False, seed=seed)

    def _pruner(self, optuna: Any) -> Any:
        if self.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
        if self.pruner == "halving":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3)
        return optuna.pruners.NopPruner()


def best_of(tried: Sequence[Tried], maximize: bool) -> Tried:
    """The complete trial with the best value; the earliest of equal ones.

    Raises:
        RunError: if none is complete.
    """
    complete = [trial for trial in tried if trial.value is not None]
    if not complete:
        reasons = sorted({trial.reason for trial in tried if trial.reason})
        raise RunError(
            f"Tuning: none of {len(tried)} trials was completed{': ' + reasons[0] if reasons else ''}. Search other "
            "values."
        )
    sign = -1 if maximize else 1
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def _finished(study: optuna.Study) -> list[Tried]:
    """Complete and pruned trials. Those that a kill stopped count as never made."""
    found: list[Tried] = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name not in ("COMPLETE", "PRUNED"):
            continue
        reason = trial.user_attrs.get("reason", "")
        state = "failed" if reason else trial.state.name.lower()
        value = trial.value if trial.state.name == "COMPLETE" else None
        seconds = trial.user_attrs.get("seconds", 0.0)
        found.append(Tried(len(found) + 1, state, value, dict(trial.params), reason, seconds))
    return found
