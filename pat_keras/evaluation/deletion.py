"""The deletion test: does hiding the hours that an explanation names change the prediction more than random ones do?

Axes: B windows, T minutes, U hours of the window, n people, R random draws.

An explanation that names hours no better than chance explains nothing, however plausible its picture; attention alone
is none (Jain and Wallace, NAACL 2019). So its number goes with every picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pat_keras.errors import ConfigError
from pat_keras.evaluation import bootstrap
from pat_keras.evaluation.clock import Clock, total_by
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.evaluation.metrics import by_participant
from pat_keras.models.predictor import Predictor

# Fewer have no interval: where hours are named by chance, that of two people would be above 0 once in five times.
LEAST_PEOPLE = 6


@dataclasses.dataclass(frozen=True)
class Changes:
    """What hiding did to each window's score, without sign.

    Attributes:
        named: (B,) of the hours that the explanation names.
        random: (B,) mean over draws of as many random hours.
    """

    named: np.ndarray
    random: np.ndarray


@dataclasses.dataclass(frozen=True)
class Deletion:
    """The deletion test over people, whose windows are averaged; intervals of 95 % by bootstrap over people.

    Attributes:
        n: people.
        share: of the known hours that were hidden.
        draws: R of random hours.
        named: mean change of the score.
        random: mean change of the score by random hours.
        difference: named - random, with `difference_low` and `difference_high`; None for fewer than 6 people.
        ratio: named / random, with its ends; None where nothing changes.
        people_share: of the people, those in whom the named hours change the score more.
    """

    n: int
    share: float
    draws: int
    named: float
    random: float
    difference: float
    difference_low: float | None
    difference_high: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    people_share: float

    @property
    def passed(self) -> bool:
        """Whether the interval of the difference is above 0; false where there is none."""
        return self.difference_low is not None and self.difference_low > 0

    @property
    def verdict(self) -> str:
        """Whether the named hours matter more than random ones, in words."""
        if self.difference_low is None:
            return "too few people to tell from chance"
        return "more than chance" if self.passed else "no better than chance"

    def words(self) -> str:
        """One line for a picture."""
        if self.ratio is None:
            return f"Deletion test: hiding hours does not change this prediction (n = {self.n})."
        limits = "" if self.ratio_low is None else f" ({self.ratio_low:.2f} to {self.ratio_high:.2f})"
        return (
            f"Deletion test: hiding the {100 * self.share:g} % of hours named here changes the score "
            f"{self.ratio:.2f}{limits} times as much as random hours, n = {self.n}: {self.verdict}."
        )


def deletion_changes(
    model: ExplainedModel | Predictor | Sequence[Predictor],
    x: np.ndarray,
    importances: Mapping[str, np.ndarray],
    clock: Clock | None = None,
    classes: np.ndarray | None = None,
    share: float = 0.1,
    draws: int = 20,
    seed: int = 0,
) -> dict[str, Changes]:
    """Hide the most important hours of each window, and random ones, and see how far the score moves.

    Args:
        model: the model that was explained.
        x: (B, T) minutes, NaN = missing, for models that know it.
        importances: by the name of the explanation, (B, U): how much each hour of the window matters to it, without
            sign. Hours of equal importance are taken in random order.
        clock: of the windows; from midnight by the minute if None.
        classes: (B,) whose log-odds, of a multi-class task; the most probable one if None.
        share: of the hours with known minutes, to be hidden; at least one.
        draws: R of as many random hours with known minutes.
        seed: of the draws.

    Raises:
        ConfigError: if x or the importances do not fit, the share is not between 0 and 1, or draws is less than 1.

    Example:
        >>> import numpy as np
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> guess = np.random.default_rng(0).random((4, 24))  # an explanation that knows nothing
        >>> changes = pat.deletion_changes(model, weeks, {"guess": guess}, draws=2)
        >>> changes["guess"].named.shape
        (4,)
    """
    view, clock = ExplainedModel.of(model), clock or Clock(np.shape(x)[1])
    _check(x, importances, clock, share, draws)
    classes = view.classes(x) if classes is None else classes
    rng = np.random.default_rng(seed)
    known = total_by(~np.isnan(x), clock.hour) > 0  # (B, U)
    score = view.score(x, classes=classes)

    def change(importance: np.ndarray) -> np.ndarray:
        hours = _highest(importance, known, share, rng)
        return np.abs(score - view.score(x, hours[:, clock.hour], classes))

    random = np.mean([change(np.zeros(known.shape)) for _ in range(draws)], axis=0)
    return {name: Changes(change(importance), random) for name, importance in importances.items()}


def deletion_test(
    changes: Changes, participant_id: np.ndarray | None = None, share: float = 0.1, draws: int = 20, seed: int = 0
) -> Deletion:
    """The changes of all windows as one result over people.

    Args:
        changes: of `deletion_changes`.
        participant_id: (B,) whose window it is; each another person's if None.
        share: as it was for the changes.
        draws: as they were.
        seed: of the bootstrap over people.

    Example:
        >>> import numpy as np
        >>> import pat_keras as pat
        >>> from pat_keras.evaluation.deletion import Changes
        >>> changes = Changes(named=np.array([0.9, 1.1, 1.0] * 2), random=np.array([0.4, 0.5, 0.6] * 2))
        >>> found = pat.deletion_test(changes)
        >>> round(found.ratio, 2), found.passed  # named hours matter twice as much as random ones
        (2.0, True)
    """
    count = len(changes.named)
    ids = np.arange(count).astype(str) if participant_id is None else participant_id
    moved = by_participant(ids, np.zeros(count), np.stack([changes.named, changes.random], axis=1)).score  # (n, 2)
    named, random = moved.mean(axis=0)

    def statistics(drawn: np.ndarray) -> dict[str, np.ndarray]:
        totals = drawn @ moved / drawn.sum(axis=1, keepdims=True)
        ratio = np.divide(totals[:, 0], totals[:, 1], out=np.full(len(totals), np.nan), where=totals[:, 1] > 0)
        return {"difference": totals[:, 0] - totals[:, 1], "ratio": ratio}

    limits: dict[str, tuple[float | None, float | None]] = {"difference": (None, None), "ratio": (None, None)}
    if len(moved) >= LEAST_PEOPLE:
        resampled = bootstrap.distribution(statistics, np.zeros(len(moved)), seed=seed)
        limits = {name: bootstrap.interval(values) or (None, None) for name, values in resampled.items()}
    return Deletion(
        len(moved), share, draws, float(named), float(random), float(named - random), *limits["difference"],
        float(named / random) if random > 0 else None, *limits["ratio"],
        float((moved[:, 0] > moved[:, 1]).mean()),
    )  # fmt: skip


def importance_by_hour(minutes: np.ndarray, clock: Clock) -> np.ndarray:
    """(B, U) how much an hour matters: the sum of its minutes' weights or attributions (B, T), without sign."""
    return np.abs(total_by(np.nan_to_num(minutes), clock.hour))


def _highest(importance: np.ndarray, known: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(B, U) true for the most important of each window's known hours, `share` of them."""
    order = np.lexsort((rng.random(known.shape), -importance, ~known), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(known.shape[1])[None], axis=1)
    return (rank < np.maximum(1, np.rint(share * known.sum(axis=1)))[:, None]) & known


def _check(x: np.ndarray, importances: Mapping[str, np.ndarray], clock: Clock, share: float, draws: int) -> None:
    if not 0 < share < 1 or draws < 1:
        raise ConfigError(f"Deletion test: share is {share} and draws {draws}; expected 0 < share < 1, and some draws.")
    for name, importance in importances.items():
        if importance.shape != (len(x), clock.n_hours):
            raise ConfigError(
                f"Deletion test: the importances of {name} have the shape {importance.shape}, expected "
                f"{(len(x), clock.n_hours)}, a number for each hour of each window."
            )
