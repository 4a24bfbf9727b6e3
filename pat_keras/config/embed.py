"""How windows become embeddings, checked when it is made."""

from __future__ import annotations

import dataclasses

from pat_keras.config import KINDS, POOLING
from pat_keras.errors import ConfigError

SCALINGS = ("auto", *KINDS)
GAPS = ("auto", "refuse", "mask")


@dataclasses.dataclass(frozen=True)
class EmbedConfig:
    """How windows become embeddings. The flags of `pat-embed` have the same names.

    Attributes:
        pooling: of a window's tokens: "mean", as in the paper, or "mean_std": then their standard deviations, too.
        standardize: scaling of raw minutes: "per_minute", "per_recording", "cohort" (fitted on the windows at hand),
            "none"; or "auto": that of the weights where their file holds it, as a fine-tuned model's does, and
            otherwise the kind under which they were pretrained, fitted on the windows at hand: what a preset or a run
            of pat-pretrain says, and of other files per_minute, the authors'.
        missing: "refuse" windows with missing minutes, or "mask" them: patches with fewer known minutes than
            `min_worn_share` are neither attended to nor pooled, other gaps count as the mean. "auto": as the model
            of the weights was trained, and otherwise refuse.
        min_worn_share: of a patch's minutes, from 0 to 1; for "mask". With "auto", the model's own.
        batch_size: windows a step.

    Raises:
        ConfigError: for a value that does not exist.
    """

    pooling: str = "mean"
    standardize: str = "auto"
    missing: str = "auto"
    min_worn_share: float = 0.5
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name, allowed in (("pooling", POOLING), ("standardize", SCALINGS), ("missing", GAPS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        if not 0 <= self.min_worn_share <= 1:
            raise ConfigError(f"min_worn_share is {self.min_worn_share}, expected a number from 0 to 1.")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected at least 1.")
