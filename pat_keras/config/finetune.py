"""How a model is fine-tuned and scored, checked when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.config.checks import FRACTION, POSITIVE, Bounds, check_values
from pat_keras.config.choices import (
    AVERAGING,
    CLASS_WEIGHTS,
    HEADS,
    JIT,
    MISSING,
    MODELS,
    MODES,
    MONITORS,
    OPTIMIZERS,
    POOLING,
    PRECISIONS,
    RECALIBRATION,
    SCHEDULES,
    SMOOTHING,
    SPLITS,
    STANDARDIZE,
    TASKS,
)
from pat_keras.config.combinations import check_together
from pat_keras.config.encoder import EMBEDDINGS, SIZES, STARTS
from pat_keras.errors import ConfigError

# Learning rates of the encoder where none is given: smaller for weights that have learned something than for random
# ones. On thousands of people 2e-5 does as well from weights (docs/results.md, section 4); hundreds hardly move it.
ENCODER_RATE_PRETRAINED = 1e-4
ENCODER_RATE_RANDOM = 5e-4

# Default of --weights, where FinetuneConfig has random ones: what the package has for the model, size and embedding.
AUTO_WEIGHTS = "auto"


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """How a model is fine-tuned and scored. The flags of `pat-finetune` have the same names.

    Attributes:
        task: "binary" (labels 0 and 1), "multiclass" (whole numbers) or "regression".
        learn_score: column of the score that a binary label is a cut of, such as phq9 of depression: it is learned in
            the label's place, as a share of its range among the training people (`pat_keras.training.score_targets`),
            and every window weighs the same; the label decides on stopping, makes the probabilities ("platt") and is
            what is scored. Empty to learn the label.
        model: "pat", or a network that the paper set beside it: "lstm", "cnn1d", "cnn3d" or "convlstm".
        weights: what to start from: the path of an official file, of one of ours or of a run of `pat-pretrain`, or the
            name of a preset; empty for random weights.
        size: of the encoder where `weights` is empty; a file tells its own.
        embedding: of the encoder's patches; "auto" for that of the weights, and linear where they are random. With
            linear weights, "conv" and "conv_linear" put a new embedding before their transformer blocks; with others,
            "linear" changes nothing.
        embedding_start: of such a new embedding: "distilled", fitted on the training people of each split to give the
            tokens of the linear one; "exact", of conv_linear alone, which gives them to float32 rounding; or "random",
            whose tokens mean nothing to blocks that learned from others. None: exact for conv_linear, distilled for
            conv.
        pooling: of a window's tokens, for the head: "mean", as in the paper, or "mean_std": then their standard
            deviations, too.
        head: "official" (the authors' hidden layer of 128) or "linear".
        mode: "full" trains everything; "linear_probe" freezes the encoder and trains the head; "logistic_probe" freezes
            it, too, and has for a head the logistic regression (for a regression: ridge) of least loss on the pooled
            tokens, its penalty chosen by cross-validation within the training people: nothing is trained by steps;
            "two_stage" trains the head alone for `probe_epochs`, then everything.
        probe_epochs: of the first stage of "two_stage".
        unfreeze_epochs: gradual unfreezing (Howard & Ruder, arXiv 1801.06146): the head learns first, and every so
            many training epochs one block more, from the last to the first, and at last the embedding; 0 for none.
        encoder_learning_rate: None for 1e-4 from weights and 5e-4 from random ones.
        head_learning_rate: of the head, and of all of a model that is not PAT.
        layer_decay: the encoder's rate is multiplied by this once for every block above (Howard & Ruder, as above; Bao
            et al., arXiv 2106.08254); 1 for none.
        schedule: "constant", or "cosine": falling to zero over `schedule_epochs`.
        schedule_epochs: None for `epochs`.
        warmup_epochs: linear rise from zero at the start, before the schedule.
        optimizer: "adam" or "sgd" (momentum 0.9).
        weight_decay: decoupled from the gradient (as AdamW has it), for kernels alone.
        label_smoothing: share of a target that is spread over all classes (Szegedy et al., arXiv 1512.00567).
        focal_gamma: exponent of the focal loss (Lin et al., arXiv 1708.02002); 0 is cross-entropy.
        mixup: alpha of mixup (Zhang et al., arXiv 1710.09412); 0 for none.
        averaging: of the weights over training, which are then validated and kept: "none", "ema" (exponential, over
            steps) or "swa" (equal, over training epochs; Izmailov et al., arXiv 1803.05407).
        ema_decay: of "ema", for each step.
        augment_days: training weeks begin with a random day of theirs (a circular shift by whole days).
        augment_minutes: circular shift of a training week by up to so many minutes, earlier or later.
        augment_scale: s of the factor exp(s z), z standard normal, on a training week's raw activity.
        augment_mask_hours: so many random hours of a training week are hidden.
        batch_size: windows a step.
        epochs: at most so many.
        patience: training epochs without a better validation value before stopping.
        monitor: value on validation people that stops training and chooses the weights: "auc" (higher is better; ties
            by loss), "loss", or "auto": loss for regression, otherwise auc.
        committee: models that learn in place of one, each stopped by other people: the validation people, and as many
            of the training people in turn, so that nobody is spent on stopping alone. Their predictions are averaged
            (Krogh & Vedelsby, 1995; Parmanto, Munro & Doyle, 1996). 1 for one model.
        class_weight: "balanced" (every class weighs the same in total; mean weight 1), "paper" ({0: positives / n,
            1: negatives / n}), or "none".
        dropout: rate in the encoder's blocks and before the head.
        recalibration: of the probabilities after training: "prior" takes out of them what class weights did, and that
            people of some classes have more windows, so that they mean what they say: they fit the shares of the
            classes among the training people; "platt" fits a slope and an intercept on validation people; "none".
        smoothing: of raw minutes, before anything else: "savitzky_golay" (window 51, order 3, as the paper tried) or
            "none".
        standardize: scaling, with statistics of the training people: "per_minute", "per_recording", "cohort", "none";
            "auto": from weights, as they were pretrained, which a preset and a run of pat-pretrain tell (of other
            files per_minute, the authors'), and cohort from random ones (which has fewer numbers to estimate and was
            measured as good or better); or "paper": each of train, validation and test by its own minutes'
            statistics, as the authors did.
        repair_fixed_scaling: (mean, std) of a scaling to undo first; None for none.
        missing: "refuse" windows with missing minutes (an error that counts them), or "mask" them: patches with fewer
            known minutes than `min_worn_share` are neither attended to nor pooled, other gaps count as the mean.
        min_worn_share: of a patch's minutes, from 0 to 1; for "mask".
        split: "holdout"; "kfold"; "leave_one_out": everybody is tested by a model of the others; "list": the people
            of `test_people` are tested; or "column": what the column `split_column` of the cohort says.
        test_people: for "list": a file of participant ids, or the name of a list that comes with the package.
        train_size: people of training and validation together, drawn by the seed from those not tested; None for all.
        split_column: holds train, validation or test for every row.
        folds: of "kfold".
        validation_fraction: of the people that are not tested.
        test_fraction: of all people; for "holdout".
        seed: of the split, the random weights, the order of the windows and dropout.
        split_seed: of the split alone; None for `seed`.
        precision: "float32" or "mixed_bfloat16".
        jit: whether to compile with XLA; "auto" does where it was measured faster.
        baseline: also score a logistic (of numbers a ridge) regression on simple daily features, on the same people.
        subgroups: columns of the cohort by whose values results are given too.

    Raises:
        ConfigError: for a value that does not exist, or values that don't go together.
    """

    task: str = "binary"
    learn_score: str = ""
    model: str = "pat"
    weights: str = ""
    size: str = "small"
    embedding: str = "auto"
    embedding_start: str | None = None
    pooling: str = "mean"
    head: str = "official"
    mode: str = "full"
    probe_epochs: int = 20
    unfreeze_epochs: int = 0
    encoder_learning_rate: float | None = None
    head_learning_rate: float = 5e-4
    layer_decay: float = 1.0
    schedule: str = "cosine"
    schedule_epochs: int | None = None
    warmup_epochs: int = 1
    optimizer: str = "adam"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    mixup: float = 0.0
    averaging: str = "none"
    ema_decay: float = 0.99
    augment_days: bool = False
    augment_minutes: int = 0
    augment_scale: float = 0.0
    augment_mask_hours: int = 0
    batch_size: int = 16
    epochs: int = 30
    patience: int = 10
    monitor: str = "auto"
    committee: int = 1
    class_weight: str = "balanced"
    dropout: float = 0.1
    recalibration: str = "prior"
    smoothing: str = "none"
    standardize: str = "auto"
    repair_fixed_scaling: tuple[float, float] | None = None
    missing: str = "refuse"
    min_worn_share: float = 0.5
    split: str = "holdout"
    test_people: str = ""
    train_size: int | None = None
    split_column: str = "split"
    folds: int = 5
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    seed: int = 0
    split_seed: int | None = None
    precision: str = "float32"
    jit: str = "auto"
    baseline: bool = True
    subgroups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.encoder_learning_rate is not None and not POSITIVE.allow(self.encoder_learning_rate):
            raise ConfigError(
                f"encoder_learning_rate is {self.encoder_learning_rate}, expected {POSITIVE}. To keep the encoder as "
                "it is, use mode linear_probe."
            )
        check_values(self, _CHOICES, _BOUNDS)
        check_together(self)

    @property
    def learned_task(self) -> str:
        """What kind of thing is learned: of a score its values, whatever is made of them later."""
        return "regression" if self.learn_score else self.task

    @property
    def start(self) -> str:
        """How a convolutional embedding starts on linear weights, the default filled in."""
        return self.embedding_start or ("exact" if self.embedding == "conv_linear" else "distilled")

    @property
    def built_head(self) -> str:
        """The head of the model: that of "logistic_probe" is linear, whatever `head` says."""
        return "linear" if self.mode == "logistic_probe" else self.head

    @property
    def encoder_rate(self) -> float:
        """The learning rate of the encoder, the default filled in."""
        if self.encoder_learning_rate is not None:
            return self.encoder_learning_rate
        return ENCODER_RATE_PRETRAINED if self.weights else ENCODER_RATE_RANDOM

    @property
    def monitored(self) -> str:
        """The value that is watched, "auto" resolved: "auc" or "loss"."""
        if self.monitor != "auto":
            return self.monitor
        return "loss" if self.task == "regression" else "auc"

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a plain dictionary, for JSON."""
        values = dataclasses.asdict(self)
        repair = self.repair_fixed_scaling
        lists = {"repair_fixed_scaling": None if repair is None else list(repair), "subgroups": list(self.subgroups)}
        return {**values, **lists}


_CHOICES = {
    "task": TASKS,
    "model": MODELS,
    "size": SIZES,
    "embedding": ("auto", *EMBEDDINGS),
    "embedding_start": STARTS,
    "pooling": POOLING,
    "head": HEADS,
    "mode": MODES,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "averaging": AVERAGING,
    "monitor": MONITORS,
    "class_weight": CLASS_WEIGHTS,
    "recalibration": RECALIBRATION,
    "smoothing": SMOOTHING,
    "standardize": STANDARDIZE,
    "missing": MISSING,
    "split": SPLITS,
    "precision": PRECISIONS,
    "jit": JIT,
}
_BOUNDS = {
    **dict.fromkeys(("batch_size", "committee", "epochs", "patience", "probe_epochs", "schedule_epochs"), Bounds(1)),
    **dict.fromkeys(("unfreeze_epochs", "warmup_epochs", "augment_mask_hours", "seed", "split_seed"), Bounds(0)),
    "folds": Bounds(2),
    "train_size": Bounds(2),
    "head_learning_rate": POSITIVE,
    "validation_fraction": FRACTION,
    "test_fraction": FRACTION,
    "ema_decay": FRACTION,
    "layer_decay": Bounds(0, 1, open_least=True),
    "dropout": Bounds(0, 1, open_most=True),
    "min_worn_share": Bounds(0, 1),
    "weight_decay": Bounds(0, 1e9),
    "label_smoothing": Bounds(0, 0.99),
    "focal_gamma": Bounds(0, 100),
    "mixup": Bounds(0, 100),
    "augment_minutes": Bounds(0, 24 * 60),
    "augment_scale": Bounds(0, 10),
}
