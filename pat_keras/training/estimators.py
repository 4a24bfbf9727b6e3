"""PAT as scikit-learn estimators: embeddings as features, and fine-tuning as a classifier.

Axes: B windows, T minutes, F features, C classes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import sklearn.base
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from pat_keras.checkpoints.saved import save_model
from pat_keras.checkpoints.weights import load_held
from pat_keras.config import FinetuneConfig
from pat_keras.config.embed import EmbedConfig
from pat_keras.data.splits import holdout
from pat_keras.errors import ConfigError, LabelError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import predictors_in
from pat_keras.models.embedder import Embedder, Held
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.missing import check_complete, check_seen
from pat_keras.training.finetune import train_split
from pat_keras.training.start import check_start

Weights = str | os.PathLike[str] | PATEncoder
Self = TypeVar("Self", bound="PATClassifierEstimator")
# What an estimator is not asked: scikit-learn splits and scores, and labels tell the task.
_NOT_HERE = {"task", "split", "split_column", "split_seed", "test_people", "train_size", "folds", "test_fraction"}
_NOT_HERE |= {"baseline", "subgroups", "repair_fixed_scaling", "learn_score"}

# For `sklearn.utils.estimator_checks.check_estimator`: what is not met, and why.
EXPECTED_FAILED_CHECKS = {
    "check_methods_sample_order_invariance": "a window's float32 sums are rounded differently at another place of a "
    "batch: results agree to about 1e-7, and the check wants more."
}


class PATFeatures(sklearn.base.TransformerMixin, sklearn.base.BaseEstimator):
    """Weeks of minutes -> embeddings of a PAT encoder that stays as it is, as a scikit-learn transformer.

    X is (B, T) raw minutes, T a multiple of the patch size; NaN = missing. What is learned from X in `fit` is the
    scaling alone, so that in a Pipeline it comes from training people. Of scikit-learn's estimator checks all pass but
    those in `EXPECTED_FAILED_CHECKS`: float32 results agree to about 1e-7 whatever the order of the windows, not 1e-9.

    Args:
        weights: name of a preset, path of an .h5 or .keras file, or a PATEncoder. A file of a fine-tuned model holds a
            scaling, which is then used.
        pooling: of the tokens, "mean" (F = 96) or "mean_std" (F = 192).
        standardize: see `pat_keras.config.embed.EmbedConfig`.
        missing: likewise.
        min_worn_share: likewise.
        batch_size: windows a step.

    Attributes:
        embedder_: the encoder with its scaling.
        n_features_in_: T.

    Example:
        >>> import pat_keras as pat
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.model_selection import GroupKFold, cross_val_score
        >>> from sklearn.pipeline import make_pipeline
        >>> cohort = pat.simulate_cohort(n_people=40, days=1)
        >>> encoder = pat.PATEncoder(pat.EncoderConfig.small())  # random weights; else a preset or a file
        >>> model = make_pipeline(PATFeatures(encoder), LogisticRegression())
        >>> X, y, groups = cohort.activity, cohort.label("label"), cohort.participant_id
        >>> cross_val_score(model, X, y, groups=groups, cv=GroupKFold(2)).shape
        (2,)
    """

    def __init__(
        self,
        weights: Weights = "pat_small_29k",
        pooling: str = "mean",
        standardize: str = "auto",
        missing: str = "auto",
        min_worn_share: float = 0.5,
        batch_size: int = 32,
    ) -> None:
        self.weights = weights
        self.pooling = pooling
        self.standardize = standardize
        self.missing = missing
        self.min_worn_share = min_worn_share
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> PATFeatures:
        """Load the encoder, and fit the scaling if the weights don't hold one.

        Args:
            X: (B, T) raw minutes.
            y: not used.

        Raises:
            CheckpointError, ConfigError, CohortError: if the weights, a parameter or the minutes can't be used.
        """
        X = _minutes(self, X)
        config = EmbedConfig(self.pooling, self.standardize, self.missing, self.min_worn_share, self.batch_size)
        held = Held.of(self.weights) if isinstance(self.weights, PATEncoder) else load_held(self.weights)
        self.embedder_ = Embedder.fit(held, X, config)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(B, T) raw minutes -> (B, F) float32.

        Raises:
            CohortError: if minutes are missing that are not masked, or a window has no patch to look at.
        """
        check_is_fitted(self)
        X = _minutes(self, X, reset=False)
        self.embedder_.check(X)
        return self.embedder_.embed(X, self.batch_size)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """pat_00, pat_01, ...; with deviations then pat_std_00, ...

        Args:
            input_features: not used.
        """
        check_is_fitted(self)
        return np.array(self.embedder_.names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "mask"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class PATClassifierEstimator(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    """Fine-tuning as a scikit-learn classifier: `fit` trains as `pat_keras.finetune` does, and scores nothing.

    X is (B, T) raw minutes, T a multiple of the patch size; NaN = missing. A part of the people given to `fit` decides
    when to stop. Give `groups`, whose window each row is, wherever people have several windows: then nobody is on both
    sides. cross_val_score hands them on by `params={"groups": groups}` (in a Pipeline by its step's name), or by
    metadata routing: `estimator.set_fit_request(groups=True)`. Estimator checks: as for `PATFeatures`.

    Args:
        weights: name of a preset, path of an .h5 or .keras file, or a PATEncoder to start from; "" for random weights.
        size, embedding, head, mode, encoder_learning_rate, head_learning_rate: see `FinetuneConfig`.
        batch_size, epochs, patience, dropout, missing, validation_fraction, seed: see `FinetuneConfig`.
        standardize: see `FinetuneConfig`. "paper" is no scaling here: it would need to know all people who will ever
            be predicted.
        settings: other attributes of `FinetuneConfig` by name, such as {"class_weight": "none"}.

    Attributes:
        classes_: labels, sorted (C,).
        model_: the fine-tuned model, or a `Committee` of some; it takes raw minutes.
        history_: one row a training epoch.
        n_features_in_: T.

    Example:
        >>> import pat_keras as pat
        >>> cohort = pat.simulate_cohort(n_people=20, days=1)
        >>> model = PATClassifierEstimator(mode="linear_probe", epochs=1)
        >>> model = model.fit(cohort.activity, cohort.label("label"), groups=cohort.participant_id)
        >>> model.predict_proba(cohort.activity).shape
        (20, 2)
    """

    def __init__(
        self,
        weights: Weights = FinetuneConfig.weights,
        size: str = FinetuneConfig.size,
        embedding: str = FinetuneConfig.embedding,
        head: str = FinetuneConfig.head,
        mode: str = FinetuneConfig.mode,
        encoder_learning_rate: float | None = FinetuneConfig.encoder_learning_rate,
        head_learning_rate: float = FinetuneConfig.head_learning_rate,
        batch_size: int = FinetuneConfig.batch_size,
        epochs: int = FinetuneConfig.epochs,
        patience: int = FinetuneConfig.patience,
        dropout: float = FinetuneConfig.dropout,
        standardize: str = FinetuneConfig.standardize,
        missing: str = FinetuneConfig.missing,
        validation_fraction: float = FinetuneConfig.validation_fraction,
        seed: int = FinetuneConfig.seed,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.weights = weights
        self.size = size
        self.embedding = embedding
        self.head = head
        self.mode = mode
        self.encoder_learning_rate = encoder_learning_rate
        self.head_learning_rate = head_learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.dropout = dropout
        self.standardize = standardize
        self.missing = missing
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.settings = settings

    def fit(self: Self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fine-tune on most of the people, and stop by the others.

        Args:
            X: (B, T) raw minutes.
            y: (B,) labels of any kind that scikit-learn takes as classes.
            groups: (B,) whose window it is; None if every window is another person's.

        Raises:
            LabelError: for fewer than two classes, too few people of one, or a person with several labels.
            CheckpointError, ConfigError, CohortError, RunError: as `pat_keras.finetune`.
        """
        X, y = _minutes(self, X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise LabelError(f"all {len(y)} labels are of one class, {self.classes_[0]}; expected two or more.")
        people = np.arange(len(X)) if groups is None else np.asarray(groups)
        check_consistent_length(X, people)
        people = np.unique(people, return_inverse=True)[1]
        _check_one_label(people, codes)
        with tempfile.TemporaryDirectory() as folder:
            config = self._config(pathlib.Path(folder))
            if config.missing == "refuse":
                check_complete(X, "mask them by missing='mask'")
            check_start(config, X.shape[1], X)
            split = holdout(
                people,
                codes,
                validation_fraction=config.validation_fraction,
                test_fraction=0,
                seed=config.seed,
                task=config.task,
            )
            fitted = train_split(X, codes.astype(np.float64), people, split, config)
        self.model_, self.history_ = fitted.model, fitted.history
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(B, T) raw minutes -> (B, C) probabilities of `classes_`.

        Raises:
            CohortError: if minutes are missing that are not masked, or a window has no patch to look at.
        """
        check_is_fitted(self)
        X = _minutes(self, X, reset=False)
        first = predictors_in(self.model_)[0]
        if isinstance(first, PATClassifier) and first.min_worn_share is not None:
            check_seen(X, first.encoder.config.patch_size, first.min_worn_share)
        else:
            check_complete(X, "fit with missing='mask'")
        return self.model_.predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """(B, T) raw minutes -> (B,) the most probable of `classes_`; as `predict_proba` otherwise."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(axis=1)]

    def _config(self, folder: pathlib.Path) -> FinetuneConfig:
        """The parameters as a config; an encoder is saved into the folder."""
        own = self.get_params(deep=False)
        others = dict(own.pop("settings") or {})
        known = {field.name for field in dataclasses.fields(FinetuneConfig)} - _NOT_HERE
        wrong = sorted(name for name in others if name in own or name not in known)
        if wrong:
            raise ConfigError(
                f"settings have {', '.join(wrong)}, expected attributes of FinetuneConfig that are no parameters of "
                "the estimator themselves and not about splitting and scoring, which are scikit-learn's here, nor "
                "about columns of a cohort, which arrays have not."
            )
        if self.standardize == "paper":
            raise ConfigError("standardize is 'paper', which scales people to be predicted by their own statistics.")
        if isinstance(self.weights, PATEncoder):
            own["weights"] = str(folder / "encoder.keras")
            save_model(self.weights, folder / "encoder.keras")
        task = "binary" if len(self.classes_) == 2 else "multiclass"
        return FinetuneConfig(**{**own, **others, "weights": str(own["weights"]), "task": task})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


def _minutes(estimator: Any, X: Any, y: Any = "no_validation", reset: bool = True) -> Any:
    """X as float32, and y if it is given, checked as scikit-learn does; NaN is looked at afterwards."""
    return validate_data(estimator, X, y, reset=reset, dtype=np.float32, ensure_all_finite="allow-nan")


def _check_one_label(people: np.ndarray, codes: np.ndarray) -> None:
    """See that all windows of a person have the same label."""
    lowest, highest = np.full(people.max() + 1, codes.max()), np.zeros(people.max() + 1, dtype=codes.dtype)
    np.minimum.at(lowest, people, codes)
    np.maximum.at(highest, people, codes)
    several = int((lowest != highest).sum())
    if several:
        raise LabelError(
            f"{several} of {len(lowest)} groups have windows of several classes, expected one a person. Give the "
            "participant ids as groups, or one label for all windows of a person."
        )
