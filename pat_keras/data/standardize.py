"""Scaling of activity: fitted on training people, applied to everybody, kept with the model; and seen where it was
done before.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np

from pat_keras.config import KINDS
from pat_keras.data.files import atomic_write
from pat_keras.data.scaling_numbers import ScalingNumbers, whole_number_step
from pat_keras.errors import CohortError

_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks
_KNOWN_MEAN, _KNOWN_STD = 2.5, 2.0  # applied by a port in circulation
_ACCEPT = "--standardize=none takes it as it is; raw activity would leave the choice to you."


@dataclasses.dataclass(frozen=True)
class Standardizer:
    """Subtracts a mean and divides by a standard deviation. Missing minutes (NaN) are ignored in `fit`, and stay.

    As in scikit-learn's StandardScaler, the deviation is the population's, and one of zero counts as 1.

    Attributes:
        kind: "per_minute", a mean for each minute of the window over all windows (the paper's way); "per_recording",
            each window by its own mean and deviation, for which nothing is fitted; "cohort", one mean of all minutes of
            all windows; "none", nothing is done.
        mean: float32, (T,) for "per_minute", otherwise (1,).
        scale: float32 of the same shape, positive.

    Raises:
        CohortError: for an unknown kind, or numbers that can't be a mean and a scale.
    """

    kind: str
    mean: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        for name in ("mean", "scale"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float32))
            getattr(self, name).flags.writeable = False
        shape_fits = self.mean.ndim == 1 and self.mean.shape == self.scale.shape and self.mean.size > 0
        if not shape_fits or (self.kind != "per_minute" and self.mean.size != 1):
            raise CohortError(
                f"Standardizer: mean has the shape {self.mean.shape} and scale {self.scale.shape}; expected the same, "
                f"{'(minutes,)' if self.kind == 'per_minute' else '(1,)'} for {self.kind}. Fit it again."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise CohortError("Standardizer: expected finite means and positive, finite scales. Fit it again.")

    @classmethod
    def fit(cls, activity: np.ndarray, kind: str) -> Standardizer:
        """The scaling of (B, T) windows, which should be those of training people alone.

        Raises:
            CohortError: for an unknown kind, an array that is not (B, T), or a minute (all minutes, for "cohort") that
                is missing in every window.
        """
        _check_kind(kind)
        _check_windows(activity)
        if kind in ("none", "per_recording"):
            return cls(kind, np.zeros(1), np.ones(1))
        count, total = np.zeros(activity.shape[1]), np.zeros(activity.shape[1])
        for first in range(0, len(activity), _BLOCK):
            block = activity[first : first + _BLOCK].astype(np.float64)
            known = ~np.isnan(block)
            count += known.sum(axis=0)
            total += np.where(known, block, 0.0).sum(axis=0)
        if kind == "cohort":
            count, total = count.sum(keepdims=True), total.sum(keepdims=True)
        if not count.all():
            raise CohortError(
                f"Standardizer: {int((count == 0).sum())} of {count.size} minutes are missing in all {len(activity)} "
                f"windows (the first is minute {int(np.argmin(count))}), so {kind} has no mean for them. Use "
                "per_recording or cohort, or windows that cover them."
            )
        mean = total / count
        # A second pass: the difference of two large sums would lose the digits of a small variance.
        squares = np.zeros(activity.shape[1])
        for first in range(0, len(activity), _BLOCK):
            deviation = activity[first : first + _BLOCK].astype(np.float64) - mean
            squares += np.where(np.isnan(deviation), 0.0, deviation**2).sum(axis=0)
        variance = (squares.sum(keepdims=True) if kind == "cohort" else squares) / count
        return cls(kind, mean, _positive(np.sqrt(variance), mean))

    def apply(self, activity: np.ndarray) -> np.ndarray:
        """(B, T) standardised, as a new float32 array.

        Raises:
            CohortError: if the array is not (B, T), or T is not that of the fit ("per_minute").
        """
        _check_windows(activity)
        if self.kind == "per_minute" and activity.shape[1] != self.mean.size:
            raise CohortError(
                f"Standardizer: was fitted on windows of {self.mean.size} minutes, these have {activity.shape[1]}. Use "
                "windows of the same length, or fit again."
            )
        scaled = np.empty(activity.shape, np.float32)
        for first in range(0, len(activity), _BLOCK):
            block = activity[first : first + _BLOCK]
            if self.kind == "per_recording":
                scaled[first : first + _BLOCK] = _standardize_rows(block)
            elif self.kind == "none":
                scaled[first : first + _BLOCK] = block
            else:
                scaled[first : first + _BLOCK] = (block - self.mean) / self.scale
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values, for JSON; float32 survives exactly."""
        return {"kind": self.kind, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Standardizer:
        """The inverse of `to_dict`.

        Raises:
            CohortError: if these are not its values.
        """
        try:
            return cls(values["kind"], values["mean"], values["scale"])
        except (KeyError, TypeError, ValueError) as problem:
            if isinstance(problem, CohortError):
                raise
            raise CohortError(
                f"Standardizer: the stored values are not those of a scaling ({type(problem).__name__}: {problem}); "
                "expected kind, mean and scale. Fit it again."
            ) from None

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Writes a JSON file, whole or not at all.

        Raises:
            CohortError: if the file is there and `overwrite` is off, or it can't be written.
        """
        with atomic_write(path, overwrite=overwrite, error=CohortError) as temporary:
            temporary.write_text(json.dumps(self.to_dict()), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Standardizer:
        """Reads what `save` wrote.

        Raises:
            CohortError: if there is no such file, or it is another one.
        """
        try:
            return cls.from_dict(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as problem:
            raise CohortError(f"{path}: can't be read as a saved scaling: {problem} Expected JSON by save.") from None


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise CohortError(f"Standardizer: the kind is {kind!r}, expected one of {', '.join(KINDS)}.")


def _check_windows(activity: np.ndarray) -> None:
    if activity.ndim != 2 or 0 in activity.shape:
        raise CohortError(f"Standardizer: activity has the shape {activity.shape}, expected (windows, minutes).")


def _standardize_rows(block: np.ndarray) -> np.ndarray:
    """Each row by its own mean and deviation, computed in float64."""
    values = block.astype(np.float64)
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
    values -= mean
    deviation = np.sqrt(np.where(known, values**2, 0.0).sum(axis=1, keepdims=True) / count)
    return values / _positive(deviation, mean)


def _positive(deviation: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Deviations that are zero but for rounding (as of a minute that is the same in everybody) become 1."""
    return np.where(deviation <= 1e-12 * np.maximum(np.abs(mean), 1.0), 1.0, deviation)


@dataclasses.dataclass(frozen=True)
class ScalingFinding:
    """What `detect_scaling` saw.

    Attributes:
        kind: "per_recording", "per_minute" or "cohort" (standardised so), "shared_mean" (each recording centred by
            itself), "fixed" (one mean and one deviation for everybody, not of these data), or "negative" (values below
            zero of unknown origin).
        message: what was seen and what to do, in one paragraph.
        mean: for "fixed", what was subtracted, where that can be told.
        std: likewise, what was divided by.
    """

    kind: str
    message: str
    mean: float | None = None
    std: float | None = None


def detect_scaling(activity: np.ndarray) -> ScalingFinding | None:
    """Says if (B, T) windows were already, or wrongly, scaled; None for raw activity, which is never negative.

    Raw zeros tell how: standardised per recording or per minute they differ from window to window or from minute to
    minute, while under one mean and deviation for everybody they all become the same negative minimum. A port of PAT in
    circulation does (x - 2.5) / 2.0, so that this minimum is -1.25; with it the AUC stays near 0.47.

    Raises:
        CohortError: if the array is not (B, T).
    """
    _check_windows(activity)
    seen = ScalingNumbers.of(activity)
    shared = seen.windows.common(1e-3)
    if shared is not None:
        return _shared_finding("per_recording", *shared)
    if not seen.lowest < 0:
        return None
    if seen.share_at_lowest >= 0.01 and seen.windows_at_lowest >= 0.5:
        return _one_scaling_finding(activity, seen)
    shared = seen.minutes.common(0.01)
    if shared is not None:
        return _shared_finding("per_minute", *shared)
    if np.mean(seen.minute_lowest < 0) > 0.95 and seen.share_at_minute_lowest > max(0.1, 3 / len(activity)):
        # A part of the windows that the scaling was fitted on: the means are only roughly 0, but raw zeros show.
        return ScalingFinding(
            "per_minute",
            "the activity is already standardised per_minute: the smallest value of a minute (column) is negative, "
            f"another one in every minute, and the same in {seen.share_at_minute_lowest:.0%} of the windows, as raw "
            f"zeros are. {_ACCEPT}",
        )
    return ScalingFinding(
        "negative",
        f"{seen.share_negative:.2%} of the values are negative (the smallest is {seen.lowest:.6g}), expected counts or "
        "another measure from 0 upwards. If they mark missing minutes (NHANES writes -0.01), make them NaN; if the "
        "data were standardised in a way of their own, --standardize=none takes them as they are.",
    )


def _shared_finding(kind: str, mean: float, std: float, alike: bool) -> ScalingFinding:
    """For windows, or minutes, that share one mean (and one deviation, if `alike`)."""
    each = "window" if kind == "per_recording" else "minute (column)"
    numbers = f"the mean of every {each} is {round(mean, 6) + 0.0:.4g}"
    if abs(mean) < 0.01 and abs(std - 1.0) < 0.01:
        return ScalingFinding(
            kind,
            f"the activity is already standardised {kind}: {numbers}, the deviation {std:.4g}. {_ACCEPT}",
        )
    if alike and mean < 0:
        before, divisor = -mean / std, 1.0 / std
        return ScalingFinding(
            "fixed",
            f"{numbers} and the deviation {std:.4g}: the data were standardised {kind}, and then a fixed mean and "
            f"deviation were applied to everybody, as (x - {before:.4g}) / {divisor:.4g}. "
            f"--repair_fixed_scaling={before:.4g},{divisor:.4g} undoes the second step.",
            before,
            divisor,
        )
    return ScalingFinding(
        "shared_mean",
        f"{numbers}: each was centred by itself, which raw activity never is, and how much a person moves is lost. Use "
        "the raw activity if you have it; --standardize=none takes the data as they are.",
    )


def _one_scaling_finding(activity: np.ndarray, seen: ScalingNumbers) -> ScalingFinding:
    """For a negative minimum that many windows share: what was raw zero."""
    numbers = (
        f"the smallest value is {seen.lowest:.6g}, it makes up {seen.share_at_lowest:.0%} of all values and is in "
        f"{seen.windows_at_lowest:.0%} of the windows, as raw zeros are"
    )
    mean: float | None = None
    std: float | None = None
    if abs(seen.lowest + _KNOWN_MEAN / _KNOWN_STD) < 1e-4:
        mean, std = _KNOWN_MEAN, _KNOWN_STD
    elif abs(float(seen.overall.mean)) < 0.05 and abs(float(seen.overall.std) - 1.0) < 0.05:
        return ScalingFinding(
            "cohort",
            f"the activity is already standardised with the mean and deviation of the whole cohort: "
            f"{numbers}. {_ACCEPT}",
        )
    elif (step := whole_number_step(activity, seen.lowest)) is not None:
        mean, std = -seen.lowest / step, 1.0 / step
    if mean is None or std is None:
        undo = "--repair_fixed_scaling=MEAN,STD undoes it if you know what was applied; otherwise use the raw activity"
    else:
        undo = f"--repair_fixed_scaling={mean:.6g},{std:.6g} undoes it: (x - {mean:.6g}) / {std:.6g} gives these values"
    if mean == _KNOWN_MEAN:
        undo += "; fed like that, models were seen to stay at an AUC near 0.47"
    return ScalingFinding(
        "fixed",
        f"one mean and deviation, not those of these data, were applied to everybody: {numbers}. {undo}. "
        "--standardize=none takes the data as they are.",
        mean,
        std,
    )


def undo_fixed_scaling(activity: np.ndarray, mean: float, std: float) -> np.ndarray:
    """(B, T) of what was there before (x - mean) / std, float32. Counts come back as exact whole numbers.

    Raises:
        CohortError: if what comes out is neither raw activity (from 0 upwards) nor standardised data.
    """
    _check_windows(activity)
    flag = f"--repair_fixed_scaling={mean:g},{std:g}"
    if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
        raise CohortError(f"{flag}: expected a finite mean and a positive deviation, such as 2.5,2.0.")
    undone = np.empty(activity.shape, np.float32)
    whole = True
    for first in range(0, len(activity), _BLOCK):
        block = activity[first : first + _BLOCK].astype(np.float64) * std + mean
        block[np.abs(block) < 1e-6 * max(abs(mean), std)] = 0.0  # what float32 leaves of a raw zero
        whole = whole and not (np.abs(block - np.rint(block)) > 1e-3 + 1e-6 * np.abs(block)).any()
        undone[first : first + _BLOCK] = block
    if whole:
        np.rint(undone, out=undone)
    seen = ScalingNumbers.of(undone)
    if seen.lowest < 0:
        finding = detect_scaling(undone)
        plausible = finding is not None and finding.kind in KINDS
    else:
        plausible = seen.lowest == 0 or seen.windows_at_lowest < 0.5
    if not plausible:
        raise CohortError(
            f"{flag}: the smallest value, {float(np.nanmin(activity)):.6g}, would become {seen.lowest:.6g} (in "
            f"{seen.windows_at_lowest:.0%} of the windows), expected 0, as raw activity has it. These data were not "
            "scaled with this mean and deviation: give the ones that were used, or leave the flag out."
        )
    return undone
