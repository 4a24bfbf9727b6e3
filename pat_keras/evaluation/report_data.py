"""What a report says about the data and the settings of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pat_keras.checkpoints.presets import PRESETS
from pat_keras.data.splits import PARTS
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.run_folder import Run

# Shown in places of their own, not in the table of what was read.
_SHORT_VERSIONS = ("pat_keras", "python", "keras", "backend", "tensorflow", "jax", "numpy")
_DATA_ELSEWHERE = ("funnel", "citation", "terms", "parts", "synthetic")


def data_section(run: Run) -> str:
    """Who was read, who was used for what, and what the files say of the data, as HTML."""
    parts = []
    funnel = run.data.get("funnel") or []
    if funnel:
        several = any(step.get("source") for step in funnel)
        rows = [
            [*([step.get("source", "")] if several else []), step.get("step", ""), step.get("people", ""),
             step.get("reason", "")]
            for step in funnel
        ]  # fmt: skip
        header = [*(["Source"] if several else []), "Step", "People", "Reason"]
        parts.append(page.table("Who was read, rejected and kept", header, rows))
    if run.data.get("parts"):
        parts.append(_people_by_part(run.data["parts"]))
    described = _flat({key: value for key, value in run.data.items() if key not in _DATA_ELSEWHERE})
    if described:
        parts.append(page.table("What was read", ["", "Value"], described))
    return "".join(parts)


def _people_by_part(splits: list[Mapping[str, Any]]) -> str:
    """Numbers of people and windows of each part; of several folds, from the smallest to the largest."""
    classes = list(splits[0]["train"].get("people_by_class", {}))
    rows: list[list[object]] = []
    for part in PARTS:
        counts = [split[part] for split in splits]
        row: list[object] = [part, *(_span([count[name] for count in counts]) for name in ("people", "windows"))]
        row += [_span([count["people_by_class"].get(name, 0) for count in counts]) for name in classes]
        rows.append(row)
    caption = "Who was used for what" + (f", in each of {len(splits)} folds" if len(splits) > 1 else "")
    reasons = list(dict.fromkeys(reason for split in splits for reason in split.get("left_out", {})))
    for reason in reasons:
        people = _span([split.get("left_out", {}).get(reason, 0) for split in splits])
        rows.append([f"nobody's part: {reason}", people, *[""] * (1 + len(classes))])
    return page.table(caption, ["Part", "People", "Windows", *(f"People of class {name}" for name in classes)], rows)


def _span(values: list[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def settings_section(run: Run) -> str:
    """Config and flags, as HTML."""
    parts = []
    if run.config:
        everything = page.table("Settings", ["Setting", "Value"], _flat(run.config))
        parts += [page.table("In short", ["", "Value"], _in_short(run)), page.folded("All settings", everything)]
    if run.flags:
        words = page.paragraph("To run it again, give these lines to --flagfile:")
        parts.append(page.folded("Flags", f"{words}<pre>{page.text(run.flags)}</pre>"))
    return "".join(parts) or page.paragraph("The run directory holds neither config.json nor flags.txt.")


def _in_short(run: Run) -> list[list[object]]:
    """What a reader asks first about a run; what its files do not say has no row."""
    config, versions = run.config, run.config.get("versions") or {}
    trained = f"{len(run.history)} of all members" if run.committee > 1 else len(run.history)
    folds = len({row.get("fold") for row in run.history})
    rows: list[tuple[str, object]] = [
        ("Network", _network(config)),
        ("Started from", config.get("weights") or "random weights"),
        ("What learned", config.get("mode")),
        ("Split", config.get("split")),
        ("Seed", config.get("seed")),
        ("Committee", _committee(run)),
        ("Training epochs", None if run.solved else f"{trained} in {folds} folds" if folds > 1 else trained or None),
        ("Scaling", _scaling(config)),
        ("Data (content hash)", str(run.data.get("content_hash") or "")[:16]),
        ("Software", ", ".join(f"{name} {versions[name]}" for name in _SHORT_VERSIONS if versions.get(name))),
    ]
    return [[name, value] for name, value in rows if value not in (None, "")]


def _committee(run: Run) -> str | None:
    if run.committee == 1:
        return None
    return f"{run.committee} models, each stopped by other people, their predictions averaged"


def _network(config: Mapping[str, Any]) -> str:
    """Which network; of PAT size and embedding, those of its weights where a preset tells them."""
    weights, size, embedding = (config.get(name) for name in ("weights", "size", "embedding"))
    if config.get("model", "pat") != "pat" or (weights and weights not in PRESETS):
        size = embedding = None  # other networks have no size; other weights' file may be gone by now
    elif weights and size:  # an ensemble's settings have no size
        preset = PRESETS[weights]
        size = preset.size
        if embedding == "auto" or preset.embedding != "linear":  # a new one is put before linear weights alone
            embedding = preset.embedding
    return ", ".join(str(part) for part in (config.get("model"), size, embedding) if part not in (None, "", "auto"))


def _scaling(config: Mapping[str, Any]) -> object:
    """What scaled the minutes, "auto" resolved where that needs no file which may be gone by now."""
    kind, weights = config.get("standardize"), config.get("weights")
    if kind != "auto" or (weights and weights not in PRESETS):
        return kind
    return f"{PRESETS[weights].standardize if weights else 'cohort'} (auto)"


def _flat(values: Mapping[str, Any], before: str = "") -> list[list[object]]:
    """Rows of name and value; the names of what lies deeper joined by dots."""
    rows: list[list[object]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{key}.")
        else:
            plain = isinstance(value, str) and value  # an empty text shows as ""
            rows.append([f"{before}{key}", value if plain else json.dumps(value, ensure_ascii=False)])
    return rows
