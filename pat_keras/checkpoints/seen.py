"""Whether weights have seen the people they are tested on: then a result is not held out from pretraining."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import numpy as np

from pat_keras.checkpoints.presets import PRESETS
from pat_keras.data.learned_days import beside, people_with
from pat_keras.data.people import read_people

_CYCLE = re.compile(r"\b((?:19|20)\d\d)-(?:\d\d)?(\d\d)\b")  # 2005-06 and 2005-2006


def seen_in_pretraining(weights: str, source: str | None, people: Collection[str]) -> int:
    """How many people the pretraining of some weights saw: their movement, not their labels.

    Known of presets and NHANES, whose cycles both name; people whom a preset left out are not counted. Of other files
    and other cohorts nothing is known, and 0 returned.

    Args:
        weights: as in `FinetuneConfig.weights`.
        source: of the cohort, its metadata's: "NHANES 2005-2006".
        people: their ids.

    Example:
        >>> seen_in_pretraining("pat_large_29k", "NHANES 2013-2014", ["73557", "73558"])
        2
        >>> seen_in_pretraining("pat_large_21k", "NHANES 2013-2014", ["73557", "73558"])
        0
    """
    return len(_seen_by_preset(weights, source, people))


def _seen_by_preset(weights: str, source: str | None, people: Collection[str]) -> set[str]:
    preset = PRESETS.get(weights)
    if preset is None or source is None or "NHANES" not in source:
        return set()
    if not set(_CYCLE.findall(source)) & set(_CYCLE.findall(preset.pretraining)):
        return set()
    lists = [read_people(name) for name in preset.left_out.split(",") if name]
    return set(people).difference(*(listed.test for listed in lists), *(listed.validation for listed in lists))


def seen_by_weights(
    weights: str, source: str | None, activity: np.ndarray, participant_id: np.ndarray, rows: Iterable[int]
) -> int:
    """How many people the training of some weights saw: as `seen_in_pretraining`, and of a run of ours by its days.

    Args:
        weights: as in `FinetuneConfig.weights`. Of a run of pat-pretrain or pat-finetune, those are counted whose days
            it, or what it started from, learned from.
        source: of the cohort.
        activity: (B, T) raw minutes of all windows.
        participant_id: (B,) whose they are.
        rows: windows of the people to be counted.
    """
    rows = list(rows)
    people = {str(participant_id[row]) for row in rows}
    run = None if weights in PRESETS else beside(weights)
    if run is None:
        return seen_in_pretraining(weights, source, people)
    seen = people_with(run.own | run.before, activity, participant_id, rows)
    return len(seen.union(*(_seen_by_preset(name, source, people) for name in run.presets)))


def seen_note(weights: str, seen: int, tested: int) -> str:
    """A warning about test people whom pretraining saw."""
    if weights not in PRESETS:
        return (
            f"{seen} of {tested} test people were in the training of {weights}: it saw their movement, and their "
            "labels too if it was fine-tuned. The result is not held out from that; say so where you report it. Start "
            "from weights that did not see them: pat-pretrain --exclude_people."
        )
    left_out = PRESETS[weights].left_out
    advice = (
        f" Test on those whom it left out: --split=list --test_people={left_out.split(',')[0]}."
        if left_out
        else " Weights that did not see them: weights/README.md."
    )
    return (
        f"{seen} of {tested} test people were in the pretraining of {weights}: it saw their movement, not their "
        f"labels. The result is not held out from pretraining; say so where you report it.{advice}"
    )
