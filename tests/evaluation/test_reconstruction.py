"""Pictures of reconstructions, and what they are drawn from."""

from __future__ import annotations

import numpy as np

from pat_keras.config import EncoderConfig
from pat_keras.evaluation.reconstruction import reconstruct, reconstruction_figure
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.pretrain_data import HeldOut

_TINY = EncoderConfig(patch_size=60, num_heads=2, num_layers=1, embed_dim=8, key_dim=8, ff_dim=16)


def _part(model: PATMaskedAutoencoder) -> HeldOut:
    x = np.random.default_rng(0).normal(size=(3, 1440)).astype(np.float32)
    x[0, :130] = np.nan
    return HeldOut("days", 1.0, x, model.draw_permutation(24, seed=0, people=3), np.zeros(1440, np.float32))


def test_masked_minutes_and_reconstruction() -> None:
    model = PATMaskedAutoencoder(_TINY, mask_ratio=0.75)
    part = _part(model)
    found, masked = reconstruct(model, part, 2)
    assert found.shape == masked.shape == (2, 1440)
    assert masked.sum() == 2 * 18 * 60
    for row, permutation in zip(masked, part.permutation, strict=False):
        np.testing.assert_array_equal(np.flatnonzero(row.reshape(24, 60).all(axis=1)), np.sort(permutation[:18]))
    assert np.isfinite(found).all()


def test_figure_shows_each_person_and_what_was_visible() -> None:
    model = PATMaskedAutoencoder(_TINY, mask_ratio=0.75)
    figure = reconstruction_figure(model, _part(model), "days")
    assert len(figure.axes) == 3
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert {"visible to the model", "reconstructed, hourly mean", "mean of what was visible"} <= set(labels)
    recorded = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert np.isnan(recorded[:2]).all()
    assert np.isfinite(recorded[2:]).all()
