"""Flags that several commands share: each is defined here once and turned into a config here.

Every function takes the `FlagValues` of one command; the global ones of absl are not used. What only some commands
need is imported where it is needed: `--help` is to answer at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

from pat_keras import config as choices
from pat_keras.config import AUTO_WEIGHTS, ENCODER_RATE_PRETRAINED, ENCODER_RATE_RANDOM, FinetuneConfig
from pat_keras.errors import ConfigError


def define_output(values: flags.FlagValues, help_text: str) -> None:
    """Defines --out and --overwrite."""
    flags.DEFINE_string("out", None, help_text, required=True, flag_values=values)
    flags.DEFINE_boolean("overwrite", False, "Replace what is already there under --out.", flag_values=values)


def define_participants(values: flags.FlagValues) -> None:
    """Defines --participants, for arrays in place of a cohort."""
    flags.DEFINE_string(
        "participants",
        None,
        "Whose row it is, for --data=X.npy (.npy, .npz); each row another person if not given.",
        flag_values=values,
    )


# Help of the flags of `finetune_config`, by the attribute of FinetuneConfig that each sets.
_FINETUNE_HELP = {
    "task": "What the label is: binary (0 and 1), multiclass (whole numbers), regression (any number).",
    "learn_score": "Column with the score that a label of 0 and 1 is a cut of, such as phq9 for --label=depression: "
    "the score is learned and the label is what is scored, which may teach more where one class is rare. Probabilities "
    "are then fitted on validation people (--recalibration=platt). Empty: the label is learned.",
    "model": "pat, or a network that the paper set beside it: lstm, cnn1d, cnn3d, convlstm.",
    "weights": "Weights to start from: a preset such as pat_large_29k (list shows all), the path of an official .h5 "
    "file, or the run directory of pat-pretrain. auto: those of --size and --embedding that come with the package, for "
    "PAT. Empty (--weights=) for random weights.",
    "size": "Size of the encoder, where --weights does not tell it.",
    "embedding": "Patch embedding of the encoder. auto: that of --weights, linear without. conv and conv_linear can "
    "also be put before the transformer blocks of linear --weights; see --embedding_start.",
    "embedding_start": "What such a new embedding starts from. distilled: fitted on the training people of each split "
    "to give the tokens that the blocks know, before fine-tuning begins. exact (conv_linear): gives them to rounding. "
    "random: tokens that mean nothing to the blocks yet. Not given: exact for conv_linear, distilled for conv.",
    "pooling": "Of a window's tokens, for the head. mean: as in the paper. mean_std: mean and standard deviation.",
    "head": "official: dropout, a hidden layer of 128, an output. linear: dropout and an output.",
    "mode": "full: everything learns. linear_probe: the encoder stays exactly as it is. logistic_probe: it stays, too, "
    "and the head is a logistic regression (ridge) on pooled tokens, solved at once, its penalty chosen by "
    "cross-validation. two_stage: first the head alone for --probe_epochs, then everything.",
    "probe_epochs": "Training epochs of the first stage of --mode=two_stage.",
    "unfreeze_epochs": "Gradual unfreezing: the head learns first, and every so many training epochs one block more, "
    "from the last to the first, at last the embedding. 0: off.",
    "encoder_learning_rate": f"Learning rate of the encoder. Default: {ENCODER_RATE_PRETRAINED:g} from --weights, "
    f"{ENCODER_RATE_RANDOM:g} from random ones.",
    "head_learning_rate": "Learning rate of the head.",
    "layer_decay": "The encoder's rate is multiplied by this once for every block above. 1: off.",
    "schedule": "constant, or cosine: the rates fall to zero over --schedule_epochs.",
    "schedule_epochs": "Training epochs over which a cosine falls; --epochs if not given.",
    "warmup_epochs": "Training epochs over which the rates rise from zero at the start.",
    "optimizer": "adam, or sgd with momentum 0.9. With --weight_decay, adam is AdamW.",
    "weight_decay": "Decay of kernels, times the learning rate, decoupled from the gradient.",
    "label_smoothing": "Share of a target that is spread over all classes.",
    "focal_gamma": "Exponent of the focal loss. 0: cross-entropy.",
    "mixup": "Alpha of mixup. 0: off.",
    "averaging": "Of the weights over training, which are then validated and kept: ema (exponential, over steps), swa "
    "(equal, over training epochs), none.",
    "ema_decay": "Of --averaging=ema, for each step.",
    "augment_days": "Let a training week begin with a random day of it.",
    "augment_minutes": "Shift a training week in a circle by up to so many minutes.",
    "augment_scale": "Multiply a training week's raw activity by exp(s z), z standard normal; this is s.",
    "augment_mask_hours": "Hide so many random hours of a training week.",
    "batch_size": "Windows in a training step.",
    "epochs": "Training epochs at most.",
    "patience": "Stop after so many training epochs without a better validation value; the best weights are kept.",
    "monitor": "Validation value that decides on stopping: auc, loss, or auto (loss for regression, otherwise auc).",
    "committee": "Train so many models in place of one, each stopped by other people (the validation people, then as "
    "many of the training people in turn), and average their predictions. It takes so many times as long.",
    "class_weight": "balanced: classes weigh the same in total. paper: {0: share of positives, 1: share of negatives}. "
    "none.",
    "dropout": "Dropout rate in the encoder's blocks and before the head.",
    "recalibration": "Of the probabilities, after training. prior: take out what class weights did, and that people of "
    "some classes have more windows, so that probabilities mean what they say. platt: fit a slope and an intercept on "
    "validation people. none.",
    "smoothing": "Of raw minutes: savitzky_golay (window 51, order 3), or none.",
    "standardize": "Scaling, fitted on training people: per_minute, per_recording, cohort, none; auto: from --weights "
    "as they were pretrained (presets and runs of pat-pretrain tell; other files: per_minute), cohort from random "
    "ones. paper: train, validation and test each by their own statistics, as the authors did (test people then "
    "influence their own scaling).",
    "missing": "Windows with missing minutes (gaps, or non-wear taken out by pat-prepare): refuse them with an error, "
    "or mask: patches known less than --min_worn_share are not looked at, other gaps count as the mean.",
    "min_worn_share": "Share of a patch's minutes that must be known, for --missing=mask.",
    "split": "holdout; kfold (everybody is tested once, in --folds folds); leave_one_out (everybody is tested by a "
    "model of all others); list (those of --test_people are tested); or column: --split_column of the cohort says "
    "train, validation or test.",
    "test_people": "For --split=list: a file of participant ids, one a line, or the name of a list that comes with the "
    "package, such as nhanes_2005_2006.",
    "train_size": "People of training and validation together, drawn by the seed. All who are not tested if not given.",
    "split_column": "Column of the cohort for --split=column.",
    "folds": "Folds of --split=kfold.",
    "validation_fraction": "Share of the people not tested who decide when to stop, and the threshold.",
    "test_fraction": "Share of all people who are tested, for --split=holdout.",
    "seed": "Of the split, random weights, order of windows and dropout.",
    "split_seed": "Of the split alone; --seed if not given.",
    "precision": "Of the arithmetic. mixed_bfloat16 is faster on recent hardware and rounds tokens to about 0.05.",
    "jit": "Compile with XLA: auto (where it was measured faster: not on CPU with TensorFlow), on, off.",
    "baseline": "Also score a logistic (of numbers a ridge) regression on simple daily features, on the same people.",
}
_FINETUNE_CHOICES = {
    "task": choices.TASKS,
    "model": choices.MODELS,
    "size": choices.SIZES,
    "embedding": ("auto", *choices.EMBEDDINGS),
    "embedding_start": choices.STARTS,
    "pooling": choices.POOLING,
    "head": choices.HEADS,
    "mode": choices.MODES,
    "schedule": choices.SCHEDULES,
    "optimizer": choices.OPTIMIZERS,
    "averaging": choices.AVERAGING,
    "monitor": choices.MONITORS,
    "class_weight": choices.CLASS_WEIGHTS,
    "recalibration": choices.RECALIBRATION,
    "smoothing": choices.SMOOTHING,
    "standardize": choices.STANDARDIZE,
    "missing": choices.MISSING,
    "split": choices.SPLITS,
    "precision": choices.PRECISIONS,
    "jit": choices.JIT,
}
_NUMBERS_OR_NONE = {"encoder_learning_rate": float, "schedule_epochs": int, "train_size": int, "split_seed": int}
_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def installed_weights(model: str, size: str, embedding: str) -> str:
    """The preset that came with the package for what is to be trained; empty if there is none.

    A conv_linear embedding is put before the blocks of linear weights.
    """
    from pat_keras.checkpoints.presets import PRESETS

    wanted = (size, "conv" if embedding == "conv" else "linear")
    here = (preset.name for preset in PRESETS.values() if preset.local and (preset.size, preset.embedding) == wanted)
    return next(here, "") if model == "pat" else ""


def define_finetune(values: flags.FlagValues) -> None:
    """Defines a flag for every attribute of FinetuneConfig, with its default."""
    default = FinetuneConfig(weights=AUTO_WEIGHTS)
    for name, help_text in _FINETUNE_HELP.items():
        value = getattr(default, name)
        if name in _FINETUNE_CHOICES:
            flags.DEFINE_enum(name, value, _FINETUNE_CHOICES[name], help_text, flag_values=values)
            continue
        kind = _NUMBERS_OR_NONE.get(name, type(value))
        _DEFINE[kind](name, value, help_text, flag_values=values)
    flags.DEFINE_list(
        "subgroups",
        [],
        "Columns of the cohort, such as sex,age: results are given for each of their values (or bands) too.",
        flag_values=values,
    )
    define_repair(values)


def define_repair(values: flags.FlagValues) -> None:
    """Defines the flag of `repair_scaling`."""
    flags.DEFINE_list(
        "repair_fixed_scaling",
        None,
        "MEAN,STD of a scaling (x - MEAN) / STD that somebody applied to the data, to be undone first; such as "
        "2.5,2.0.",
        flag_values=values,
    )


def repair_scaling(values: flags.FlagValues) -> tuple[float, float] | None:
    """Mean and deviation of the scaling to undo, if there is one.

    Raises:
        ConfigError: for anything but two numbers.
    """
    given = values.repair_fixed_scaling
    if given is None:
        return None
    try:
        mean, std = (float(number) for number in given)
    except ValueError:
        raise ConfigError(
            f"--repair_fixed_scaling={','.join(given)}: expected two numbers, mean and deviation, such as 2.5,2.0."
        ) from None
    return mean, std


def finetune_config(values: flags.FlagValues) -> FinetuneConfig:
    """The fine-tuning that was asked for. Where --weights is auto, the flag gets the name of what was found.

    Raises:
        ConfigError: for values that don't exist or don't go together.
    """
    if values.learn_score and not values["recalibration"].present:
        values.recalibration = "platt"  # what else there can be is an error
    others: dict[str, Any] = {"repair_fixed_scaling": repair_scaling(values), "subgroups": tuple(values.subgroups)}
    if values.weights == AUTO_WEIGHTS:
        values.weights = installed_weights(values.model, values.size, values.embedding)  # for flags.txt
    names = [field.name for field in dataclasses.fields(FinetuneConfig) if field.name not in others]
    return FinetuneConfig(**{name: getattr(values, name) for name in names}, **others)
