"""Figures say the numbers they were given, and are whole files and whole SVG."""

from __future__ import annotations

import math
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from pat_keras.errors import RunError
from pat_keras.evaluation import metrics, plot_style, plots
from pat_keras.evaluation.calibration import calibration_groups


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random(60) < 0.4).astype(float)
    return y, 1 / (1 + np.exp(-(rng.normal(size=60) + y - 0.5)))


def _texts(figure: Figure) -> str:
    svg = xml.etree.ElementTree.fromstring(plot_style.to_svg(figure, "test"))
    return " | ".join(element.text or "" for element in svg.iter() if element.tag.endswith("text"))


def _rows(folds: int = 1, epochs: int = 5) -> list[dict]:
    return [
        {"fold": fold, "stage": "head" if epoch < 2 else "all", "epoch": epoch, "loss": 1 / (epoch + 1),
         "validation_loss": 0.5, "validation_auc": 0.6 + 0.1 * (epoch == 3) if epoch else None, "seconds": 1.0}
        for fold in range(folds)
        for epoch in range(epochs)
    ]  # fmt: skip


def test_roc_figure_holds_the_curve_and_the_numbers(sample) -> None:
    y, p = sample
    result = metrics.evaluate("binary", y, p, threshold=0.5)
    figure = plots.roc_curve_figure(y, p, result)
    curve = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("AUC"))
    x, height = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert np.sum(np.diff(x) * (height[1:] + height[:-1]) / 2) == pytest.approx(result["auc"])
    point = next(line for line in figure.axes[0].lines if line.get_label() == "at the chosen threshold")
    assert point.get_ydata()[0] == pytest.approx(result["sensitivity"])
    texts = _texts(figure)
    assert f"AUC {result['auc']:.2f} ({result['auc_low']:.2f} to {result['auc_high']:.2f})" in texts
    assert f"n = 60, of class 1: {int(y.sum())}" in texts


def test_bands_hold_the_curve(sample) -> None:
    y, p = sample
    low, high = plots._band(y, p, 0, plots._roc_on_grid)
    own = plots._roc_on_grid(*(part[0] for part in plots.roc.class_totals(y, p, np.ones((1, 60), dtype=int))))
    assert ((low <= own + 1e-9) & (own <= high + 1e-9)).mean() > 0.97
    assert low.shape == high.shape == (101,)
    assert (high - low).max() > 0.1
    assert high[-1] == low[-1] == 1


def test_precision_recall_area_is_the_average_precision(sample) -> None:
    y, p = sample
    figure = plots.precision_recall_figure(y, p)
    curve = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("average"))
    x, height = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    area = float(np.sum(np.diff(x) * height[1:]))  # the same sum that defines average precision
    assert area == pytest.approx(metrics.evaluate("binary", y, p)["average_precision"])


def test_calibration_groups_are_even_and_right() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(3000)
    y = (rng.random(3000) < p).astype(float)
    predicted, observed, low, high = calibration_groups(y, p)
    assert len(predicted) == 10
    np.testing.assert_allclose(predicted, np.arange(0.05, 1, 0.1), atol=0.02)
    assert ((low < predicted) & (predicted < high)).sum() >= 8  # calibrated by construction
    assert (np.abs(observed - predicted) < 0.1).all()


def test_calibration_of_equal_or_few_predictions() -> None:
    predicted, observed, low, high = calibration_groups(np.array([0.0, 1, 1, 1]), np.full(4, 0.5))
    assert (predicted.tolist(), observed.tolist()) == ([0.5], [0.75])
    assert 0.3 < low[0] < 0.75 < high[0] < 1
    _, observed, low, high = calibration_groups(np.array([0.0, 1]), np.array([0.2, 0.7]))
    assert observed.tolist() == [0, 1]
    assert low[0] == 0
    assert high[1] == 1


def test_calibration_and_histogram_figures(sample) -> None:
    y, p = sample
    assert "Brier" in _texts(plots.calibration_figure(y, p))
    texts = _texts(plots.score_histogram_figure(y, p, 0.4, names=("control", "condition")))
    assert f"condition (n = {int(y.sum())})" in texts
    assert "threshold 0.40" in texts


@pytest.mark.parametrize("folds", [1, 3])
def test_history_marks_the_best_epoch_of_each_fold(folds: int) -> None:
    figure = plots.history_figure(_rows(folds))
    best = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in best] == [4] * folds  # the fourth epoch, numbered from one
    assert _texts(figure).count("best epoch") == 1
    assert "Validation AUC" in _texts(figure)


def test_history_of_one_epoch_and_without_validation() -> None:
    plots.history_figure(_rows(epochs=1))
    bare = [{"fold": 0, "stage": "all", "epoch": e, "loss": 1.0, "validation_loss": None} for e in range(3)]
    assert len(plots.history_figure(bare).axes) == 1
    with pytest.raises(ValueError, match="no epochs"):
        plots.history_figure([])


def test_history_without_a_metric_marks_the_smallest_loss() -> None:
    rows = [{"stage": "full", "loss": 1.0, "validation_loss": loss} for loss in (0.9, 0.7, 0.8)]
    (axes,) = plots.history_figure(rows).axes
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] == [2]


def test_history_of_an_error_is_best_where_lowest() -> None:
    rows = [{"fold": None, "stage": "a", "loss": 1, "validation_loss": 1, "validation_mae": v} for v in (3, 1, 2)]
    best = next(line for line in plots.history_figure(rows).axes[1].lines if line.get_marker() == "o")
    assert best.get_xdata()[0] == 2


@pytest.mark.parametrize(("monitor", "epoch"), [("auto", 4), ("loss", 3)])
def test_history_marks_the_epoch_that_was_kept(monitor: str, epoch: int) -> None:
    """Of the last stage; of equal AUCs the one with the smaller loss, or the smallest loss where that decided."""
    seen = [("head", 0.9, 0.1), ("full", 0.7, 0.5), ("full", 0.6, 0.2), ("full", 0.7, 0.4)]
    rows = [{"stage": s, "loss": 1.0, "validation_loss": loss, "validation_auc": auc} for s, auc, loss in seen]
    best = next(line for line in plots.history_figure(rows, monitor).axes[1].lines if line.get_marker() == "o")
    assert best.get_xdata()[0] == epoch


def test_one_versus_rest_leaves_out_an_absent_class() -> None:
    y = np.array([0, 1, 0, 1])
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]])
    texts = _texts(plots.one_versus_rest_figure(y, p, ["a", "b", "c"]))
    assert "a: AUC 1.00 (n = 2)" in texts
    assert "c: AUC" not in texts


def test_regression_figure() -> None:
    y = np.linspace(0, 1, 1000)
    figure = plots.regression_figure(y, y + np.resize([0.09, 0.11], 1000))
    assert "MAE 0.10 (0.10 to 0.10)" in _texts(figure)
    assert plot_style.to_svg(figure, "x").count("<use") < 1000  # thousands of points become one picture


def test_numbers_in_words() -> None:
    assert plot_style.with_interval({"auc": 0.806, "auc_low": 0.7, "auc_high": 0.9}, "auc") == "0.81 (0.70 to 0.90)"
    assert plot_style.with_interval({"auc": 0.806, "auc_low": None, "auc_high": None}, "auc", 3) == "0.806"
    assert plot_style.with_interval({"auc": None}, "auc") == "undefined"


def test_svg_repeats_and_refers_to_nothing_outside(sample) -> None:
    one, again, other = (plot_style.to_svg(plots.roc_curve_figure(*sample), name) for name in ("roc", "roc", "other"))
    assert one == again

    def ids(svg: str) -> set[str]:
        return {element.get("id") for element in xml.etree.ElementTree.fromstring(svg).iter()} - {None}

    assert ids(one)
    assert not ids(one) & ids(other)
    assert 'href="http' not in one
    assert "<script" not in one


def test_save_writes_whole_files(sample, tmp_path) -> None:
    figure = plots.roc_curve_figure(*sample)
    for name in ("roc.png", "roc.svg"):
        plot_style.save(figure, tmp_path / name)
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RunError, match="already there"):
        plot_style.save(figure, tmp_path / "roc.png")
    with pytest.raises(ValueError, match="not supported"):
        plot_style.save(figure, tmp_path / "roc.unknown")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["roc.png", "roc.svg"]


def test_colours_can_be_read_on_white() -> None:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return math.fsum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for name, color in plot_style.PALETTE.items():
        if name != "grid":
            assert 1.05 / (luminance(color) + 0.05) > 4.5, name  # WCAG 2.1, level AA for text


def test_no_global_state_of_pyplot() -> None:
    code = "import sys, pat_keras.evaluation.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
