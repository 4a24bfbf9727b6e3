"""Models of a benchmark taken together (`tests/together.py`), of which docs/results.md has figures."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from tests.together import main, scores_of


def _predictions(n: int = 40) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    rows = []
    for model, gain in (("A, new", 2.0), ("B, new", 1.0), ("A, old", 0.0)):
        for seed in (0, 1):
            p = 1 / (1 + np.exp(-gain * (y - 0.5) - rng.normal(size=n)))
            rows += [
                {"task": "t", "model": model, "train_size": "all", "seed": seed, "part": part, "label": y[person],
                 "participant_id": f"p{person:02d}", "window": window, "probability": p[person] + 0.01 * window}
                for person in rng.permutation(n) for window in (0, 1) for part in ("test",)
            ]  # fmt: skip
    return pl.DataFrame(rows)


def test_the_mean_and_the_average_are_of_all_models_and_seeds(tmp_path, capsys) -> None:
    predictions = _predictions()
    predictions.write_parquet(tmp_path / "predictions.parquet")
    y, scores = scores_of(predictions, "*, new")
    assert len(scores) == 4
    mean = np.mean([roc_auc_score(y, score) for score in scores])
    old = np.mean([roc_auc_score(y, score) for score in scores_of(predictions, "A, old")[1]])
    main([f"--run={tmp_path}", "--models=*, new", "--less=A, old"])
    (line,) = capsys.readouterr().out.splitlines()
    assert f"4 models and seeds  {mean:.3f} (" in line
    assert f"less {mean - old:+.3f} (" in line
    main([f"--run={tmp_path}", "--models=A, new;B, new", "--average=probability"])
    assert f"{roc_auc_score(y, np.mean(scores, axis=0)):.3f} (" in capsys.readouterr().out


def test_no_model_and_other_people_are_refused() -> None:
    predictions = _predictions()
    with pytest.raises(ValueError, match="no model fits 'C'; there are A, new, A, old, B, new"):
        scores_of(predictions, "C")
    with pytest.raises(ValueError, match="different people"):
        scores_of(predictions.filter((pl.col("model") != "A, old") | (pl.col("participant_id") != "p03")), "A*")
