"""How a model is fine-tuned and scored, checked when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.config.encoder import EMBEDDINGS, SIZES
from pat_keras.errors import ConfigError

TASKS = ("binary", "multiclass", "regression")
# PAT, and the networks that the paper set beside it, with their names in print.
MODEL_TITLES = {"pat": "PAT", "lstm": "LSTM", "cnn1d": "CNN-1D", "cnn3d": "CNN-3D", "convlstm": "ConvLSTM"}
MODELS = tuple(MODEL_TITLES)
HEADS = ("official", "linear")
MODES = ("full", "linear_probe", "two_stage")
SCHEDULES = ("constant", "cosine")
OPTIMIZERS = ("adam", "sgd")
CLASS_WEIGHTS = ("balanced", "paper", "none")
KINDS = ("per_minute", "per_recording", "cohort", "none")  # of scaling
STANDARDIZE = ("auto", *KINDS, "paper")
SMOOTHING = ("none", "savitzky_golay")
MISSING = ("refuse", "mask")
SPLITS = ("holdout", "kfold", "leave_one_out", "list", "column")
CROSS_VALIDATION = ("kfold", "leave_one_out")  # the splits that test everybody
AVERAGING = ("none", "ema", "swa")
RECALIBRATION = ("none", "prior", "platt")
MONITORS = ("auto", "auc", "loss")
PRECISIONS = ("float32", "mixed_bfloat16")
JIT = ("auto", "on", "off")

# Learning rates of the encoder where none is given: small for weights that have learned something, larger for random
# ones.
ENCODER_RATE_PRETRAINED = 2e-5
ENCODER_RATE_RANDOM = 5e-4


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """How a model is fine-tuned and scored. The flags of `pat-finetune` have the same names.

    Attributes:
        task: "binary" (labels 0 and 1), "multiclass" (whole numbers) or "regression".
        model: "pat", or a network that the paper set beside it: "lstm", "cnn1d", "cnn3d" or "convlstm".
        weights: path of an official file or name of a preset to start from; empty for random weights.
        size: of the encoder where `weights` is empty; a file tells its own.
        embedding: likewise.
        head: "official" (the authors' hidden layer of 128) or "linear".
        mode: "full" trains everything; "linear_probe" freezes the encoder; "two_stage" trains the head alone for
            `probe_epochs`, then everything.
        probe_epochs: of the first stage of "two_stage".
        unfreeze_epochs: gradual unfreezing (Howard & Ruder, arXiv 1801.06146): the head learns first, and every so
            many training epochs one block more, from the last to the first, and at last the embedding; 0 for none.
        encoder_learning_rate: None for 2e-5 from weights and 5e-4 from random ones.
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
        class_weight: "balanced" (every class weighs the same in total; mean weight 1), "paper" ({0: positives / n,
            1: negatives / n}), or "none".
        dropout: rate in the encoder's blocks and before the head.
        recalibration: of the probabilities after training: "prior" takes the class weights out of them, so that they
            mean what they say; "platt" fits a slope and an intercept on validation people; "none".
        smoothing: of raw minutes, before anything else: "savitzky_golay" (window 51, order 3, as the paper tried) or
            "none".
        standardize: scaling, with statistics of the training people: "per_minute", "per_recording", "cohort", "none";
            "auto", per_minute from weights (they were pretrained so) and cohort from random ones (which have fewer
            numbers to estimate and were measured as good or better); or "paper": each of train, validation and test
            by its own minutes' statistics, as the authors did.
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
        baseline: also score a logistic regression on simple daily features, on the same people.
        subgroups: columns of the cohort by whose values results are given too.

    Raises:
        ConfigError: for a value that does not exist, or values that don't go together.
    """

    task: str = "binary"
    model: str = "pat"
    weights: str = ""
    size: str = "small"
    embedding: str = "linear"
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
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                expected = f"at least {least:g}" if most == _ANY else f"a number from {least:g} to {most:g}"
                raise ConfigError(f"{name} is {value}, expected {expected}.")
        for name in ("validation_fraction", "test_fraction", "layer_decay", "ema_decay"):
            if not 0 < getattr(self, name) < 1 and (name, getattr(self, name)) != ("layer_decay", 1):
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number between 0 and 1.")
        for name in ("head_learning_rate", "encoder_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                hint = " To keep the encoder as it is, use mode linear_probe." if name.startswith("enc") else ""
                raise ConfigError(f"{name} is {value}, expected a positive number.{hint}")
        for name, least in (("schedule_epochs", 1), ("train_size", 2), ("split_seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}, expected at least {least}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected a number from 0 up to 1.")
        self._check_together()

    def _check_together(self) -> None:
        """Raise a ConfigError for settings that are each allowed and don't go together."""
        if self.task == "regression":
            for name, neutral in _OF_CLASSES.items():
                if getattr(self, name) != neutral:
                    raise ConfigError(
                        f"{name} is {getattr(self, name)!r}, which is for classes, and the task is regression; "
                        f"expected {neutral!r}."
                    )
            if self.monitor == "auc":
                raise ConfigError("monitor is 'auc', but a regression has none; expected loss or auto.")
        if self.task == "multiclass" and self.class_weight == "paper":
            raise ConfigError("class_weight is 'paper', which is for two classes; expected balanced or none.")
        if self.task == "multiclass" and self.recalibration == "platt":
            raise ConfigError("recalibration is 'platt', which is for two classes; expected prior or none.")
        if self.model != "pat":
            default = {field.name: field.default for field in dataclasses.fields(self)}
            for name in _OF_PAT:
                if getattr(self, name) != default[name]:
                    raise ConfigError(
                        f"{name} is {getattr(self, name)!r}, which is for PAT alone, and the model is {self.model!r}; "
                        f"expected {default[name]!r}."
                    )
        if self.unfreeze_epochs and self.mode == "linear_probe":
            raise ConfigError(
                f"unfreeze_epochs is {self.unfreeze_epochs}, by which the encoder learns step by step, and the mode is "
                "linear_probe, in which it never does; expected 0, or mode full."
            )
        if (self.split == "list") != bool(self.test_people):
            raise ConfigError(
                f"split is {self.split!r} and test_people {self.test_people!r}; expected both split 'list' and the "
                "list of those to be tested, or neither."
            )

    @property
    def encoder_rate(self) -> float:
        """The learning rate of the encoder, the default filled in."""
        if self.encoder_learning_rate is not None:
            return self.encoder_learning_rate
        return ENCODER_RATE_PRETRAINED if self.weights else ENCODER_RATE_RANDOM

    @property
    def scaling(self) -> str:
        """The scaling, "auto" resolved."""
        if self.standardize != "auto":
            return self.standardize
        return "per_minute" if self.weights else "cohort"

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


_ANY = float("inf")

_CHOICES = {
    "task": TASKS,
    "model": MODELS,
    "size": SIZES,
    "embedding": EMBEDDINGS,
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
_RANGES = {
    "batch_size": (1, _ANY),
    "epochs": (1, _ANY),
    "patience": (1, _ANY),
    "probe_epochs": (1, _ANY),
    "folds": (2, _ANY),
    "unfreeze_epochs": (0, _ANY),
    "warmup_epochs": (0, _ANY),
    "seed": (0, _ANY),
    "weight_decay": (0, 1e9),
    "label_smoothing": (0, 0.99),
    "focal_gamma": (0, 100),
    "mixup": (0, 100),
    "augment_minutes": (0, 24 * 60),
    "augment_scale": (0, 10),
    "augment_mask_hours": (0, _ANY),
    "min_worn_share": (0, 1),
}
# What a regression must leave as it is, with its neutral value.
_OF_CLASSES = {"label_smoothing": 0.0, "focal_gamma": 0.0}
# What a model other than PAT has not.
_OF_PAT = (
    "weights",
    "size",
    "embedding",
    "head",
    "mode",
    "unfreeze_epochs",
    "encoder_learning_rate",
    "layer_decay",
    "precision",
)
