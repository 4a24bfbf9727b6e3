"""From a finished pretraining to a preset: its file in `weights/`, its card, and its row in the table of presets.

For whoever maintains the package; how the files that come with it were made:

    python -c "from pat_keras.checkpoints.cards import publish; publish('runs/small', 'pat_small_nhanes2005')"
"""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from pat_keras.checkpoints.official import verify_official
from pat_keras.checkpoints.pins import sha256_of
from pat_keras.checkpoints.presets import FOLDERS, TABLE, Preset, read_presets
from pat_keras.config import PRETRAIN_RATES, EncoderConfig
from pat_keras.config.pretrain import PERSON_LOSS, SHIFT_MINUTES
from pat_keras.data.files import atomic_write
from pat_keras.errors import CheckpointError, RunError

_LICENCE = "CC BY 4.0"
_AUTHORS = "the authors of pat_keras"
_CITATION = "pat_keras, and the data: CDC/NCHS, National Health and Nutrition Examination Survey"
_TABLE_PATH = pathlib.Path(__file__).with_name(TABLE)
# Settings that say how fast it went or where it ran, not what was learned.
_NOT_RECIPE = ("size", "embedding", "patch_size", "jit", "data_parallel", "weights_content", "versions")
_SCALINGS = {
    "cohort": "all minutes of your training people",
    "per_minute": "each minute of the week over your training people",
    "per_recording": "the recording itself",
    "none": "nothing: they are taken raw",
}
_WHOLE_DAYS = {"augment_days": "True", "augment_minutes": str(SHIFT_MINUTES)}  # what is meant where nothing is said
_NOT_FOR = (
    "Diagnosing, screening or treating anybody, or deciding about anybody's insurance, work, care or schooling. These "
    "are weights for research, and no medical device.",
    "Telling who somebody is, or watching people who have not agreed to it.",
    "Results called held out on the people it learned from (see Data). It saw their movement, not their labels; that "
    "is still not held out.",
    "Recordings unlike those under Data without trying first: another place on the body, device, unit or population "
    "gives other numbers. Fine-tune, and look at the groups of your own people.",
)


def publish(
    run: str | os.PathLike[str],
    name: str,
    results: str = "",
    *,
    about: str = "",
    pretraining: str = "NHANES 2005-06",
    folder: str | os.PathLike[str] = FOLDERS[-1],
    table: str | os.PathLike[str] = _TABLE_PATH,
) -> Preset:
    """Make a preset of the encoder of a finished pretraining; one of that name is replaced.

    Args:
        run: the run directory of `pat-pretrain`.
        name: of the preset, which names size and embedding: "pat_small_...", "pat_conv_large_...".
        results: Markdown text for the card: how the weights do on people they have not seen.
        about: Markdown text for the card: who the people are that it learned from, and what they wore where.
        pretraining: whose movement it learned from, in a few words.
        folder: of the files and cards.
        table: of the presets.

    Raises:
        RunError: if the run is not finished, or of synthetic people.
        CheckpointError: if its encoder is not what the name says, or has no place in the official layout.
    """
    run, folder = pathlib.Path(run), pathlib.Path(folder)
    metrics, config, data = (_read(run / f"{part}.json") for part in ("metrics", "config", "data"))
    if metrics["synthetic"]:
        raise RunError(f"{run}: its people are synthetic, expected real ones. Nothing was written.")
    source = run / "encoder_weights.h5"
    kind, shape = verify_official(source)
    named = f"pat_{'' if shape.embedding == 'linear' else f'{shape.embedding}_'}{shape.size}_"
    if kind != "encoder" or not name.startswith(named):
        raise CheckpointError(
            f"{source}: found the {kind} of PAT {shape.size} with the {shape.embedding} embedding, expected what the "
            f"name {name} says. Name it {named}... ."
        )
    path = folder / f"{name}.h5"
    with atomic_write(path, overwrite=True, error=CheckpointError) as temporary:
        temporary.write_bytes(source.read_bytes())
    people = sum(cohort["train"]["people"] for cohort in data["cohorts"])
    left_out = ",".join(pathlib.Path(listed["list"]).stem for listed in data["lists"])
    preset = Preset(
        name, path.name, str(shape.size), shape.embedding, people, pretraining, left_out,
        config["standardize"], _LICENCE, _AUTHORS, _CITATION, "",
        sha256_of(path),
    )  # fmt: skip
    card = render(preset, shape, path.stat().st_size, metrics, config, data, results, about)
    with atomic_write(folder / f"{name}.md", overwrite=True, error=CheckpointError) as temporary:
        temporary.write_text(card, encoding="utf-8")
    _enter(preset, pathlib.Path(table))
    return preset


def render(
    preset: Preset,
    shape: EncoderConfig,
    size: int,
    metrics: dict[str, Any],
    config: dict[str, Any],
    data: dict[str, Any],
    results: str = "",
    about: str = "",
) -> str:
    """The card of a preset, in Markdown.

    Args:
        preset: its row in the table.
        shape: of its encoder.
        size: of its file, in bytes.
        metrics, config, data: of the run directory of its pretraining.
        results: how it does on people it has not seen.
        about: whom it learned from.
    """
    how = "a masked autoencoder" + (
        " that also tells people apart" if "people_told_apart" in metrics["validation"] else ""
    )
    what = f"PAT-{preset.size[0].upper()} with the {preset.embedding} patch embedding"
    rows = [
        ("file", f"`{preset.file}`, {size:,} bytes, official layout: Keras 2 and the authors' notebooks load it"),
        ("SHA-256", f"`{preset.sha256}`"),
        ("shape", f"patches of {shape.patch_size} minutes, {shape.num_heads} heads, blocks: {shape.num_layers}, "
                  f"{shape.embed_dim} numbers a token"),
        ("input", f"minutes, standardised by the mean and deviation of {_SCALINGS[config['standardize']]}; "
                  "`pat-finetune --weights` does so by itself"),
        ("licence", f"[{preset.licence}](https://creativecommons.org/licenses/by/4.0/)"),
        ("cite", preset.citation),
    ]  # fmt: skip
    return "\n".join(
        [
            f"# {preset.name}",
            "",
            f"{what}, pretrained as {how} on {preset.pretraining}: {preset.people:,} people.",
            "",
            *_table(("", ""), rows),
            "",
            "```sh",
            f"pat-finetune --weights={preset.name} --data=cohort.parquet --label=depressed",
            "```",
            "",
            "## Data",
            "",
            *_data(data, about),
            "## Recipe",
            "",
            *_table(("setting", "value"), _recipe(config, metrics, data)),
            "",
            "## Loss",
            "",
            *_loss(metrics, config),
            "## Results",
            "",
            results.strip() or "Not measured yet.",
            "",
            "## Not for",
            "",
            *(f"- {use}" for use in _NOT_FOR),
            "",
        ]
    )


def _data(data: dict[str, Any], about: str) -> list[str]:
    rows = [
        (
            str(cohort["source"]),
            f"{cohort['unit']} a minute, {cohort['minutes'] / 1440:g} days",
            *(f"{cohort[part]['people']:,}" for part in ("train", "validation", "excluded")),
        )
        for cohort in data["cohorts"]
    ]
    lines = _table(("cohort", "windows", "people learned from", "validation people", "left out"), rows)
    for listed in data["lists"]:
        lines += [
            "",
            f"Nobody on the list `{pathlib.Path(listed['list']).name}` was learned from: {listed['test']:,} people to "
            f"test on, and {listed['validation']:,} who decided which training epoch to keep.",
        ]
    cited = sorted({cohort["citation"] for cohort in data["cohorts"] if cohort["citation"]})
    return [*lines, "", *(line for text in (about.strip(), *cited) if text for line in (text, ""))]


def _recipe(config: dict[str, Any], metrics: dict[str, Any], data: dict[str, Any]) -> list[tuple[str, str]]:
    kept, done = metrics["validation"]["best_epoch"], metrics["epochs"]
    stopped = "" if done == config["epochs"] else f"stopped after {done:,}; "
    rows = [
        ("start", pathlib.Path(config["weights"]).name or "random weights"),
        ("epochs", f"{config['epochs']:,} ({stopped}the encoder is that of epoch {kept:,})"),
    ]
    told = {*_NOT_RECIPE, "epochs", "weights"}
    if any(listed["validation"] for listed in data["lists"]):  # their people were held out, and no fraction drawn
        told.add("validation_fraction")
    settings = {name: value for name, value in config.items() if name not in told}
    settings["learning_rate"] = config["learning_rate"] or PRETRAIN_RATES[config["size"]]
    if settings.get("person_loss", 0) is None:
        settings["person_loss"] = PERSON_LOSS if "people_told_apart" in metrics["validation"] else 0
    settings |= {name: text for name, text in _WHOLE_DAYS.items() if settings.get(name) is None}
    rows += [(name, str(value or "none") if value != 0 else "0") for name, value in settings.items()]
    versions = config["versions"]
    used = [f"{name} {versions[name]}" for name in ("pat_keras", "keras", versions["backend"]) if name in versions]
    return [*rows, ("made with", ", ".join(used))]


def _loss(metrics: dict[str, Any], config: dict[str, Any]) -> list[str]:
    found = metrics["validation"]
    which = "masked" if config["loss"] == "masked" else "all"
    halves = [2 * cohort["windows"] for cohort in found["cohorts"].values()]
    rows = [
        ("this model", f"{found['loss']:.4f}"),
        ("mean of the person's visible minutes", f"{found['person_mean']:.4f}"),
        ("mean day of the training people", f"{found['mean_day']:.4f}"),
    ]
    return [
        f"Mean squared error of {which} minutes of the validation people, standardised, {config['mask_ratio']:.0%} of "
        "the patches masked:",
        "",
        *_table(("", "error"), rows),
        "",
        f"Of the better simple predictor's error it takes away {metrics['explained_beyond_simple']:.1%}. The kept "
        "training epoch was chosen by this loss, which flatters it.",
        *(
            [
                f"Their weeks were halved: {found['people_told_apart']:.1%} of the halves are nearest to their own "
                f"other half, among {halves[0] - 1:,} (by chance {1 / (halves[0] - 1):.1%})."
            ]
            if "people_told_apart" in found and len(halves) == 1
            else []
        ),
        "",
    ]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows)]


def _enter(preset: Preset, path: pathlib.Path) -> None:
    """Write a preset's row, in place of an old one of that name or as the last."""
    presets = {**read_presets(path.read_text(encoding="utf-8")), preset.name: preset}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(vars(preset)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(vars(row) for row in presets.values())
    with atomic_write(path, overwrite=True, error=CheckpointError) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: can't be read ({error}), expected what a finished pat-pretrain wrote there. Finish it with "
            "--resume."
        ) from None
