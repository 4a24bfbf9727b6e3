"""What pretraining reads: cohorts, each scaled by itself, mixed in stated proportions; and whom it is held against.

Axes: B windows, T minutes, N patches, S steps of a training epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pat_keras.config import PretrainConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError

DAY_MINUTES = 24 * 60


@dataclasses.dataclass(frozen=True)
class Source:
    """The people of one cohort.

    Attributes:
        name: of the cohort, for messages and results.
        train: (B, T) raw minutes of those to learn from, NaN = missing.
        validation: (B, T) of people held out.
        share: of the windows of a training epoch that come from this cohort, in any unit; None for its number of
            training windows. All sources state one, or none does.

    Raises:
        ConfigError: for a share that is not a positive number.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    share: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < np.inf:
            raise ConfigError(f"{self.name}: its share is {self.share:g}, expected a positive number.")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Validation people of one cohort, standardised, and what is masked of them, always the same.

    Attributes:
        name: of the cohort.
        share: of the validation loss, all cohorts together 1.
        x: (B, T).
        permutation: (B, N); the first M patches are masked.
        mean_day: (T,) the training people's mean at each minute of the day, standardised.
    """

    name: str
    share: float
    x: np.ndarray
    permutation: np.ndarray
    mean_day: np.ndarray


@dataclasses.dataclass(frozen=True)
class PretrainData:
    """All cohorts, ready to learn from.

    Attributes:
        train: (B, T) standardised windows, cohort after cohort.
        counts: windows of each cohort.
        shares: of a training epoch, each cohort's; together 1.
        held_out: the validation people of each cohort.
        standardizers: the scaling of each cohort, by its name.
    """

    train: np.ndarray
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    held_out: tuple[HeldOut, ...]
    standardizers: dict[str, Standardizer]

    def epoch_order(self, batch_size: int, seed: int, epoch: int) -> np.ndarray:
        """Rows of a training epoch, counted from 0, in their order: (S, batch_size).

        Of each cohort its share; everybody of a cohort is seen once before anybody is seen again. The last batch is
        filled up from the epoch's start.
        """
        rng = np.random.default_rng([seed, epoch])
        total, first = sum(self.counts), 0
        drawn = []
        ends = np.rint(np.cumsum(self.shares) * total).astype(int)
        for count, quota in zip(self.counts, np.diff(ends, prepend=0), strict=True):
            rounds = [rng.permutation(count) for _ in range(-(-quota // count))]
            drawn.append(first + np.concatenate([np.zeros(0, int), *rounds])[:quota])
            first += count
        order = rng.permutation(np.concatenate(drawn))
        steps = -(-total // batch_size)
        return np.resize(order, (steps, batch_size))


def prepare(sources: Sequence[Source], patch_size: int, num_masked: int, config: PretrainConfig) -> PretrainData:
    """Smooth and scale every cohort by itself, by its training people, and draw the masks of the validation people.

    Raises:
        CohortError: if there is no cohort, one has no people, two have the same name, or their windows differ in length
            or don't fit the patches.
        ConfigError: if some cohorts state a share and others none.
    """
    _check(sources, patch_size)
    stated = [source.share for source in sources if source.share is not None]
    if len(stated) not in (0, len(sources)):
        raise ConfigError(
            f"{len(stated)} of {len(sources)} cohorts state a share ({', '.join(f'{share:g}' for share in stated)}); "
            "expected a positive number for each, or none."
        )
    weights = np.array(stated or [len(source.train) for source in sources], dtype=np.float64)
    shares = tuple((weights / weights.sum()).tolist())
    length = sources[0].train.shape[1]
    counts = tuple(len(source.train) for source in sources)
    train = np.empty((sum(counts), length), dtype=np.float32)
    standardizers, held_out, first = {}, [], 0
    for number, (source, share) in enumerate(zip(sources, shares, strict=True)):
        minutes, aside = source.train, source.validation
        if config.smoothing == "savitzky_golay":
            minutes, aside = smooth(minutes), smooth(aside)
        scaling = standardizers[source.name] = Standardizer.fit(minutes, config.standardize)
        rows = slice(first, first + len(minutes))
        train[rows] = scaling.apply(minutes)
        first += len(minutes)
        x = scaling.apply(aside)
        permutation = _masks(x, patch_size, np.random.default_rng([config.seed, 1, number]))
        _check_shown(source.name, x, permutation, num_masked, patch_size)
        held_out.append(HeldOut(source.name, share, x, permutation, _mean_day(train[rows])))
    return PretrainData(train, counts, shares, tuple(held_out), standardizers)


def _check(sources: Sequence[Source], patch_size: int) -> None:
    if not sources:
        raise CohortError("No cohort was given, expected at least one to pretrain on.")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise CohortError(f"Cohorts are named {', '.join(names)}, expected a name of its own for each. Rename one.")
    length = sources[0].train.shape[1]
    for source in sources:
        for part in ("train", "validation"):
            windows = getattr(source, part)
            if windows.ndim != 2 or not len(windows):
                raise CohortError(
                    f"{source.name}: its {part} windows have the shape {windows.shape}, expected (windows, minutes) "
                    "with at least one window. Give more people, or another validation_fraction."
                )
            if windows.shape[1] != length or length % patch_size:
                raise CohortError(
                    f"{source.name}: its windows have {windows.shape[1]} minutes, those of {sources[0].name} {length}, "
                    f"expected one length for all and a multiple of the {patch_size} minutes of a patch. Prepare the "
                    "cohorts with windows of the same whole days, or choose a size whose patches fit."
                )


def _masks(x: np.ndarray, patch_size: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the patches for each window, those without a known minute first: (B, T) -> (B, N)."""
    known = ~np.isnan(x).reshape(len(x), -1, patch_size).all(axis=2)
    return np.argsort(rng.random(known.shape) + known, axis=1).astype(np.int32)


def _check_shown(name: str, x: np.ndarray, permutation: np.ndarray, masked: int, patch_size: int) -> None:
    """Raise a CohortError for windows of which nothing would be seen, or nothing be left to tell."""
    known = ~np.isnan(x).reshape(len(x), -1, patch_size).all(axis=2)
    known = np.take_along_axis(known, permutation, axis=1)
    empty = int((~(known[:, :masked].any(axis=1) & known[:, masked:].any(axis=1))).sum())
    if empty:
        raise CohortError(
            f"{name}: {empty} of {len(x)} validation windows have hardly a known minute, so that nothing is visible or "
            "nothing masked; expected some of both. Leave out windows that were hardly worn "
            "(pat-prepare --min_worn_minutes --min_valid_days)."
        )


def _mean_day(x: np.ndarray) -> np.ndarray:
    """The mean of (B, T) standardised windows at each minute of the day, 0 where none is known: (T,)."""
    known = ~np.isnan(x)
    sums, counts = np.where(known, x, 0.0).sum(axis=0, dtype=np.float64), known.sum(axis=0)
    place = np.arange(x.shape[1]) % DAY_MINUTES
    total = np.bincount(place, sums) / np.maximum(np.bincount(place, counts), 1)
    return total[place].astype(np.float32)


def simple_errors(held_out: HeldOut, num_masked: int, patch_size: int, loss: str) -> dict[str, float]:
    """The loss of two predictors without parameters, on the minutes that the model is held to.

    Args:
        held_out: validation people and their masks.
        num_masked: M.
        patch_size: P.
        loss: "masked" or "all".

    Returns:
        Mean squared errors: "person_mean", of the mean of the person's own visible minutes; "mean_day", of the training
        people's mean at that minute of the day.
    """
    x = held_out.x
    visible = np.zeros(held_out.permutation.shape, dtype=bool)
    np.put_along_axis(visible, held_out.permutation[:, num_masked:], True, axis=1)
    known, shown = ~np.isnan(x), np.repeat(visible, patch_size, axis=1)
    seen = known & shown
    means = np.where(seen, x, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(seen.sum(axis=1), 1)
    counted = known & ~shown if loss == "masked" else known
    predictions = {"person_mean": means[:, None], "mean_day": held_out.mean_day}
    return {
        name: float(np.where(counted, (x - predicted) ** 2, 0.0).sum() / counted.sum())
        for name, predicted in predictions.items()
    }
