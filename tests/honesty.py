"""Whether the laboratory finds something where there is nothing: labels that are pure chance, simulated many times.

    python -m tests.honesty --simulations=200 --splits=holdout,kfold,leave_one_out

Every simulation draws new people who differ in nothing, gives them labels by chance, and goes through the pieces of a
real experiment: labels, splits, sealed test people, a fit (logistic regression on simple features of a day),
recalibration by the prior, scores with intervals. Printed is how often the 95 % interval of the AUC holds 0.5, and the
mean AUC, which is 0.5 if nothing pushes it to one side.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time

import numpy as np
import polars as pl
import sklearn.linear_model

from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.features import simple_daily_features
from pat_keras.data.simulate import simulate_cohort
from pat_keras.evaluation import scoring
from pat_keras.evaluation.baseline import fit_baseline
from pat_keras.evaluation.protocols import labelled_data, make_splits
from pat_keras.evaluation.sealing import seal
from pat_keras.training.recalibration import balanced_weights


@dataclasses.dataclass(frozen=True)
class Null:
    """What one simulation gave: AUC, its interval by bootstrap and by DeLong, and the AUC of pairs within folds."""

    auc: float
    low: float
    high: float
    delong_low: float
    delong_high: float
    within: float = math.nan
    within_low: float = math.nan
    within_high: float = math.nan


def chance_cohort(n_people: int, seed: int, share: float) -> Cohort:
    """People of one day each who differ in nothing, and a label drawn by chance."""
    people = simulate_cohort(n_people, seed, days=1, effect=0.0)
    label = np.zeros(n_people)
    label[np.random.default_rng(seed).permutation(n_people)[: round(share * n_people)]] = 1
    return people.with_columns(pl.Series("label", label))


class Cheap:
    """Logistic regression with a fixed penalty on simple features; every class weighs the same."""

    def __init__(self, inverse_penalty: float) -> None:
        self.inverse_penalty = inverse_penalty

    def fit(self, activity: np.ndarray, y: np.ndarray, participant_id: np.ndarray) -> Cheap:
        x = simple_daily_features(activity)[0]
        self.centre, self.spread = x.mean(axis=0), x.std(axis=0) + 1e-9
        weights = balanced_weights(y, participant_id)
        self.model = sklearn.linear_model.LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        self.model.fit((x - self.centre) / self.spread, y, [weights[value] for value in y])
        return self

    def predict_proba(self, activity: np.ndarray) -> np.ndarray:
        return self.model.predict_proba((simple_daily_features(activity)[0] - self.centre) / self.spread)


def simulate(
    split: str, seed: int, n_people: int = 120, share: float = 0.4, inverse_penalty: float = 1.0, folds: int = 5
) -> Null:
    """One experiment on people whose label is chance."""
    config = FinetuneConfig(split=split, folds=folds, seed=seed, test_fraction=0.4, baseline=False)
    data = labelled_data(chance_cohort(n_people, seed, share), "label", config, print)
    parts = make_splits(data, config)
    predictions = []
    for sealed in seal(data, parts):
        known = sealed.training()
        predict = fit_baseline(Cheap(inverse_penalty), known, config)  # type: ignore[arg-type]
        held = known.activity[known.split.validation]
        predictions.append({"validation": predict(held), "test": predict(sealed.open().activity)})
    found = scoring.score_run(data, parts, predictions, [], config)["test"]
    names = ["auc", "auc_low", "auc_high", "auc_delong_low", "auc_delong_high"]
    if split in CROSS_VALIDATION:
        names += ["auc_within_folds", "auc_within_folds_low", "auc_within_folds_high"]
    return Null(*(math.nan if found[name] is None else found[name] for name in names))


def summary(found: list[Null]) -> dict[str, float]:
    """Shares of intervals that hold 0.5, and mean AUCs with their standard errors."""
    table = np.array([dataclasses.astuple(one) for one in found])  # (simulations, 8)
    auc, low, high, delong_low, delong_high, within, within_low, within_high = table.T
    root = math.sqrt(len(found))
    return {
        "covered": float(np.mean((low <= 0.5) & (high >= 0.5))),
        "covered_delong": float(np.mean((delong_low <= 0.5) & (delong_high >= 0.5))),
        "covered_within": float(np.mean((within_low <= 0.5) & (within_high >= 0.5))),
        "auc": float(auc.mean()),
        "auc_error": float(auc.std()) / root,
        "within": float(within.mean()),
        "within_error": float(within.std()) / root,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--splits", default="holdout,kfold")
    parser.add_argument("--people", type=int, default=120)
    parser.add_argument("--share", type=float, default=0.4, help="of the people whose label is 1")
    parser.add_argument("--inverse_penalty", type=float, default=1.0, help="scikit-learn's C")
    parser.add_argument("--folds", type=int, default=5, help="of kfold; as many as people leave one out naively")
    parser.add_argument("--first_seed", type=int, default=0)
    flags = parser.parse_args()
    for split in flags.splits.split(","):
        start = time.monotonic()
        seeds = range(flags.first_seed, flags.first_seed + flags.simulations)
        settings = (flags.people, flags.share, flags.inverse_penalty, flags.folds)
        numbers = summary([simulate(split, seed, *settings) for seed in seeds])
        print(f"{split}, {flags.simulations} simulations of {flags.people} people in {time.monotonic() - start:.0f} s")
        print(f"  mean AUC {numbers['auc']:.4f} (standard error {numbers['auc_error']:.4f})")
        print(f"  intervals that hold 0.5: bootstrap {numbers['covered']:.1%}, DeLong {numbers['covered_delong']:.1%}")
        if not math.isnan(numbers["within"]):
            print(f"  within folds: mean AUC {numbers['within']:.4f} (standard error {numbers['within_error']:.4f})")
            print(f"  intervals within folds that hold 0.5: bootstrap {numbers['covered_within']:.1%}")


if __name__ == "__main__":
    main()
