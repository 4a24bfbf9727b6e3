"""What is learnt on top of features: a linear model or boosted trees, each with a few settings to choose from.

Legend: B windows, F features, K classes, S settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import sklearn.ensemble
import sklearn.impute
import sklearn.linear_model
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import threadpoolctl  # type: ignore[import-untyped]  # comes with scikit-learn

from pat_keras.errors import LabelError

# From strong to weak: of equally good ones, the first (the strongest) is taken.
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LEAVES = (2, 4)  # of a tree: features one by one, or with interactions of up to three
ROUNDS = (5, 10, 20, 30, 40, 60, 80, 100, 150)  # trees, each of which adds a tenth of what it would


@dataclasses.dataclass(frozen=True)
class Sample:
    """Features (B, F), NaN = missing, with targets (B,) and weights (B,)."""

    features: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Sample:
        return Sample(self.features[rows], self.y[rows], self.weight[rows])


class Estimator(Protocol):
    """A family of models, one a setting."""

    title: str
    settings: Sequence[Any]

    def losses(self, train: Sample, test: Sample, classes: np.ndarray) -> np.ndarray:
        """(S,) summed weighted loss on `test` of each setting's model of `train`; `classes` are all there are."""
        ...

    def fitted(self, sample: Sample, setting: Any) -> Any:
        """A scikit-learn model with this setting."""
        ...


class Linear:
    """Logistic regression (for regression: ridge); missing features take the median, and all are standardised.

    A setting is the inverse of the penalty (scikit-learn's C; 1 / alpha for ridge).
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.title = "ridge regression" if task == "regression" else "logistic regression"
        self.settings: Sequence[Any] = INVERSE_PENALTIES

    def losses(self, train: Sample, test: Sample, classes: np.ndarray) -> np.ndarray:
        """See `Estimator`."""
        models = (self.fitted(train, setting) for setting in self.settings)
        return np.array(
            [_loss(self.task, _outputs(self.task, model, test, classes), test, classes) for model in models]
        )

    def fitted(self, sample: Sample, setting: float) -> Any:
        """See `Estimator`."""
        if self.task == "regression":
            last = sklearn.linear_model.Ridge(alpha=1.0 / setting)
        else:
            last = sklearn.linear_model.LogisticRegression(C=setting, max_iter=2000)
        pipeline = sklearn.pipeline.make_pipeline(
            sklearn.impute.SimpleImputer(strategy="median", keep_empty_features=True),
            sklearn.preprocessing.StandardScaler(),
            last,
        )
        return pipeline.fit(sample.features, sample.y, **{f"{pipeline.steps[-1][0]}__sample_weight": sample.weight})


class Boosting:
    """Gradient boosting of small trees (scikit-learn's histogram-based one), where a missing feature is a value.

    A setting is (leaves of a tree, number of trees). The number of trees is scikit-learn's early stopping done by
    person: its own would hold out windows at random, of people that it trains on.
    """

    title = "gradient boosting"

    def __init__(self, task: str, seed: int) -> None:
        self.task, self.seed = task, seed
        self.settings: Sequence[Any] = [(leaves, rounds) for leaves in LEAVES for rounds in ROUNDS]

    def losses(self, train: Sample, test: Sample, classes: np.ndarray) -> np.ndarray:
        """See `Estimator`."""
        losses = []
        for leaves in LEAVES:
            model = self.fitted(train, (leaves, ROUNDS[-1]))
            stages = model.staged_predict if self.task == "regression" else model.staged_predict_proba
            for rounds, outputs in enumerate(stages(test.features), 1):
                if rounds in ROUNDS:
                    outputs = outputs if self.task == "regression" else _aligned(outputs, model.classes_, classes)
                    losses.append(_loss(self.task, outputs, test, classes))
        return np.array(losses)

    def fitted(self, sample: Sample, setting: tuple[int, int]) -> Any:
        """See `Estimator`."""
        leaves, rounds = setting
        make = (
            sklearn.ensemble.HistGradientBoostingRegressor
            if self.task == "regression"
            else sklearn.ensemble.HistGradientBoostingClassifier
        )
        model = make(
            learning_rate=0.1,
            max_iter=rounds,
            max_leaf_nodes=leaves,
            min_samples_leaf=max(1, min(20, len(sample.y) // 10)),  # 20 is the default; a small cohort has fewer
            l2_regularization=1.0,
            early_stopping=False,
            random_state=self.seed,
        )
        # scikit-learn refuses a feature without a value; of equal ones, no tree makes use.
        absent = np.isnan(sample.features).all(axis=0)
        return model.fit(np.where(absent, 0.0, sample.features), sample.y, sample_weight=sample.weight)


def person_folds(
    task: str, y: np.ndarray, participant_id: np.ndarray, folds: int, seed: int, what: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of an inner cross-validation, each person in one: rows to learn from and rows to predict, of each.

    Args:
        task: whose classes the folds have equal shares of.
        y: (B,) labels.
        participant_id: (B,).
        folds: at most so many; fewer where a class has fewer people.
        seed: of the folds.
        what: needs them, for the error.

    Raises:
        LabelError: if there are fewer than two people, or a class with fewer than two.
    """
    if task == "regression":
        classes, smallest = 1, len(np.unique(participant_id))
        enough = smallest >= 2
        splitter = sklearn.model_selection.GroupKFold
        options = {}
    else:
        people = [len(np.unique(participant_id[y == value])) for value in np.unique(y)]
        classes, smallest = len(people), min(people)
        enough = smallest >= 2 and classes >= 2
        splitter = sklearn.model_selection.StratifiedGroupKFold
        options = {"shuffle": True, "random_state": seed}
    if not enough:
        raise LabelError(
            f"{what}: the training part has {len(np.unique(participant_id))} people, {smallest} in the smallest of "
            f"{classes} classes; expected two or more in each of two or more classes (two people for regression). "
            "Enlarge the training part, or do without."
        )
    made = splitter(n_splits=min(folds, smallest), **options)
    return list(made.split(np.zeros(len(y)), y, groups=participant_id))


def fit_best(estimator: Estimator, sample: Sample, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Any, Any]:
    """The setting with the lowest loss on predictions over the folds, and the model of the whole sample with it."""
    classes = np.unique(sample.y)
    # Problems of a few dozen features: on a busy machine, threads made them 4 times slower.
    with threadpoolctl.threadpool_limits(1):
        losses = sum(estimator.losses(sample[train], sample[test], classes) for train, test in folds)
        setting = estimator.settings[int(np.argmin(losses))]
        return setting, estimator.fitted(sample, setting)


def make_estimator(kind: str, task: str, seed: int) -> Estimator:
    """The family of a name: "logistic" (ridge for regression) or "boosting".

    Raises:
        ValueError: for another name.
    """
    if kind == "logistic":
        return Linear(task)
    if kind == "boosting":
        return Boosting(task, seed)
    raise ValueError(f"estimator is {kind!r}, expected logistic or boosting.")


def _outputs(task: str, model: Any, test: Sample, classes: np.ndarray) -> np.ndarray:
    """Values (B,), or probabilities (B, K)."""
    if task == "regression":
        return model.predict(test.features)
    return _aligned(model.predict_proba(test.features), model.classes_, classes)


def _aligned(chances: np.ndarray, of_model: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Probabilities in the order of all classes; one that is absent from the training people has 0."""
    aligned = np.zeros((len(chances), len(classes)))
    aligned[:, np.searchsorted(classes, of_model)] = chances
    return aligned


def _loss(task: str, outputs: np.ndarray, test: Sample, classes: np.ndarray) -> float:
    """Weighted squared error, or log loss with probabilities clipped at 1e-15."""
    if task == "regression":
        return float(test.weight @ (outputs - test.y) ** 2)
    of_truth = outputs[np.arange(len(test.y)), np.searchsorted(classes, test.y)]
    return float(test.weight @ -np.log(np.maximum(of_truth, 1e-15)))
