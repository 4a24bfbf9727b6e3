"""The ROC curve in text: its size, its course, and what it does without a class."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.evaluation.terminal import terminal_roc


def _ascii(y: list[int], score: list[float], width: int = 45, height: int = 24) -> np.ndarray:
    """The field of an ASCII drawing as characters (rows, columns)."""
    lines = terminal_roc(np.array(y), np.array(score), width, height, unicode=False).splitlines()
    return np.array([list(line[5:].ljust(width - 5)) for line in lines[1:-3]])


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("size", [(40, 8), (60, 18), (100, 30)])
def test_drawing_has_the_size_that_was_asked_for(unicode: bool, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50)
    text = terminal_roc(y, rng.random(50) + y, *size, unicode=unicode)
    lines = text.splitlines()
    assert len(lines) == size[1]
    assert max(len(line) for line in lines) == size[0]
    assert text.isascii() != unicode


def test_perfect_scores_go_up_the_left_and_along_the_top() -> None:
    field = _ascii([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert (field[:, 0] == "*").all()
    assert (field[0] == "*").all()
    assert (field[1:, 1:] != "*").all()


def test_reversed_scores_go_along_the_bottom_and_up_the_right() -> None:
    field = _ascii([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
    assert (field[-1] == "*").all()
    assert (field[:, -1] == "*").all()
    assert (field[:-1, :-1] != "*").all()


def test_equal_scores_lie_on_the_diagonal() -> None:
    field = _ascii([0, 1, 0, 1], [0.5] * 4, width=40, height=39)  # a square field of 35 x 35
    assert (np.diag(field[::-1]) == "*").all()
    assert (field == "*").sum() == 35
    assert "." not in field


def test_a_curve_never_falls() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200)
    field = _ascii(y.tolist(), (rng.random(200) + 0.3 * y).tolist(), width=65)
    highest = [np.flatnonzero(column == "*").min() for column in field.T]
    assert (np.diff(highest) <= 0).all()
    assert "." in field


def test_one_class_is_a_sentence() -> None:
    assert terminal_roc(np.ones(3), np.arange(3.0)) == "No ROC curve: the people are all of one class."


def test_too_small() -> None:
    with pytest.raises(ValueError, match="too few"):
        terminal_roc(np.array([0, 1]), np.array([0.1, 0.2]), 10, 10)
