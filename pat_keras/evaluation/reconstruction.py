"""What a masked autoencoder makes of people held out, drawn beside what simple predictors know.

Axes: B windows, T minutes, N patches, P patch_size.
"""

from __future__ import annotations

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from pat_keras.evaluation.plot_style import PALETTE, legend_below, style
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.pretrain_data import HeldOut

_HOUR = 60


def reconstruct(autoencoder: PATMaskedAutoencoder, part: HeldOut, people: int) -> tuple[np.ndarray, np.ndarray]:
    """The first windows of a part as the model makes them (people, T), and which minutes were masked (people, T)."""
    x, permutation = part.x[:people], part.permutation[:people]
    found = np.asarray(ops.convert_to_numpy(autoencoder(x, permutation, training=False)), dtype=np.float32)
    masked = np.zeros(permutation.shape, dtype=bool)
    count = autoencoder.num_masked(permutation.shape[1])
    np.put_along_axis(masked, permutation[:, :count], True, axis=1)
    return found, np.repeat(masked, autoencoder.encoder.config.patch_size, axis=1)


def reconstruction_figure(autoencoder: PATMaskedAutoencoder, part: HeldOut, title: str, people: int = 3) -> Figure:
    """Standardised minutes of some people, the model's reconstruction, and the patches that it saw.

    Hourly means, so that a week can be read; the mean of the person's visible minutes as a line.

    Args:
        autoencoder: the model.
        part: people held out, and their masks.
        title: above the figure.
        people: at most so many, the first ones.
    """
    people = min(people, len(part.x))
    found, masked = reconstruct(autoencoder, part, people)
    figure = Figure(figsize=(10.0, 0.8 + 2.1 * people), layout="constrained")
    panels = figure.subplots(people, 1, sharex=True, squeeze=False)[:, 0].tolist()
    for number, axes in enumerate(panels):
        style(axes, title if number == 0 else "", "", "Standardised")
        x, hidden = part.x[number], masked[number]
        seen = ~hidden & ~np.isnan(x)
        starts = np.flatnonzero(np.diff(np.r_[False, ~hidden, False].astype(int)) == 1)
        ends = np.flatnonzero(np.diff(np.r_[False, ~hidden, False].astype(int)) == -1)
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            label = "visible to the model" if place == 0 else None
            axes.axvspan(start / 1440, end / 1440, color=PALETTE["third"], alpha=0.35, linewidth=0, label=label)
        axes.plot(*_hourly(x), color=PALETTE["muted"], linewidth=1.0, label="recorded, hourly mean")
        axes.plot(*_hourly(found[number]), color=PALETTE["first"], linewidth=1.6, label="reconstructed, hourly mean")
        if seen.any():
            mean = float(x[seen].mean())
            axes.axhline(mean, color=PALETTE["second"], linestyle="--", linewidth=1, label="mean of what was visible")
    legend_below(figure, panels[0], columns=4)
    panels[-1].set_xlabel("Days from the start of the window", color=PALETTE["ink"])
    return figure


def _hourly(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days from the start, and means of known minutes, of each whole hour of (T,) minutes; NaN where none is known."""
    hours = x[: len(x) // _HOUR * _HOUR].reshape(-1, _HOUR)
    known = ~np.isnan(hours)
    sums = np.where(known, hours, 0.0).sum(axis=1)
    means = np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)
    return (np.arange(len(hours)) + 0.5) / 24, means
