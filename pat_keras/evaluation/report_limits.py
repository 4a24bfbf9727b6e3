"""What a report says about how far its numbers go, and whom to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pat_keras.checkpoints.presets import PRESETS
from pat_keras.evaluation.run_folder import Run

_RECALIBRATED = {
    "none": "class weights, if there were any, are still in them.",
    "prior": "that of the training people, since what class weights did was taken out again.",
    "platt": "that of the validation people, on whom a slope and an intercept were fitted.",
}


def limits(run: Run) -> list[str]:
    """What the numbers of this run do not say, one sentence or two each."""
    test = run.metrics["test"]
    n = int(test.get("n") or 0)
    rarest = n if run.task == "regression" else int(np.min(test.get("n_by_class") or _two_classes(test)))
    words = [
        "For research. It is no medical device and was not made to diagnose, treat or sort people; a prediction for "
        "one person is not a finding about that person.",
        "The intervals tell what another draw of people of the same kind would change. They do not tell what another "
        "seed, device, country, age group or way of asking for the label would change.",
    ]
    if rarest < 50:
        who = f"{n} test people" + ("" if run.task == "regression" else f", {rarest} in the smallest class")
        words.append(f"With {who}, the intervals are wide, and differences between settings are mostly noise.")
    if run.task != "regression" and rarest < 5:
        words.append(
            "With fewer than 5 people of a class the intervals are even too narrow: resamples of so few are too much "
            "alike. In simulations 95 % intervals of the AUC held the truth 7 times in ten with 2, and 8 or 9 with 3 "
            "or 4."
        )
    if run.task != "regression":
        words.append(
            "Probabilities fit the share of each class that the model was trained for: "
            + _recalibrated(run.config.get("recalibration") or "none")
            + " Among people of whom fewer or more are of the class they are wrong: see the calibration before reading "
            "one as a chance."
        )
    if column := run.config.get("learn_score"):
        who = "What was learned is" if "combine" not in run.config else "Some or all members of this ensemble learned"
        words.append(
            f"{who} the score {column}, of which the label is a cut, as a share of its range. Its order is scored "
            "against the label, and probabilities of the label were fitted on validation people alone, who may be few."
        )
    if run.metrics.get("folds") or test.get("thresholds"):
        words.append(
            "In cross-validation each person is scored by a model that had not seen them, but people of different "
            "folds by different models; their scores are pooled here. Folds are not independent repetitions: they "
            "share the people they were trained on, for which the intervals are widened."
        )
        words += _pooling(run)
    if run.config.get("standardize") == "paper":
        words.append(
            "Train, validation and test people were each scaled by their own statistics, as the authors of PAT did: "
            "the test people influenced their own scaling, which a new person can't. The saved model scales by the "
            "training people, so its predictions differ from those here."
        )
    if weights := run.config.get("weights"):
        preset = PRESETS.get(weights)
        words.append(
            "The encoder started from pretrained weights. Were these people among those it was pretrained on"
            + (f" ({weights}: {preset.pretraining})" if preset else "")
            + ", the test is not fully held out."
        )
    return words


def _recalibrated(kind: str) -> str:
    """Which share it is; of an ensemble whose members differ, `kind` names all of theirs."""
    return _RECALIBRATED.get(kind, f"the members of this ensemble differ in it (recalibration {kind}).")


def _pooling(run: Run) -> list[str]:
    """What comes of scoring people of different models together."""
    if run.task == "regression":
        return [
            "A model that has learned nothing predicts the mean of those it was trained on, which lies on the other "
            "side of the mean of those it is tested on: correlations of pooled values are too low, and below zero "
            "where there is nothing to learn, most of all when one person is left out at a time."
        ]
    words = (
        "Whoever is tested in one fold has trained the models of the others, which makes a pooled AUC a little too "
        "small where there is little to learn."
    )
    if run.metrics["test"].get("auc_within_folds") is not None:
        words += " That of pairs within folds is free of it, and less certain, since fewer pairs are compared."
    return [words]


def _two_classes(test: Mapping[str, Any]) -> list[int]:
    positive = int(test.get("n_positive") or 0)
    return [positive, int(test.get("n") or 0) - positive]


def sources(run: Run) -> list[str]:
    """Whom to cite, and whose terms hold."""
    named = [str(run.data[key]) for key in ("citation", "terms") if run.data.get(key)]
    named.append("PAT: Ruan et al., arXiv:2411.15240; its published weights are CC BY 4.0 by their authors.")
    return named
