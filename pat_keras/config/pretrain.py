"""How an encoder is pretrained, checked when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.config.checks import FRACTION, POSITIVE, Bounds, check_values
from pat_keras.config.choices import JIT, KINDS, PRECISIONS, SCHEDULES, SMOOTHING
from pat_keras.config.encoder import EMBEDDINGS, SIZES

ORDERS = ("restored", "original")
PERMUTATIONS = ("person", "batch")
LOSSES = ("masked", "all")
OUTPUTS = ("tanh", "linear")
DECODER_STARTS = ("mimetic", "random")

# What is tuned for a size, here and in the defaults of PretrainConfig below, and nowhere else.
# The authors' learning rates, of Adam: 1e-3 (S, M), 1e-4 (L), 1e-5 (H). With a warm-up larger sizes bear more.
ORIGINAL_RATES = {"small": 1e-3, "medium": 1e-3, "large": 1e-4, "huge": 1e-5}
PRETRAIN_RATES = {"small": 1e-3, "medium": 1e-3, "large": 5e-4, "huge": 2e-4}

# Where nothing is said, of weeks that are whole days.
SHIFT_MINUTES = 30
PERSON_LOSS = 0.1


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """How an encoder is pretrained as a masked autoencoder. The flags of `pat-pretrain` have the same names.

    Attributes:
        size: of the encoder.
        embedding: of its patches.
        patch_size: minutes in one patch; None for the size's own.
        weights: path of a file or name of a preset to go on from, an encoder or a whole autoencoder, whose size,
            embedding and, of an autoencoder, output then count; empty for random weights.
        mask_ratio: share of patches masked. The authors' best is 0.9; at 0.75 and patches of 18 minutes a linear probe
            found as much (docs/results.md).
        order: where the decoder sees each token: "restored", at its own place; "original", misplaced as in the authors'
            notebooks (see `PATMaskedAutoencoder`).
        permutation: what is masked is drawn anew for each "person" of a batch, or once for the "batch", as the authors
            have it.
        loss: the squared error of "masked" minutes, or of "all".
        person_loss: weight of a second loss, beside that of the minutes: the encoder is to tell whose days it sees, of
            the people of the batch (`training.same_person`). 0 for none, as the authors have it. None: 0.1 for windows
            of two whole days or more, one a person; otherwise 0.
        output: of the decoder, "linear", or "tanh" (2 tanh, as the authors have it, which no minute beyond two standard
            deviations can reach).
        decoder_start: of a new decoder's attention: "mimetic", keys as queries, so that places begin by looking at what
            is near them (`PATMaskedAutoencoder.start_mimetic`), without which larger encoders stay for hundreds of
            training epochs at what the mean day says (docs/results.md); or "random", as the authors have it.
        dropout: rate in the blocks.
        augment_days: training weeks begin with a random day of theirs (a circular shift by whole days). None: if they
            are whole days.
        augment_minutes: circular shift of a training week by up to so many minutes, earlier or later. None: 30 if they
            are whole days.
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
    mask_ratio: float = 0.75
    order: str = "restored"
    permutation: str = "person"
    loss: str = "masked"
    person_loss: float | None = None
    output: str = "linear"
    decoder_start: str = "mimetic"
    dropout: float = 0.1
    augment_days: bool | None = None
    augment_minutes: int | None = None
    smoothing: str = "none"
    standardize: str = "cohort"
    learning_rate: float | None = None
    schedule: str = "cosine"
    warmup_epochs: int = 5
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    batch_size: int = 64
    epochs: int = 300
    patience: int | None = None
    validation_fraction: float = 0.1
    seed: int = 0
    precision: str = "float32"
    jit: str = "auto"
    data_parallel: bool = False

    def __post_init__(self) -> None:
        check_values(self, _CHOICES, _BOUNDS)

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
            "person_loss": 0.0,
            "output": "tanh",
            "decoder_start": "random",
            "mask_ratio": 0.9,
            "augment_days": False,
            "augment_minutes": 0,
            "standardize": "per_minute",
            "batch_size": 128,
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


_CHOICES = {
    "size": SIZES,
    "embedding": EMBEDDINGS,
    "order": ORDERS,
    "permutation": PERMUTATIONS,
    "loss": LOSSES,
    "output": OUTPUTS,
    "decoder_start": DECODER_STARTS,
    "smoothing": SMOOTHING,
    "standardize": KINDS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "jit": JIT,
}
_BOUNDS = {
    "mask_ratio": FRACTION,
    "validation_fraction": FRACTION,
    "learning_rate": POSITIVE,
    "dropout": Bounds(0, 1, open_most=True),
    "ema_decay": Bounds(0, 1, open_most=True),
    "augment_minutes": Bounds(0),
    "warmup_epochs": Bounds(0),
    "person_loss": Bounds(0, 1e9),
    "weight_decay": Bounds(0, 1e9),
    "clip_norm": Bounds(0, 1e9),
    "batch_size": Bounds(1),
    "epochs": Bounds(1),
    "patience": Bounds(1),
    "patch_size": Bounds(1),
    "seed": Bounds(0),
}
