"""Settings of a fine-tuning that are each allowed and don't go together."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from pat_keras.config.choices import PROBES
from pat_keras.errors import ConfigError

if TYPE_CHECKING:
    from pat_keras.config.finetune import FinetuneConfig

# What a regression must leave as it is, with its neutral value.
_OF_CLASSES: dict[str, float | str] = {"label_smoothing": 0.0, "focal_gamma": 0.0}
# What changes how a model learns by steps, with its neutral value; "logistic_probe" is solved at once.
_OF_STEPS: dict[str, float | str] = {
    "label_smoothing": 0.0,
    "focal_gamma": 0.0,
    "mixup": 0.0,
    "averaging": "none",
    "augment_days": False,
    "augment_minutes": 0,
    "augment_scale": 0.0,
    "augment_mask_hours": 0,
}
# What a model other than PAT has not.
_OF_PAT = (
    "weights",
    "size",
    "embedding",
    "embedding_start",
    "pooling",
    "head",
    "mode",
    "unfreeze_epochs",
    "encoder_learning_rate",
    "layer_decay",
    "precision",
)

_CLASSES = ("binary", "multiclass")
_BY_STEPS = ("full", "linear_probe", "two_stage")
# What counts only beside some values of another setting; given without these it would be silently without effect.
_COUNTS_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            "head",
            "epochs",
            "patience",
            "monitor",
            "head_learning_rate",
            "schedule",
            "warmup_epochs",
            "optimizer",
            "weight_decay",
            "dropout",
        ),
        ("mode", _BY_STEPS),
    ),
    "encoder_learning_rate": ("mode", ("full", "two_stage")),
    "probe_epochs": ("mode", ("two_stage",)),
    "layer_decay": ("mode", ("full", "two_stage")),
    "schedule_epochs": ("schedule", ("cosine",)),
    "ema_decay": ("averaging", ("ema",)),
    "min_worn_share": ("missing", ("mask",)),
    "folds": ("split", ("kfold",)),
    "test_fraction": ("split", ("holdout",)),
    "split_column": ("split", ("column",)),
    "class_weight": ("task", _CLASSES),
    "recalibration": ("task", _CLASSES),
}
# What counts only where the label itself is learned, and not a score behind it.
_OF_LABELS = ("class_weight",)


def without_effect(config: FinetuneConfig, searched: Collection[str] = ()) -> list[str]:
    """Sentences about settings that were given and have no effect beside the others.

    Args:
        config: a setting counts as given where it is not the default.
        searched: names of settings that will have other values too.

    Example:
        >>> import pat_keras as pat
        >>> without_effect(pat.FinetuneConfig(folds=10))
        ["folds is 10, which has no effect: split is 'holdout', not kfold."]
    """
    default = {field.name: field.default for field in dataclasses.fields(config)}
    unlearned = [
        f"{name} is {getattr(config, name)!r}, which has no effect: the score {config.learn_score!r} is learned, "
        "and not the label."
        for name in _OF_LABELS
        if config.learn_score and (getattr(config, name) != default[name] or name in searched)
    ]
    return unlearned + [
        f"{name} is {getattr(config, name)!r}, which has no effect: {other} is {getattr(config, other)!r}, not "
        f"{' or '.join(needed)}."
        for name, (other, needed) in _COUNTS_WITH.items()
        if (getattr(config, name) != default[name] or name in searched)
        and getattr(config, other) not in needed
        and other not in searched
    ]


def check_together(config: FinetuneConfig) -> None:
    """Raise a ConfigError for settings that are each allowed and don't go together."""
    if config.learn_score:
        _check_score(config)
    if config.task == "regression":
        _check_neutral(config, _OF_CLASSES, "for classes, and the task is regression")
        if config.monitor == "auc":
            raise ConfigError("monitor is 'auc', but a regression has none; expected loss or auto.")
    if config.task == "multiclass" and config.class_weight == "paper":
        raise ConfigError("class_weight is 'paper', which is for two classes; expected balanced or none.")
    if config.task == "multiclass" and config.recalibration == "platt":
        raise ConfigError("recalibration is 'platt', which is for two classes; expected prior or none.")
    if config.model != "pat":
        default = {field.name: field.default for field in dataclasses.fields(config)}
        for name in _OF_PAT:
            # Without weights the embedding is linear, as flags.txt of older runs says.
            if getattr(config, name) != default[name] and (name, config.embedding) != ("embedding", "linear"):
                raise ConfigError(
                    f"{name} is {getattr(config, name)!r}, which is for PAT alone, and the model is {config.model!r}; "
                    f"expected {default[name]!r}."
                )
    if config.committee > 1 and config.standardize == "paper":
        raise ConfigError(
            f"committee is {config.committee}, whose members have a scaling each, and standardize is 'paper', by which "
            "people are scaled outside of the model; expected committee 1, or another standardize."
        )
    _check_start(config)
    if config.unfreeze_epochs and config.mode in PROBES:
        raise ConfigError(
            f"unfreeze_epochs is {config.unfreeze_epochs}, by which the encoder learns step by step, and the mode is "
            f"{config.mode}, in which it never does; expected 0, or mode full."
        )
    if config.mode == "logistic_probe":
        why = "for training by steps, and the mode is logistic_probe, which is solved at once"
        _check_neutral(config, _OF_STEPS, why, ", or mode linear_probe")
    if (config.split == "list") != bool(config.test_people):
        raise ConfigError(
            f"split is {config.split!r} and test_people {config.test_people!r}; expected both split 'list' and the "
            "list of those to be tested, or neither."
        )


def _check_score(config: FinetuneConfig) -> None:
    """Raise a ConfigError where a score can't be learned in place of the label."""
    if config.task != "binary":
        raise ConfigError(
            f"learn_score is {config.learn_score!r}, which is for a label of 0 and 1 that is a cut of a score, and the "
            f"task is {config.task!r}; expected binary. To predict the score itself, make it the label of a regression."
        )
    if config.recalibration != "platt":
        raise ConfigError(
            f"learn_score is {config.learn_score!r}, so what is learned are shares of a score and no probabilities of "
            f"the label until these are fitted on validation people, and recalibration is {config.recalibration!r}; "
            "expected platt. Beside a recipe or flags of a run that have another one, give --recalibration=platt."
        )


def _check_neutral(config: FinetuneConfig, neutral: Mapping[str, float | str], why: str, otherwise: str = "") -> None:
    """Raise a ConfigError for a setting that is not as it has to be where it can't count."""
    for name, value in neutral.items():
        if getattr(config, name) != value:
            raise ConfigError(f"{name} is {getattr(config, name)!r}, which is {why}; expected {value!r}{otherwise}.")


def _check_start(config: FinetuneConfig) -> None:
    """Raise a ConfigError for a start of an embedding that there can't be; the file has its say later."""
    if config.embedding_start is None:
        return
    if not config.weights or config.embedding not in ("conv", "conv_linear"):
        raise ConfigError(
            f"embedding_start is {config.embedding_start!r}, with weights {config.weights!r} and embedding "
            f"{config.embedding!r}; expected linear weights to start from, and embedding conv or conv_linear. Or "
            "leave it out."
        )
    if config.embedding_start == "exact" and config.embedding == "conv":
        raise ConfigError(
            "embedding_start is 'exact', which the conv embedding can't have: it ends in a relu and a mean, so its "
            "tokens are never negative; expected distilled or random, or embedding conv_linear."
        )
