"""Training weeks changed a little in every training epoch, as the same person's week could have been.

What changes is raw activity, before it is scaled, since a scaling by the minute has other numbers for each minute. The
seed and the number of the training epoch decide everything: a resumed training sees the same weeks.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pat_keras.config import FinetuneConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError

_STREAM = 1  # of random numbers, beside the order of the windows (0, which is none) and mixup
DAY_MINUTES = 24 * 60
HOUR_MINUTES = 60


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The training windows as every training epoch sees them, scaled.

    Attributes:
        activity: (B, T) raw minutes of the training windows, NaN = missing.
        scaling: of the training people.
        config: the `augment_` settings, seed and `missing`.

    Raises:
        ConfigError: see `check_augmentation`.
    """

    activity: np.ndarray
    scaling: Standardizer
    config: FinetuneConfig

    def __post_init__(self) -> None:
        check_augmentation(self.config, self.activity.shape[1])

    def __call__(self, epoch: int) -> np.ndarray:
        """(B, T) float32 scaled windows of a training epoch, counted from 0.

        Hidden minutes are NaN where the config masks missing ones, and otherwise the mean of the training people.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, epoch, _STREAM])
        activity = self.activity
        if config.augment_days:
            activity = shift_days(activity, rng)
        if config.augment_minutes:
            activity = shift_minutes(activity, config.augment_minutes, rng)
        if config.augment_scale:
            activity = scale_activity(activity, config.augment_scale, rng)
        if config.augment_mask_hours:
            activity = mask_hours(activity, config.augment_mask_hours, rng)
        scaled = self.scaling.apply(activity)
        if config.augment_mask_hours and config.missing == "refuse":
            # Scaled, the mean is 0; only unscaled minutes have one of their own.
            scaled[np.isnan(scaled)] = self.activity.mean() if self.scaling.kind == "none" else 0.0
        return scaled


def augments(config: FinetuneConfig) -> bool:
    """Whether any augmentation is asked for."""
    return bool(config.augment_days or config.augment_minutes or config.augment_scale or config.augment_mask_hours)


def check_augmentation(config: FinetuneConfig, minutes: int) -> None:
    """See that windows of so many minutes can be changed as the config says.

    Raises:
        ConfigError: if they are not whole days and are to be shifted by days, or have not more whole hours than are to
            be hidden.
    """
    if config.augment_days and minutes % DAY_MINUTES:
        raise whole_days_error(minutes)
    hours, hidden = minutes // HOUR_MINUTES, config.augment_mask_hours
    if hidden and hidden >= hours:
        raise ConfigError(
            f"augment_mask_hours is {hidden}, and the windows have {hours} whole hours; expected fewer than these."
        )


def whole_days_error(minutes: int) -> ConfigError:
    """What is wrong with shifting windows of so many minutes by days."""
    return ConfigError(
        f"augment_days shifts by whole days, and the windows have {minutes} minutes, which are not; expected a "
        f"multiple of {DAY_MINUTES}. Prepare windows of whole days, or leave it off."
    )


def shift_days(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each window beginning with a random day of its own; the days before it come last. (B, T), T whole days."""
    days = rng.integers(activity.shape[1] // DAY_MINUTES, size=len(activity))
    return _shifted(activity, -days * DAY_MINUTES)


def shift_minutes(activity: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Each window shifted in a circle by a random number of minutes from -most to +most. (B, T)."""
    return _shifted(activity, rng.integers(-most, most + 1, size=len(activity)))


def _shifted(activity: np.ndarray, minutes: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(window, shift) for window, shift in zip(activity, minutes, strict=True)])


def scale_activity(activity: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Each window times its own exp(spread x z), z standard normal: another device, another wrist. (B, T) float32."""
    factors = np.exp(spread * rng.standard_normal((len(activity), 1)))
    return activity * factors.astype(np.float32)


def mask_hours(activity: np.ndarray, hours: int, rng: np.random.Generator) -> np.ndarray:
    """Each window with so many random hours, whole by its own clock, as NaN. (B, T) float32."""
    windows, minutes = activity.shape
    drawn = rng.random((windows, minutes // HOUR_MINUTES)).argsort(axis=1)[:, :hours]  # (B, hours)
    masked = activity.copy()
    whole = masked[:, : minutes // HOUR_MINUTES * HOUR_MINUTES].reshape(windows, -1, HOUR_MINUTES)
    whole[np.arange(windows)[:, None], drawn] = np.nan
    masked[:, : whole[0].size] = whole.reshape(windows, -1)
    return masked
