"""Raw minutes in, one vector a week out: an encoder with what has to happen to minutes before it.

Axes: B windows, T minutes, D embed_dim, F features (D, or 2 D for mean and deviation).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pat_keras.config.embed import EmbedConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.standardize import Standardizer
from pat_keras.data.stored_activity import Changed
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.layers import check_minutes
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.models.missing import check_complete, check_seen
from pat_keras.models.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Held:
    """What a model's file holds beside its encoder.

    Attributes:
        encoder: of the model.
        standardizer: the scaling under which it was trained; None if the file does not hold it.
        smoothing: of raw minutes before scaling.
        min_worn_share: None unless it was trained with missing minutes masked.
        scaling: the kind to fit where the file holds none.
    """

    encoder: PATEncoder
    standardizer: Standardizer | None = None
    smoothing: str = "none"
    min_worn_share: float | None = None
    scaling: str = "per_minute"

    @classmethod
    def of(
        cls,
        model: PATEncoder | Predictor | PATMaskedAutoencoder,
        scaling: str = "per_minute",
        smoothing: str = "none",
    ) -> Held:
        """Of any model that has a PAT encoder.

        Args:
            model: what was loaded.
            scaling: the kind to fit where it holds none.
            smoothing: of raw minutes, where it holds none.
        """
        if isinstance(model, PATEncoder):
            return cls(model, smoothing=smoothing, scaling=scaling)
        if not isinstance(model, Predictor):
            return cls(model.encoder, smoothing=smoothing, scaling=scaling)
        own = None if model.standardization is None else model.standardization.standardizer()
        return cls(model.encoder, own, model.smoothing, model.min_worn_share)


@dataclasses.dataclass(frozen=True)
class Embedder:
    """Embeds windows of raw minutes.

    Attributes:
        encoder: takes standardised minutes.
        standardizer: their scaling.
        smoothing: "none" or "savitzky_golay", before scaling.
        pooling: of the tokens, see `PATEncoder.embed`.
        min_worn_share: None if no minute is missing; a number from 0 to 1: missing minutes are NaN, and patches with a
            smaller share of known minutes are neither attended to nor pooled.
    """

    encoder: PATEncoder
    standardizer: Standardizer
    smoothing: str = "none"
    pooling: str = "mean"
    min_worn_share: float | None = None

    def embed(self, activity: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """(B, T) raw minutes -> (B, F) float32."""
        x = self.standardizer.apply(smooth(activity) if self.smoothing == "savitzky_golay" else activity)
        if self.min_worn_share is None:
            return self.encoder.embed(x, batch_size, pooling=self.pooling)
        wear = ~np.isnan(x)
        share = self.min_worn_share
        return self.encoder.embed(x, batch_size, wear=wear, min_worn_share=share, pooling=self.pooling)

    @classmethod
    def fit(cls, held: Held, activity: np.ndarray, config: EmbedConfig) -> Embedder:
        """The embedder of a model's encoder, with the model's own scaling or one that is fitted on these windows.

        Args:
            held: the encoder and what its file holds beside it.
            activity: (B, T) raw minutes, NaN = missing: an array, or anything that gives one when it is sliced.
            config: of scaling, pooling and missing minutes.

        Raises:
            ConfigError: if T is not a multiple of the patch size, or not the length of the model's scaling.
            CohortError: if minutes are missing that are not masked, a window has no patch to look at, or a minute is
                missing in all windows.
        """
        patch_size = held.encoder.config.patch_size
        check_minutes(activity.shape, patch_size)
        _check_known(activity, patch_size, _share(held, config))
        standardizer = held.standardizer
        if standardizer is None or config.standardize != "auto":
            kind = held.scaling if config.standardize == "auto" else config.standardize
            smoothed: Any = activity if held.smoothing == "none" else Changed(activity, smooth)
            standardizer = Standardizer.fit(smoothed, kind)
        elif standardizer.kind == "per_minute" and standardizer.mean.size != activity.shape[1]:
            raise ConfigError(
                f"The windows have {activity.shape[1]} minutes, and the weights are of a model that was trained on "
                f"windows of {standardizer.mean.size}. Prepare windows of that length, or fit another scaling "
                "(--standardize)."
            )
        return cls.of(held, standardizer, config)

    @classmethod
    def of(cls, held: Held, standardizer: Standardizer, config: EmbedConfig) -> Embedder:
        """The embedder of a model's encoder with this scaling."""
        return cls(held.encoder, standardizer, held.smoothing, config.pooling, _share(held, config))

    def check(self, activity: np.ndarray) -> None:
        """See that windows (B, T) can be embedded.

        Raises:
            CohortError: if minutes are missing that are not masked, or a window has no patch to look at.
        """
        _check_known(activity, self.encoder.config.patch_size, self.min_worn_share)

    @property
    def names(self) -> list[str]:
        """Of the features (F,): pat_00, pat_01, ... of the means, then pat_std_00, ... of the deviations."""
        width = self.encoder.config.embed_dim
        digits = len(str(width - 1))
        kinds = ["pat"] if self.pooling == "mean" else ["pat", "pat_std"]
        return [f"{kind}_{i:0{digits}d}" for kind in kinds for i in range(width)]


def _share(held: Held, config: EmbedConfig) -> float | None:
    """Of a patch's minutes, that must be known; None if all must be."""
    return {"auto": held.min_worn_share, "mask": config.min_worn_share, "refuse": None}[config.missing]


def _check_known(activity: np.ndarray, patch_size: int, min_worn_share: float | None) -> None:
    if min_worn_share is None:
        check_complete(activity, "mask them by missing='mask' (--missing=mask)")
    else:
        check_seen(activity, patch_size, min_worn_share)
