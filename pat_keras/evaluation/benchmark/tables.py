"""The results of a benchmark as text for a terminal, as Markdown, and as a CSV file."""

from __future__ import annotations

from typing import Any

import polars as pl

from pat_keras.evaluation.benchmark.scores import SHOWN
from pat_keras.evaluation.report import TITLES

Rows = list[list[str]]


def main_table(task: dict[str, Any]) -> tuple[list[str], Rows]:
    """The metric of a task: a row a model, a column a training size, their average, and the paper's beside each."""
    sizes = list(task["sizes"])
    columns = [*sizes, *(["average"] if len(sizes) > 1 else [])]
    models = _models(task)
    has_paper = {column: any(_of(task, m, column).get("paper") is not None for m in models) for column in columns}
    header = ["model"]
    for column in columns:
        header.append("average" if column == "average" else f"n = {column}" if column != "all" else "all people")
        header += ["paper"] if has_paper[column] else []
    rows = []
    for model in models:
        row = [model]
        for column in columns:
            found = _of(task, model, column)
            row.append(interval(found if column == "average" else found.get("metrics", {}).get(task["metric"], {})))
            row += [number(found.get("paper"))] if has_paper[column] else []
        rows.append(row)
    return header, rows


def comparison_table(task: dict[str, Any], averages_alone: bool = False) -> tuple[list[str], Rows]:
    """A row a model and training size, and one for the average: how it moves with seeds, and what others reach."""
    compared = [row for row in task["averages"] if row["against_reference"] or row["against_baseline"]]
    rows = compared if averages_alone and compared else [*task["rows"], *compared]
    reference = next((row["against_reference"]["model"] for row in rows if row["against_reference"]), None)
    has_baseline = any(row["against_baseline"] for row in rows)
    header = ["model", "size", "seeds", "SD over seeds"]
    header += [f"less {reference}"] if reference else []
    header += ["less the best baseline", "which"] if has_baseline else []
    lines = []
    for model in _models(task):
        for row in [row for row in rows if row["model"] == model]:
            line = [model, row.get("train_size", "average"), str(len(row["seeds"])) if "seeds" in row else ""]
            line.append(number(row["spread"]["sd"]) if "spread" in row else "")
            line += [difference(row["against_reference"])] if reference else []
            if has_baseline:
                line += [difference(row["against_baseline"]), (row["against_baseline"] or {}).get("model", "")]
            lines.append(line)
    return header, lines


def metrics_table(task: dict[str, Any]) -> tuple[list[str], Rows]:
    """A row a model and training size: how many people it learned from, and every metric but the first."""
    others = [name for name in SHOWN[task["kind"]] if name != task["metric"]]
    header = ["model", "size", "training people", "people tested"]
    header += [_short(TITLES[task["kind"]].get(name, name.replace("_", " ").capitalize())) for name in others]
    rows = []
    for row in task["rows"]:
        tested = str(row["n"]) + (f" ({row['n_positive']} positive)" if "n_positive" in row else "")
        line = [row["model"], row["train_size"], _span(row["n_train"]), tested]
        rows.append(line + [interval(row["metrics"][name]) for name in others])
    return header, rows


def terminal(results: dict[str, Any]) -> str:
    """The tables of all tasks for a terminal."""
    lines = [banner(results), ""] if banner(results) else []
    for task in results["tasks"]:
        lines += [heading(task), ""]
        lines += _aligned(*main_table(task))
        lines += ["", *_aligned(*comparison_table(task, averages_alone=bool(task["averages"]))), "", *notes(task), ""]
    return "\n".join(lines).rstrip()


def markdown(results: dict[str, Any]) -> str:
    """The same as Markdown, with all metrics."""
    lines = [f"# {results['name']}", ""]
    lines += [f"**{banner(results)}**", ""] if banner(results) else []
    for task in results["tasks"]:
        lines += [f"## {heading(task)}", "", *_pipes(*main_table(task)), "", *notes(task), ""]
        lines += ["### Differences", "", *_pipes(*comparison_table(task)), ""]
        lines += ["### Other metrics", "", *_pipes(*metrics_table(task)), ""]
    lines.append(footer(results))
    return "\n".join(lines) + "\n"


def flat(results: dict[str, Any]) -> pl.DataFrame:
    """results.csv: a row a task, model and training size; columns `<metric>`, `<metric>_low`, `<metric>_high`."""
    rows = []
    for task in results["tasks"]:
        for row in task["rows"]:
            line = {"task": task["name"], "label": task["label"], "kind": task["kind"]}
            line |= {key: row[key] for key in ("model", "train_size", "n")} | {"n_positive": row.get("n_positive")}
            line |= {"seeds": len(row["seeds"]), **{f"seeds_{key}": value for key, value in row["spread"].items()}}
            for name, found in row["metrics"].items():
                line |= {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
            for name in ("against_reference", "against_baseline"):
                found = row[name] or {}
                line |= {name: found.get("model"), f"{name}_difference": found.get("value")}
                line |= {f"{name}_{key}": found.get(key) for key in ("low", "high", "p_value")}
                line[f"{name}_seeds"] = len(found["seeds"][0]) if found else None
            rows.append(line | {"paper": row["paper"], "seconds": row["seconds"]})
    return pl.DataFrame(rows, infer_schema_length=None)


def heading(task: dict[str, Any]) -> str:
    """The task, its metric and its people, of whom the intervals are: those of all seeds."""
    metric = _short(TITLES[task["kind"]][task["metric"]]).split(",")[0]
    metric += ", lower is better" if task["lower_is_better"] else ""
    people = f"{task['n_people']} people tested"
    people += f", {task['n_positive']} positive" if "n_positive" in task else ""
    together = any(row["n"] < task["n_people"] for row in task["rows"])
    return f"{task['name']}: {metric}, {people}{' (by all seeds together)' if together else ''}"


def banner(results: dict[str, Any]) -> str:
    """What must be known before anything else; empty if nothing."""
    words = []
    if results["synthetic"]:
        words.append("SYNTHETIC DATA: these people were simulated; the numbers say nothing about anybody.")
    if not results["complete"]:
        cells = results["cells"]
        words.append(f"NOT COMPLETE: {cells['done']} of {cells['planned']} cells are done.")
    return " ".join(words)


def footer(results: dict[str, Any]) -> str:
    """How the intervals are made, and by what the cells were."""
    interval = results["interval"]
    versions = ", ".join(f"{name} {' and '.join(found)}" for name, found in results["versions"].items())
    return (
        f"Means over seeds; {100 * interval['level']:.0f} % intervals by {interval['method']} ({interval['resamples']} "
        "resamples): how far a mean would move with other people tested. The standard deviation over seeds says how "
        f"far it moves with the draw of training people and weights. Cells computed by {versions}."
    )


def number(value: float | None) -> str:
    """Three digits; empty for None."""
    return "" if value is None else f"{value:.3f}"


def interval(found: dict[str, Any]) -> str:
    """0.612 (0.570 to 0.655)."""
    value, low, high = (found.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "undefined" if found else ""
    return f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")


def difference(found: dict[str, Any] | None) -> str:
    """+0.023 (-0.010 to +0.056), with DeLong's p where there is one, and of how many seeds where it is not of all."""
    if found is None or found["value"] is None:
        return ""
    limits = "" if found["low"] is None else f" ({found['low']:+.3f} to {found['high']:+.3f})"
    p_value = found.get("p_value")
    words = f"{found['value']:+.3f}{limits}" + ("" if p_value is None else f", p = {p_value:.2g}")
    seeds = [len(common) for common in found["seeds"]]
    return words if seeds == found["of_seeds"] else f"{words} ({_span(seeds)} of {_span(found['of_seeds'])} seeds)"


def notes(task: dict[str, Any]) -> list[str]:
    """What the tables of a task need said."""
    words = []
    if task["paper_source"]:
        words.append(f"paper: {task['paper_source']}.")
    compared = [row[name] for row in task["rows"] for name in ("against_reference", "against_baseline") if row[name]]
    if any(len(found["seeds"][0]) < found["of_seeds"][0] for found in compared):
        words.append(
            "A difference is over the seeds that both models have, in brackets where these are not all; it is then not "
            "that of the two means."
        )
    if any(found.get("p_value") is not None for found in compared):
        words.append("p: DeLong's, two-sided, of one seed; not corrected for the number of comparisons.")
    if any(row["against_baseline"] for row in task["rows"]):
        words.append(
            "The best baseline is chosen anew for each training size by the people tested, which flatters it, over the "
            "seeds that all baselines have."
        )
    elif len({row["model"] for row in task["rows"] if row["baseline"]}) > 1:
        words.append("No baseline is called the best: they have no seed in common.")
    if task["folds"] > 1:
        words.append(
            "The people of all folds are scored together, though each fold has its own model. Folds share the people "
            "they train on, for which the intervals are widened"
            + (
                "."
                if task["kind"] == "regression"
                else "; where there is nothing to learn, such an AUC lies somewhat below 0.5."
            )
        )
    seen = {row["model"]: row["seen_in_pretraining"] for row in task["rows"] if row.get("seen_in_pretraining")}
    words += [
        f"{model}: {count} of the people tested were in the pretraining of its weights, which saw their movement, not "
        "their labels; its results are not held out from pretraining."
        for model, count in seen.items()
    ]
    return words


def _short(title: str) -> str:
    """A metric without what is said of it in brackets, unless that is its usual name."""
    name, _, rest = title.partition(" (")
    return rest.rstrip(")") if rest.isupper() else name


def _span(counts: list[int]) -> str:
    """A number, or from the least to the most."""
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"


def _models(task: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in task["rows"]))


def _of(task: dict[str, Any], model: str, column: str) -> dict[str, Any]:
    """The row of a model at a training size, or its average; empty if there is none."""
    rows = task["averages"] if column == "average" else task["rows"]
    fits = (row for row in rows if row["model"] == model and row.get("train_size", "average") == column)
    return next(fits, {})


def _aligned(header: list[str], rows: Rows) -> list[str]:
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]


def _pipes(header: list[str], rows: Rows) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    return [lines[0], "|" + "|".join(" --- " for _ in header) + "|", *lines[1:]]
