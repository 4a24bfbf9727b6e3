"""Models without a network, for a result to stand beside: what simple features of a week already tell.

Legend: B windows, T minutes, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sklearn.impute
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import threadpoolctl  # type: ignore[import-untyped]  # comes with scikit-learn

from pat_keras.config import TASKS
from pat_keras.data.features import simple_daily_features
from pat_keras.errors import LabelError

Features = Callable[[np.ndarray], tuple[np.ndarray, list[str]]]

# From strong to weak: of equally good ones, the first (the strongest) is taken.
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class FeatureBaseline:
    """Logistic regression (for regression: ridge) on features of each window.

    Missing features take the median of the training windows; features are scaled by the training windows' mean and
    standard deviation. Every class weighs the same, every person of a class the same, and a person's windows share
    that person's weight. The penalty is the one with the lowest loss (log loss, squared error; weighted likewise) on
    predictions of cross-validation within the training people, grouped by person.

    Args:
        task: "binary", "multiclass" or "regression".
        features: from activity (B, T) to features (B, F), NaN = missing, and their names.
        folds: of the inner cross-validation; fewer where a class has fewer people.
        seed: of the folds.

    Attributes:
        classes_: (K,) labels in the order of `predict_proba`'s columns (not for regression).
        feature_names_: F names.
        inverse_penalty_: the one chosen (scikit-learn's C; 1 / alpha for ridge).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(40) % 2
        >>> activity = rng.poisson(50 + 100 * y[:, None], size=(40, 2880)).astype("float32")
        >>> model = FeatureBaseline().fit(activity, y, np.arange(40))
        >>> model.predict_proba(activity[:3]).shape
        (3, 2)
    """

    name = "logistic regression on simple daily features"

    def __init__(
        self, task: str = "binary", *, features: Features = simple_daily_features, folds: int = 5, seed: int = 0
    ) -> None:
        if task not in TASKS:
            raise ValueError(f"FeatureBaseline: task is {task!r}, expected one of {', '.join(TASKS)}.")
        if task == "regression":
            self.name = "ridge regression on simple daily features"
        self.task = task
        self.features = features
        self.folds = folds
        self.seed = seed

    def fit(self, activity: np.ndarray, y: np.ndarray, participant_id: np.ndarray) -> FeatureBaseline:
        """Chooses the penalty by inner cross-validation, then fits all that was given.

        Args:
            activity: (B, T) of training people, not standardised, NaN = missing.
            y: (B,) labels.
            participant_id: (B,).

        Raises:
            LabelError: if there are fewer than two people, or a class with fewer than two.
        """
        y, participant_id = np.asarray(y, dtype=np.float64), np.asarray(participant_id)
        features, self.feature_names_ = self._features(activity)
        weight = self._weights(y, participant_id)
        folds = self._inner_folds(y, participant_id)
        # Problems of a few dozen features: on a busy machine, threads made them 4 times slower.
        with threadpoolctl.threadpool_limits(1):
            losses = [self._loss(penalty, features, y, weight, folds) for penalty in INVERSE_PENALTIES]
            self.inverse_penalty_ = INVERSE_PENALTIES[int(np.argmin(losses))]
            self._pipeline = self._fitted(self.inverse_penalty_, features, y, weight)
        if self.task != "regression":
            self.classes_ = np.unique(y)
        return self

    def predict_proba(self, activity: np.ndarray) -> np.ndarray:
        """Probabilities (B, K) of the classes, in the order of `classes_`.

        As every class weighs the same in fitting, they are as if each class were equally common.
        """
        if self.task == "regression":
            raise ValueError("FeatureBaseline: a regression has no probabilities; use predict.")
        return self._pipeline.predict_proba(self._features(activity)[0])

    def predict(self, activity: np.ndarray) -> np.ndarray:
        """The likeliest class, or the value (B,) of a regression."""
        return self._pipeline.predict(self._features(activity)[0])

    def _features(self, activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
        values, names = self.features(activity)
        values = np.asarray(values, dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan), list(names)

    def _weights(self, y: np.ndarray, participant_id: np.ndarray) -> np.ndarray:
        """(B,) summing to the number of people, equally over classes, people of a class, windows of a person."""
        _, place, windows = np.unique(participant_id, return_inverse=True, return_counts=True)
        weight = 1.0 / windows[place]
        if self.task != "regression":
            classes, of_class = np.unique(y, return_inverse=True)
            weight *= len(windows) / len(classes) / np.bincount(of_class, weights=weight)[of_class]
        return weight

    def _inner_folds(self, y: np.ndarray, participant_id: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        if self.task == "regression":
            smallest = len(np.unique(participant_id))
            enough = smallest >= 2
            splitter = sklearn.model_selection.GroupKFold
            options = {}
        else:
            people = [len(np.unique(participant_id[y == value])) for value in np.unique(y)]
            smallest, enough = min(people), min(people) >= 2 and len(people) >= 2
            splitter = sklearn.model_selection.StratifiedGroupKFold
            options = {"shuffle": True, "random_state": self.seed}
        if not enough:
            raise LabelError(
                f"Baseline: the training part has {len(np.unique(participant_id))} people, {smallest} in the smallest "
                f"of {1 if self.task == 'regression' else len(people)} classes; expected two or more in each of two or "
                "more classes (two people for regression). Enlarge the training part, or leave the baseline out."
            )
        folds = splitter(n_splits=min(self.folds, smallest), **options)
        return list(folds.split(np.zeros(len(y)), y, groups=participant_id))

    def _loss(
        self,
        inverse_penalty: float,
        features: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        folds: list[tuple[np.ndarray, np.ndarray]],
    ) -> float:
        """Weighted loss of the windows, each predicted by a model that has not seen its person."""
        classes = np.unique(y)
        total = 0.0
        for train, test in folds:
            model = self._fitted(inverse_penalty, features[train], y[train], weight[train])
            if self.task == "regression":
                total += float(weight[test] @ (model.predict(features[test]) - y[test]) ** 2)
                continue
            # A class that happens to be absent from these training people has the probability 0, clipped below.
            p = np.zeros((len(test), len(classes)))
            p[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(features[test])
            of_truth = p[np.arange(len(test)), np.searchsorted(classes, y[test])]
            total += float(weight[test] @ -np.log(np.maximum(of_truth, 1e-15)))
        return total

    def _fitted(
        self, inverse_penalty: float, features: np.ndarray, y: np.ndarray, weight: np.ndarray
    ) -> sklearn.pipeline.Pipeline:
        if self.task == "regression":
            last = sklearn.linear_model.Ridge(alpha=1.0 / inverse_penalty)
        else:
            last = sklearn.linear_model.LogisticRegression(C=inverse_penalty, max_iter=2000)
        pipeline = sklearn.pipeline.make_pipeline(
            sklearn.impute.SimpleImputer(strategy="median", keep_empty_features=True),
            sklearn.preprocessing.StandardScaler(),
            last,
        )
        return pipeline.fit(features, y, **{f"{pipeline.steps[-1][0]}__sample_weight": weight})
