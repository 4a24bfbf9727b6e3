"""Linear probes: what pretrained encoders know of people, beside the same encoders with random weights.

    python -m tests.probe --data=nhanes_d.parquet --weights=pat_small_nhanes2005,runs/original \
        --labels=depression,sex --sizes=500,1000,all --test_people=nhanes_2005_2006

Embeddings (mean and deviation of the tokens) are computed once for each encoder; logistic regression on them chooses
its penalty by cross-validation within the people it learns from. Seeds draw other people to learn from. The AUC is of
the people of the list, none of whom chose anything; with `--cross_validate` it is of all others instead, in five folds,
for comparing ways of pretraining without looking at the tested.

    python -m tests.probe --data=nhanes_d.parquet --labels=sex --weights=runs/right_1,runs/right_2 \
        --less=runs/other_1,runs/other_2

compares two ways of pretraining, each with several seeds: the means over seeds, and their paired difference.
"""

from __future__ import annotations

import argparse
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from pat_keras.checkpoints.pins import sha256_of
from pat_keras.checkpoints.weights import load_encoder, pretrained_scaling, weights_path
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.people import read_people
from pat_keras.data.standardize import Standardizer
from pat_keras.evaluation import bootstrap
from pat_keras.evaluation.metrics import statistics, strata
from pat_keras.evaluation.protocols import LabelledData, labelled_data, make_splits
from pat_keras.models.baselines import FeatureBaseline
from pat_keras.models.encoder import PATEncoder

RANDOM = "random, as "


def names_of_random(weights: str, draws: int) -> list[str]:
    """Of encoders of the shape of `weights` with random weights, each drawn by a seed of its own."""
    return [f"{RANDOM}{weights}" + (f", seed {seed}" if seed else "") for seed in range(draws)]


def embeddings(weights: str, cohort: Cohort, fit: np.ndarray, draws: int) -> dict[str, np.ndarray]:
    """(B, 192) of an encoder and of `draws` of its shape with random weights, by name; scaling fitted on rows `fit`."""
    x = Standardizer.fit(cohort.activity[fit], pretrained_scaling(weights)).apply(cohort.activity)
    encoder = load_encoder(weights)
    models = {weights: encoder}
    for seed, name in enumerate(names_of_random(weights, draws)):
        keras.utils.set_random_seed(seed)
        models[name] = PATEncoder(encoder.config)
    return {name: model.embed(x, 32, pooling="mean_std") for name, model in models.items()}


def probe(x: np.ndarray, y: np.ndarray, participant_id: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Scores of the tested by logistic regression, as the package's baselines fit it."""
    names = [f"{i}" for i in range(x.shape[1])]
    model = FeatureBaseline(features=lambda found: (found, names), title="embeddings").fit(x, y, participant_id)
    return model.predict_proba(tested)[:, 1]


def held_out_scores(
    x: np.ndarray, data: LabelledData, rows: np.ndarray, size: str, seeds: Sequence[int], test_people: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels of the tested, and their scores by a probe of each seed."""
    labels, scores = np.empty(0), []
    for seed in seeds if size != "all" else seeds[:1]:  # of all, every seed draws the same people
        config = FinetuneConfig(
            split="list", test_people=test_people, seed=seed, train_size=None if size == "all" else int(size)
        )
        split = make_splits(data, config)[0]
        known = np.concatenate([split.train, split.validation])  # nothing is stopped early, so nobody is needed for it
        labels = data.y[split.test]
        scores.append(probe(x[rows[known]], data.y[known], data.participant_id[known], x[rows[split.test]]))
    return labels, scores


def cross_validated_scores(
    x: np.ndarray, data: LabelledData, rows: np.ndarray, seeds: Sequence[int], test_people: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels of all who are not on the list, and their scores in five folds, for each seed."""
    mine = np.flatnonzero(~np.isin(data.participant_id, read_people(test_people).test))
    features, y, groups = x[rows[mine]], data.y[mine], data.group[mine]
    scores = []
    for seed in seeds:
        score = np.empty(len(y))
        for fit, fold in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(features, y, groups):
            score[fold] = probe(features[fit], y[fit], data.participant_id[mine][fit], features[fold])
        scores.append(score)
    return y, scores


def mean_auc(y: np.ndarray, scores: Sequence[np.ndarray], less: Sequence[np.ndarray] = ()) -> str:
    """The mean over seeds of the AUC, or of its difference from that of other scores, with its interval over people."""
    mine = [statistics("binary", y, score, None, only=["auc"]) for score in scores]
    others = [statistics("binary", y, score, None, only=["auc"]) for score in less]

    def value(draws: np.ndarray) -> dict[str, np.ndarray]:
        found = np.mean([each(draws)["auc"] for each in mine], axis=0)
        return {"auc": found - np.mean([each(draws)["auc"] for each in others], axis=0) if others else found}

    estimate = float(value(np.ones((1, len(y)), np.int32))["auc"][0])
    low, high = bootstrap.interval(bootstrap.distribution(value, strata("binary", y))["auc"]) or (np.nan, np.nan)
    sign = "+" if others else ""
    return f"{estimate:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each label, size and encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("data", None), ("weights", None), ("labels", None), ("test_people", "nhanes_2005_2006")):
        parser.add_argument(f"--{name}", default=default, required=default is None)
    parser.add_argument("--less", default="", help="Other weights, as many, to compare those of --weights with.")
    parser.add_argument("--sizes", default="all")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--random_draws", type=int, default=1, help="Of random weights, whose mean AUC is compared.")
    parser.add_argument("--cross_validate", action="store_true")
    parser.add_argument("--cache", type=pathlib.Path, help="Folder to keep embeddings in, by content.")
    values = parser.parse_args(argv)
    cohort = Cohort.read(values.data)
    row = {key: number for number, key in enumerate(zip(cohort.participant_id, cohort.table["window"], strict=True))}
    fit = np.flatnonzero(~np.isin(cohort.participant_id, read_people(values.test_people).test))
    features: dict[str, np.ndarray] = {}
    mine, others = values.weights.split(","), [name for name in values.less.split(",") if name]
    for weights in [*mine, *others]:
        kept = None
        if values.cache is not None:
            content = "-".join(sha256_of(path)[:12] for path in (weights_path(weights), pathlib.Path(values.data)))
            kept = values.cache / f"{pathlib.Path(weights).name}-{content}.npz"
        known = dict(np.load(kept)) if kept is not None and kept.exists() else {}
        asked = [weights, *names_of_random(weights, 0 if others else values.random_draws)]
        found = known if set(asked) <= set(known) else embeddings(weights, cohort, fit, len(asked) - 1)
        features |= {name: found[name] for name in asked}
        if kept is not None and found is not known:
            np.savez(kept, **found)  # type: ignore[arg-type]
    seeds = [int(seed) for seed in values.seeds.split(",")]
    for label in values.labels.split(","):
        data = labelled_data(cohort, label, FinetuneConfig(), warnings.warn)
        rows = np.array([row[key] for key in zip(data.participant_id, data.cohort.table["window"], strict=True)])
        for size in values.sizes.split(","):
            scores: dict[str, Any] = {}
            for name, x in features.items():
                if values.cross_validate:
                    y, scores[name] = cross_validated_scores(x, data, rows, seeds, values.test_people)
                else:
                    y, scores[name] = held_out_scores(x, data, rows, size, seeds, values.test_people)
            if others:
                here, there = ([each for name in names for each in scores[name]] for names in (mine, others))
                for name, line in (("weights", mean_auc(y, here)), ("less", mean_auc(y, there))):
                    print(f"{label:16s} {size:>5s}  {name:7s} {line}", flush=True)
                print(f"{label:16s} {size:>5s}  difference {mean_auc(y, here, there)}", flush=True)
                continue
            for name in mine:
                random = [each for other in names_of_random(name, values.random_draws) for each in scores[other]]
                less = f"  less random {mean_auc(y, scores[name], random)}" if random else ""
                print(f"{label:16s} {size:>5s}  {name:42s} {mean_auc(y, scores[name])}{less}", flush=True)
                if random:
                    print(f"{label:16s} {size:>5s}  {RANDOM + name:42s} {mean_auc(y, random)}", flush=True)


if __name__ == "__main__":
    main()
