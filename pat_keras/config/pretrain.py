"""How an encoder is pretrained, checked when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.config.encoder import EMBEDDINGS, SIZES
from pat_keras.config.finetune import JIT, KINDS, PRECISIONS, SCHEDULES, SMOOTHING
from pat_keras.errors import ConfigError

ORDERS = ("restored", "original")
PERMUTATIONS = ("person", "batch")
LOSSES = ("masked", "all")
OUTPUTS = ("tanh", "linear")
STARTS = ("random", "distilled", "exact")  # of a convolutional embedding on linear weights

# The authors' learning rates, of Adam: 1e-3 (S, M), 1e-4 (L), 1e-5 (H). With a warm-up larger sizes bear more.
ORIGINAL_RATES = {"small": 1e-3, "medium": 1e-3, "large": 1e-4, "huge": 1e-5}
PRETRAIN_RATES = {"small": 1e-3, "medium": 1e-3, "large": 5e-4, "huge": 2e-4}


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """How an encoder is pretrained as a masked autoencoder. The flags of `pat-pretrain` have the same names.

    Attributes:
        size: of the encoder.
        embedding: of its patches.
        patch_size: minutes in one patch; None for the size's own.
        weights: path of a file or name of a preset to go on from, an encoder or a whole autoencoder, whose size and
            embedding then count; empty for random weights.
        mask_ratio: share of patches masked.
        order: where the decoder sees each token: "restored", at its own place; "original", misplaced as in the authors'
            notebooks (see `PATMaskedAutoencoder`).
        permutation: what is masked is drawn anew for each "person" of a batch, or once for the "batch", as the authors
            have it.
        loss: the squared error of "masked" minutes, or of "all".
        output: of the decoder, "tanh" (2 tanh, as the authors have it) or "linear".
        dropout: rate in the blocks.
        smoothing: of raw minutes: "savitzky_golay" or "none".
        standardize: scaling, fitted on the training people of each cohort by itself.
        learning_rate: None for that of the size, `PRETRAIN_RATES`.
        schedule: "cosine" (falling to zero at the end) or "constant".
        warmup_epochs: linear rise from zero at the start.
        weight_decay: decoupled from the gradient (as AdamW has it), for kernels alone.
        clip_norm: the gradient of all weights is made this long if it is longer; 0 for no limit.
        ema_decay: of an exponential average of the weights over steps, which is validated and kept; 0 for none.
        batch_size: windows a step.
        epochs: at most so many; in one, as many windows are seen as there are training windows.
        patience: training epochs without a better validation loss before stopping; None to run all of them. The weights
            with the best validation loss are kept either way.
        validation_fraction: of the people of each cohort that no list names.
        seed: of the people drawn for validation, random weights, order of windows, masks and dropout.
        precision: "float32" or "mixed_bfloat16".
        jit: whether to compile with XLA; "auto" does where it was measured faster.
        data_parallel: share each batch among all GPUs of this host (JAX).

    Raises:
        ConfigError: for a value that does not exist, or values that don't go together.
    """

    size: str = "small"
    embedding: str = "linear"
    patch_size: int | None = None
    weights: str = ""
    mask_ratio: float = 0.9
    order: str = "restored"
    permutation: str = "person"
    loss: str = "masked"
    output: str = "tanh"
    dropout: float = 0.1
    smoothing: str = "none"
    standardize: str = "per_minute"
    learning_rate: float | None = None
    schedule: str = "cosine"
    warmup_epochs: int = 5
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    batch_size: int = 128
    epochs: int = 100
    patience: int | None = None
    validation_fraction: float = 0.1
    seed: int = 0
    precision: str = "float32"
    jit: str = "auto"
    data_parallel: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name, (least, below) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value < below:
                expected = f"at least {least:g}" if below == _ANY else f"a number from {least:g} up to {below:g}"
                raise ConfigError(f"{name} is {value}, expected {expected}.")
        for name in ("patience", "patch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1.")
        for name in ("mask_ratio", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number between 0 and 1.")
        if self.learning_rate is not None and not 0 < self.learning_rate < _ANY:
            raise ConfigError(f"learning_rate is {self.learning_rate}, expected a positive number.")

    @classmethod
    def original(cls, size: str = "small", **changes: Any) -> PretrainConfig:
        """Pretraining as in the authors' notebooks, but that they halve the rate when the loss no longer falls.

        Ruan et al., arXiv 2411.15240, and github.com/njacobsonlab/Pretrained-Actigraphy-Transformer.
        """
        settings: dict[str, Any] = {
            "size": size,
            "order": "original",
            "permutation": "batch",
            "loss": "all",
            "output": "tanh",
            "learning_rate": ORIGINAL_RATES.get(size),
            "schedule": "constant",
            "warmup_epochs": 0,
            "clip_norm": 0.0,
            "ema_decay": 0.0,
            "patience": 250 if size in ("small", "medium") else 500,
            "epochs": 10_000,
        }
        return cls(**{**settings, **changes})

    def rate(self, size: str | None = None) -> float:
        """The learning rate, the default filled in: that of `size`, of one that has a name, or else the config's."""
        return self.learning_rate or PRETRAIN_RATES[size or self.size]

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a plain dictionary, for JSON."""
        return dataclasses.asdict(self)


_ANY = float("inf")

_CHOICES = {
    "size": SIZES,
    "embedding": EMBEDDINGS,
    "order": ORDERS,
    "permutation": PERMUTATIONS,
    "loss": LOSSES,
    "output": OUTPUTS,
    "smoothing": SMOOTHING,
    "standardize": KINDS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "jit": JIT,
}
_RANGES = {
    "dropout": (0.0, 1.0),
    "ema_decay": (0.0, 1.0),
    "warmup_epochs": (0, _ANY),
    "weight_decay": (0, _ANY),
    "clip_norm": (0, _ANY),
    "batch_size": (1, _ANY),
    "epochs": (1, _ANY),
    "seed": (0, _ANY),
}
