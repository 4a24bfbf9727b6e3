"""What a model is, as frozen dataclasses checked when they are made. Standard library only.

The sizes are those of the original's notebooks (github.com/njacobsonlab/Pretrained-Actigraphy-Transformer) and of
Ruan et al., arXiv 2411.15240, table 1; "huge" is in the notebooks but was never published.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.errors import ConfigError

EMBEDDINGS = ("linear", "conv", "conv_linear")
WEEK_MINUTES = 7 * 24 * 60

_SIZES: dict[str, dict[str, int]] = {
    "small": {"patch_size": 18, "num_heads": 6, "num_layers": 1},
    "medium": {"patch_size": 18, "num_heads": 12, "num_layers": 2},
    "large": {"patch_size": 9, "num_heads": 12, "num_layers": 4},
    "huge": {"patch_size": 5, "num_heads": 12, "num_layers": 8},
}
SIZES = tuple(_SIZES)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of a PAT encoder.

    Attributes:
        patch_size: minutes in one patch.
        num_heads: attention heads of a block.
        num_layers: transformer blocks.
        embed_dim: width of a token (D).
        key_dim: width of a head. Equal to `embed_dim` in every PAT, and required to be: the attention layer relies on
            it.
        ff_dim: width of the feed-forward layer.
        dropout: dropout rate of a block, active in training only.
        embedding: "linear" (the published checkpoints), "conv" (the paper's PAT Conv: a convolution within each patch,
            relu, the mean over the patch's minutes), or "conv_linear" (a convolution over the minutes, then a linear
            projection of each patch).
        conv_kernel_size: minutes the convolution sees; None means 3 for "conv" and 5 for "conv_linear".
        conv_filters: filters of "conv_linear"; "conv" always has `embed_dim`.
        conv_across_patches: let the "conv_linear" convolution see the neighbouring patches' minutes. Off, each patch is
            padded with zeros, so that nothing leaks from one patch into the next.

    Raises:
        ConfigError: for a value that no PAT can have.
    """

    patch_size: int
    num_heads: int
    num_layers: int
    embed_dim: int = 96
    key_dim: int = 96
    ff_dim: int = 256
    dropout: float = 0.1
    embedding: str = "linear"
    conv_kernel_size: int | None = None
    conv_filters: int = 16
    conv_across_patches: bool = False

    def __post_init__(self) -> None:
        for name in ("patch_size", "num_heads", "num_layers", "embed_dim", "key_dim", "ff_dim", "conv_filters"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"EncoderConfig: {name} is {value!r}, expected a positive whole number.")
        if self.key_dim != self.embed_dim:
            raise ConfigError(
                f"EncoderConfig: key_dim is {self.key_dim} and embed_dim {self.embed_dim}; in a PAT they are equal "
                "(96 for each head). Give both the same value."
            )
        if self.embed_dim % 2:
            raise ConfigError(f"EncoderConfig: embed_dim is {self.embed_dim}; the positions need an even number.")
        if not isinstance(self.dropout, int | float) or not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"EncoderConfig: dropout is {self.dropout!r}, expected a number from 0 up to 1.")
        if self.embedding not in EMBEDDINGS:
            raise ConfigError(
                f"EncoderConfig: embedding is {self.embedding!r}, expected one of {', '.join(EMBEDDINGS)}."
            )
        if self.conv_kernel_size is not None and self.embedding == "linear":
            raise ConfigError("EncoderConfig: conv_kernel_size is given, but embedding='linear' has no convolution.")
        kernel = self.conv_kernel_size
        if kernel is not None and (not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0):
            raise ConfigError(f"EncoderConfig: conv_kernel_size is {kernel!r}, expected an odd whole number.")
        if self.conv_across_patches and self.embedding != "conv_linear":
            raise ConfigError("EncoderConfig: conv_across_patches is for embedding='conv_linear' alone.")

    @property
    def kernel_size(self) -> int:
        """Minutes the convolution of the embedding sees."""
        return self.conv_kernel_size or {"conv_linear": 5}.get(self.embedding, 3)

    @property
    def size(self) -> str | None:
        """The name of the size with this patch size, heads, blocks and widths, or None if it is nobody's."""
        for name in SIZES:
            named = EncoderConfig.of_size(name)
            if all(getattr(self, key) == getattr(named, key) for key in (*_SIZES[name], "embed_dim", "ff_dim")):
                return name
        return None

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> EncoderConfig:
        """The configuration of a named size, with `changes` to any attribute.

        Raises:
            ConfigError: if `size` is not small, medium, large or huge.
        """
        if size not in _SIZES:
            raise ConfigError(f"EncoderConfig: size is {size!r}, expected one of {', '.join(SIZES)}.")
        return cls(**{**_SIZES[size], **changes})

    @classmethod
    def small(cls, **changes: Any) -> EncoderConfig:
        """PAT-S: patches of 18 minutes, 6 heads, 1 block."""
        return cls.of_size("small", **changes)

    @classmethod
    def medium(cls, **changes: Any) -> EncoderConfig:
        """PAT-M: patches of 18 minutes, 12 heads, 2 blocks."""
        return cls.of_size("medium", **changes)

    @classmethod
    def large(cls, **changes: Any) -> EncoderConfig:
        """PAT-L: patches of 9 minutes, 12 heads, 4 blocks."""
        return cls.of_size("large", **changes)

    @classmethod
    def huge(cls, **changes: Any) -> EncoderConfig:
        """PAT-H: patches of 5 minutes, 12 heads, 8 blocks. In the original's notebooks, never published."""
        return cls.of_size("huge", **changes)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a plain dictionary, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: for a key that is not an attribute.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"EncoderConfig: unknown setting {', '.join(unknown)}.")
        return cls(**values)


TASKS = ("binary", "multiclass", "regression")
HEADS = ("official", "linear")
MODES = ("full", "linear_probe", "two_stage")
SCHEDULES = ("constant", "cosine")
OPTIMIZERS = ("adam", "sgd")
CLASS_WEIGHTS = ("balanced", "paper", "none")
KINDS = ("per_minute", "per_recording", "cohort", "none")  # of scaling
STANDARDIZE = ("auto", *KINDS, "paper")
MISSING = ("refuse", "mask")
SPLITS = ("holdout", "kfold", "column")
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
        weights: path of an official file or name of a preset to start from; empty for random weights.
        size: of the encoder where `weights` is empty; a file tells its own.
        embedding: likewise.
        head: "official" (the authors' hidden layer of 128) or "linear".
        mode: "full" trains everything; "linear_probe" freezes the encoder; "two_stage" trains the head alone for
            `probe_epochs`, then everything.
        probe_epochs: of the first stage of "two_stage".
        encoder_learning_rate: None for 2e-5 from weights and 5e-4 from random ones.
        head_learning_rate: of the head.
        schedule: "constant", or "cosine": falling to zero over `schedule_epochs`.
        schedule_epochs: None for `epochs`.
        warmup_epochs: linear rise from zero at the start, before the schedule.
        optimizer: "adam" or "sgd" (momentum 0.9).
        weight_decay: decoupled from the gradient (as AdamW has it), for kernels alone.
        batch_size: windows a step.
        epochs: at most so many.
        patience: training epochs without a better validation value before stopping.
        monitor: value on validation people that stops training and chooses the weights: "auc" (higher is better; ties
            by loss), "loss", or "auto": loss for regression, otherwise auc.
        class_weight: "balanced" (every class weighs the same in total; mean weight 1), "paper" ({0: positives / n,
            1: negatives / n}), or "none".
        dropout: rate in the encoder's blocks and before the head.
        standardize: scaling, with statistics of the training people: "per_minute", "per_recording", "cohort", "none";
            "auto", per_minute from weights (they were pretrained so) and cohort from random ones (which have fewer
            numbers to estimate and were measured as good or better); or "paper": each of train, validation and test
            by its own minutes' statistics, as the authors did.
        repair_fixed_scaling: (mean, std) of a scaling to undo first; None for none.
        missing: "refuse" windows with missing minutes (an error that counts them), or "mask" them: patches with fewer
            known minutes than `min_worn_share` are neither attended to nor pooled, other gaps count as the mean.
        min_worn_share: of a patch's minutes, from 0 to 1; for "mask".
        split: "holdout", "kfold", or "column": the split that the column `split_column` of the cohort names.
        split_column: holds train, validation or test for every row.
        folds: of "kfold".
        validation_fraction: of the people that are not tested.
        test_fraction: of all people; for "holdout".
        seed: of the split, the random weights, the order of the windows and dropout.
        precision: "float32" or "mixed_bfloat16".
        jit: whether to compile with XLA; "auto" does where it was measured faster.
        baseline: also score a logistic regression on simple daily features, on the same people.

    Raises:
        ConfigError: for a value that does not exist, or values that don't go together.
    """

    task: str = "binary"
    weights: str = ""
    size: str = "small"
    embedding: str = "linear"
    head: str = "official"
    mode: str = "full"
    probe_epochs: int = 20
    encoder_learning_rate: float | None = None
    head_learning_rate: float = 5e-4
    schedule: str = "cosine"
    schedule_epochs: int | None = None
    warmup_epochs: int = 1
    optimizer: str = "adam"
    weight_decay: float = 0.0
    batch_size: int = 16
    epochs: int = 30
    patience: int = 10
    monitor: str = "auto"
    class_weight: str = "balanced"
    dropout: float = 0.1
    standardize: str = "auto"
    repair_fixed_scaling: tuple[float, float] | None = None
    missing: str = "refuse"
    min_worn_share: float = 0.5
    split: str = "holdout"
    split_column: str = "split"
    folds: int = 5
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    seed: int = 0
    precision: str = "float32"
    jit: str = "auto"
    baseline: bool = True

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name in ("batch_size", "epochs", "patience", "probe_epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in ("head_learning_rate", "encoder_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                hint = " To keep the encoder as it is, use mode linear_probe." if name.startswith("enc") else ""
                raise ConfigError(f"{name} is {value}, expected a positive number.{hint}")
        for name in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number between 0 and 1.")
        if not 0 <= self.min_worn_share <= 1:
            raise ConfigError(f"min_worn_share is {self.min_worn_share}, expected a number from 0 to 1.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected a number from 0 up to 1.")
        if not 0 <= self.weight_decay < float("inf"):
            raise ConfigError(f"weight_decay is {self.weight_decay}, expected 0 or a positive number.")
        for name in ("warmup_epochs", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 or more.")
        if self.schedule_epochs is not None and self.schedule_epochs < 1:
            raise ConfigError(f"schedule_epochs is {self.schedule_epochs}, expected at least 1.")
        if self.folds < 2:
            raise ConfigError(f"folds is {self.folds}, expected at least 2.")
        if self.task == "regression" and self.monitor == "auc":
            raise ConfigError("monitor is 'auc', but a regression has none; expected loss or auto.")
        if self.task == "multiclass" and self.class_weight == "paper":
            raise ConfigError("class_weight is 'paper', which is for two classes; expected balanced or none.")

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
        return {**values, "repair_fixed_scaling": None if repair is None else list(repair)}


_CHOICES = {
    "task": TASKS,
    "size": SIZES,
    "embedding": EMBEDDINGS,
    "head": HEADS,
    "mode": MODES,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "class_weight": CLASS_WEIGHTS,
    "standardize": STANDARDIZE,
    "missing": MISSING,
    "split": SPLITS,
    "monitor": MONITORS,
    "precision": PRECISIONS,
    "jit": JIT,
}
