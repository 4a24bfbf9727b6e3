"""Models of a finished benchmark taken together: their mean AUC, or that of their averaged predictions.

    python -m tests.together --run=runs/pretrained --models='PAT*, pretrained' --less='PAT*, random weights'
    python -m tests.together --run=runs/pretrained --models='PAT-M, pretrained' --average=probability

Reads `predictions.parquet` of the run. All seeds count alike. Means and differences of people's labels of 0 and 1 on
one list of test people, with 95 % intervals over people; people of several windows count by their mean.
"""

from __future__ import annotations

import argparse
import fnmatch
import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from pat_keras.evaluation.calibration import clipped_logit
from pat_keras.evaluation.metrics import by_participant
from tests.probe import mean_auc


def scores_of(predictions: pl.DataFrame, pattern: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """(n,) labels, and the (n,) probabilities of each model whose name fits and each of its seeds, by person.

    Raises:
        ValueError: if no model fits, or two were not tested on the same people.
    """
    chosen = predictions.filter(pl.col("model").is_in([m for m in predictions["model"].unique() if _fits(m, pattern)]))
    if chosen.is_empty():
        raise ValueError(f"no model fits {pattern!r}; there are {', '.join(sorted(predictions['model'].unique()))}")
    parts = [
        by_participant(*(part[name].to_numpy() for name in ("participant_id", "label", "probability")))
        for part in chosen.partition_by("model", "seed", maintain_order=True)
    ]
    if any(not np.array_equal(part.participant_id, parts[0].participant_id) for part in parts):
        raise ValueError(f"the models that fit {pattern!r} were tested on different people")
    return parts[0].y, [part.score for part in parts]


def averaged(scores: Sequence[np.ndarray], how: str) -> list[np.ndarray]:
    """The mean of the scores as one, of probabilities or of their log-odds."""
    if how == "probability":
        return [np.mean(scores, axis=0)]
    return [np.mean([clipped_logit(score) for score in scores], axis=0)]


def _fits(model: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(model, one) for one in pattern.split(";"))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each task and training size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--models", required=True, help="Pattern of names, or several with ; between.")
    parser.add_argument("--less", help="Pattern of the models that are compared with.")
    parser.add_argument("--average", choices=("none", "probability", "log_odds"), default="none")
    parser.add_argument("--sizes", default="all")
    values = parser.parse_args(argv)
    tested = pl.read_parquet(values.run / "predictions.parquet").filter(pl.col("part") == "test")
    for task in tested["task"].unique(maintain_order=True):
        for size in values.sizes.split(","):
            here = tested.filter((pl.col("task") == task) & (pl.col("train_size") == size))
            y, scores = scores_of(here, values.models)
            others = scores_of(here, values.less)[1] if values.less else []
            number = f"{len(scores)} models and seeds"
            if values.average != "none":
                scores = averaged(scores, values.average)
                others = averaged(others, values.average) if others else []
            less = f"  less {mean_auc(y, scores, others)}" if others else ""
            print(f"{task:16s} {size:>5s}  {number}  {mean_auc(y, scores)}{less}", flush=True)


if __name__ == "__main__":
    main()
