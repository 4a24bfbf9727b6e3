"""Models without a network, for a result to stand beside: what features of a week, or age and sex, already tell.

Legend: B windows, T minutes, F features, K classes.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import threadpoolctl  # type: ignore[import-untyped]  # comes with scikit-learn

from pat_keras.config import SMOOTHING, TASKS
from pat_keras.data.day_features import check_days, day_features, mean_and_sd_by_person
from pat_keras.data.features import CutPoints, field_features, simple_daily_features
from pat_keras.data.smoothing import smooth
from pat_keras.data.wavelets import wavelet_features
from pat_keras.errors import ConfigError
from pat_keras.models.estimators import INVERSE_PENALTIES, Sample, fit_best, make_estimator, person_folds

__all__ = ["BASELINES", "INVERSE_PENALTIES", "FeatureBaseline", "make_baseline"]

Features = Callable[[np.ndarray], tuple[np.ndarray, list[str]]]


class FeatureBaseline:
    """Logistic regression (for regression: ridge) or gradient boosting on features of each window.

    Every class weighs the same, every person of a class the same, and a person's windows share that person's weight.
    The penalty, or the size and number of trees, is the one with the lowest loss (log loss, squared error; weighted
    likewise) on predictions of cross-validation within the training people, grouped by person.

    Args:
        task: "binary", "multiclass" or "regression".
        features: from activity (B, T) to features (B, F), NaN = missing, and their names.
        estimator: "logistic" or "boosting".
        title: what the features are, for `name`.
        columns: of the cohort's table, to be given instead of activity, as (B, their number); () for activity.
        smoothing: "none", or "savitzky_golay" of the activity first.
        by_person: a person is one case, described by the mean and the standard deviation of each feature over the
            person's windows; predictions are then the same for all of them.
        folds: of the inner cross-validation; fewer where a class has fewer people.
        seed: of the folds.

    Attributes:
        name: says what it is, in words.
        classes_: (K,) labels in the order of `predict_proba`'s columns (not for regression).
        feature_names_: F names.
        setting_: the one chosen: the inverse penalty, or (leaves of a tree, number of trees).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(40) % 2
        >>> activity = rng.poisson(50 + 100 * y[:, None], size=(40, 2880)).astype("float32")
        >>> model = FeatureBaseline().fit(activity, y, np.arange(40))
        >>> model.predict_proba(activity[:3]).shape
        (3, 2)
    """

    def __init__(
        self,
        task: str = "binary",
        *,
        features: Features = simple_daily_features,
        estimator: str = "logistic",
        title: str = "simple daily features",
        columns: tuple[str, ...] = (),
        smoothing: str = "none",
        by_person: bool = False,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        for name, value, allowed in (("task", task, TASKS), ("smoothing", smoothing, SMOOTHING)):
            if value not in allowed:
                raise ValueError(f"FeatureBaseline: {name} is {value!r}, expected one of {', '.join(allowed)}.")
        self._estimator = make_estimator(estimator, task, seed)
        of_smoothed = ", of smoothed activity" if smoothing != "none" else ""
        self.name = f"{self._estimator.title} on {title}{of_smoothed}"
        self.task, self.features, self.columns, self.smoothing = task, features, columns, smoothing
        self.by_person, self.folds, self.seed = by_person, folds, seed
        self._described: list[str] | None = None

    def fit(self, activity: np.ndarray, y: np.ndarray, participant_id: np.ndarray) -> FeatureBaseline:
        """Chooses the setting by inner cross-validation, then fits all that was given.

        Args:
            activity: (B, T) of training people, not standardised, NaN = missing; or (B, columns), see `columns`.
            y: (B,) labels.
            participant_id: (B,).

        Raises:
            LabelError: if there are fewer than two people, or a class with fewer than two.
        """
        y, participant_id = np.asarray(y, dtype=np.float64), np.asarray(participant_id)
        features, self.feature_names_ = self.describe(activity, participant_id)
        if self.by_person:
            participant_id, first = np.unique(participant_id, return_index=True)
            features, y = features[first], y[first]
        sample = Sample(features, y, self._weights(y, participant_id))
        folds = person_folds(self.task, y, participant_id, self.folds, self.seed, "Baseline")
        self.setting_, self._model = fit_best(self._estimator, sample, folds)
        if self.task != "regression":
            self.classes_ = np.unique(y)
        return self

    @property
    def inverse_penalty_(self) -> float:
        """The penalty chosen for a linear model: scikit-learn's C; 1 / alpha for ridge."""
        return self.setting_

    def predict_proba(self, activity: np.ndarray, participant_id: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (B, K) of the classes, in the order of `classes_`; whose windows they are, if `by_person`.

        As every class weighs the same in fitting, they are as if each class were equally common.
        """
        if self.task == "regression":
            raise ValueError("FeatureBaseline: a regression has no probabilities; use predict.")
        with threadpoolctl.threadpool_limits(1):
            return self._model.predict_proba(self.describe(activity, participant_id)[0])

    def predict(self, activity: np.ndarray, participant_id: np.ndarray | None = None) -> np.ndarray:
        """The likeliest class, or the value (B,) of a regression."""
        with threadpoolctl.threadpool_limits(1):
            return self._model.predict(self.describe(activity, participant_id)[0])

    def describe(self, activity: np.ndarray, participant_id: np.ndarray | None = None) -> tuple[np.ndarray, list[str]]:
        """What the estimator sees of windows: (B, F) features, NaN = missing, and their names.

        Raises:
            ValueError: if people are cases, and nobody says whose windows these are.
        """
        if self._described is not None:
            return activity, self._described
        if self.smoothing == "savitzky_golay":
            activity = smooth(activity)
        values, names = self.features(activity)
        values = np.asarray(values, dtype=np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        if not self.by_person:
            return values, list(names)
        if participant_id is None:
            raise ValueError("FeatureBaseline: by_person needs to be told whose windows these are, by participant_id.")
        return mean_and_sd_by_person(values, participant_id), [
            f"{part}_{name}" for part in ("mean", "sd") for name in names
        ]

    def of_described(self, names: list[str]) -> FeatureBaseline:
        """The same baseline, not fitted, to be given what `describe` returned in place of activity."""
        other = copy.copy(self)
        other._described = names
        return other

    def _weights(self, y: np.ndarray, participant_id: np.ndarray) -> np.ndarray:
        """(B,) summing to the number of people, equally over classes, people of a class, windows of a person."""
        _, place, windows = np.unique(participant_id, return_inverse=True, return_counts=True)
        weight = 1.0 / windows[place]
        if self.task != "regression":
            classes, of_class = np.unique(y, return_inverse=True)
            weight *= len(windows) / len(classes) / np.bincount(of_class, weights=weight)[of_class]
        return weight


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What a ready-made baseline is made of."""

    estimator: str
    features: Features
    title: str
    columns: tuple[str, ...] = ()
    by_person: bool = False
    check: Callable[[np.ndarray], None] | None = None  # raises a CohortError for windows that it can't describe


def _age_and_sex(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(B, 2) age and sex -> (B, 4): a linear model needs a curve over age, and one for each sex."""
    age, sex = np.asarray(values, dtype=np.float64).T
    return np.stack([age, age**2, sex, age * sex], axis=1), ["age", "age_squared", "sex", "age_by_sex"]


BASELINES: dict[str, _Kind] = {
    "simple_logistic": _Kind("logistic", simple_daily_features, "simple daily features"),
    "features_logistic": _Kind("logistic", field_features, "the field's features"),
    "features_boosting": _Kind("boosting", field_features, "the field's features"),
    "wavelet_logistic": _Kind("logistic", wavelet_features, "wavelet features"),
    "wavelet_boosting": _Kind("boosting", wavelet_features, "wavelet features"),
    "days_logistic": _Kind("logistic", day_features, "the days of a person", by_person=True, check=check_days),
    "age_sex": _Kind("logistic", _age_and_sex, "age and sex", ("age", "sex")),
}


def make_baseline(
    name: str,
    task: str = "binary",
    seed: int = 0,
    *,
    smoothing: str = "none",
    cut_points: CutPoints | None = None,
) -> FeatureBaseline:
    """A ready-made baseline.

    Args:
        name: one of BASELINES.
        task: "binary", "multiclass" or "regression".
        seed: of the inner folds.
        smoothing: "none", or "savitzky_golay" of the activity first.
        cut_points: for the field's features of sedentary and MVPA minutes; None (`features.cut_points_of` says for
            which cohorts there are any) leaves these two out.

    Raises:
        ConfigError: for a name that does not exist, or smoothing of what is no activity.

    Example:
        >>> make_baseline("age_sex").columns
        ('age', 'sex')
    """
    if name not in BASELINES:
        raise ConfigError(f"baseline is {name!r}, expected one of {', '.join(BASELINES)}.")
    kind = BASELINES[name]
    if kind.columns and smoothing != "none":
        raise ConfigError(f"smoothing is {smoothing!r}, but the baseline {name} sees no activity; expected none.")
    features = kind.features
    if features is field_features:
        features = functools.partial(field_features, cut_points=cut_points)
    return FeatureBaseline(
        task,
        features=features,
        estimator=kind.estimator,
        title=kind.title,
        columns=kind.columns,
        smoothing=smoothing,
        by_person=kind.by_person,
        seed=seed,
    )
