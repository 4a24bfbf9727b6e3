"""A ROC curve as text, for the end of a command in a terminal."""

from __future__ import annotations

import numpy as np

from pat_keras.evaluation import auc as roc

_MARGIN = 5  # columns of the axis and its numbers

# Bit of each of a braille character's dots, by row (from above) and column.
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def terminal_roc(y: np.ndarray, score: np.ndarray, width: int = 60, height: int = 18, unicode: bool = True) -> str:
    """Draws the ROC curve, and dotted the diagonal of a model that knows nothing.

    Args:
        y: (n,) labels 0 or 1, one a person.
        score: (n,).
        width: columns of the whole drawing, 40 at least.
        height: lines of the whole drawing, 8 at least.
        unicode: draw in braille dots (2 x 4 a character); otherwise in ASCII, for terminals that know no other.

    Returns:
        `height` lines, without a newline at the end; one line where a class is absent.

    Raises:
        ValueError: for a width or height below the least.
    """
    if width < 40 or height < 8:
        raise ValueError(f"terminal_roc: {width} x {height} characters are too few, expected 40 x 8 or more.")
    y, score = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if len(np.unique(y)) < 2:
        return "No ROC curve: the people are all of one class."
    columns, rows = width - _MARGIN, height - 4  # of the field: less title, axis, its numbers and its name
    false_rate, true_rate, _ = roc.roc_points(y, score)
    ends = np.array([0.0, 1.0])
    if unicode:
        field = _braille_field(false_rate, true_rate, ends, rows, columns)
        side, corner, line = "│", "└", "─"
    else:
        field = np.full((rows, columns), " ")
        field[_path(ends, ends, rows, columns)] = "."
        field[_path(false_rate, true_rate, rows, columns)] = "*"
        side, corner, line = "|", "+", "-"
    numbers = {0: "1.0", rows // 2: "0.5", rows - 1: "0.0"}
    lines = ["sensitivity (true positive rate)"]
    lines += [f"{numbers.get(row, ''):>{_MARGIN - 2}} {side}{''.join(field[row])}".rstrip() for row in range(rows)]
    lines.append(" " * (_MARGIN - 1) + corner + line * columns)
    lines.append(" " * _MARGIN + "0.0" + "0.5".center(columns - 6) + "1.0")
    lines.append("1 - specificity (false positive rate)".rjust(width))
    return "\n".join(lines)


def _path(x: np.ndarray, y: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (row from above, column) that the line through points of the unit square crosses."""
    across, up = x * (columns - 1), y * (rows - 1)
    steps = np.maximum(np.abs(np.diff(across)), np.abs(np.diff(up)))
    # Each stretch is walked in steps of half a cell, so that none is skipped.
    position = np.concatenate([[0.0], np.cumsum(steps)])
    along = np.linspace(0, position[-1], int(2 * position[-1]) + 2)
    row = rows - 1 - np.rint(np.interp(along, position, up)).astype(int)
    return row, np.rint(np.interp(along, position, across)).astype(int)


def _braille_field(x: np.ndarray, y: np.ndarray, ends: np.ndarray, rows: int, columns: int) -> np.ndarray:
    dots = np.zeros((rows * 4, columns * 2), dtype=bool)
    diagonal = _path(ends, ends, *dots.shape)
    dotted = diagonal[1] % 6 == 0
    dots[diagonal[0][dotted], diagonal[1][dotted]] = True
    dots[_path(x, y, *dots.shape)] = True
    codes = (dots.reshape(rows, 4, columns, 2) * _BRAILLE[None, :, None, :]).sum(axis=(1, 3))
    return np.vectorize(lambda code: chr(0x2800 + code) if code else " ")(codes)
