"""docs/reproduce_paper.md: its commands run, and its numbers and those of the configs it uses are the same."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import pat_keras as pat
from pat_keras.data.readers.nhanes_download import missing_files
from pat_keras.data.readers.nhanes_labels import PAPER_PEOPLE
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Source, plan_cells
from tests.data.readers.generate_nhanes_h import REJECTED, TASKS, write_cycle_h

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "reproduce_paper.md").read_text(encoding="utf-8")
PREPARE, DRAW, DRY_RUN, RUN = re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
SIZES = ("500", "1000", "2500", "all")
# The paper's names of models, where ours say more.
OURS = {
    f"PAT Conv-{size} ({style})": f"PAT Conv-{size} ({style}, random start)"
    for size in "SML"
    for style in ("FT", "LP as run")
}
NETWORKS = ["LSTM", "CNN-1D", "ConvLSTM", "CNN-3D"]
FINE_TUNED = ["PAT-S (FT)", "PAT-M (FT)", "PAT-L (FT)"]
CONV = [f"PAT Conv-{size} (FT, random start)" for size in "SML"]
AS_RUN = ["PAT-L (LP as run)", "PAT Conv-L (LP as run, random start)"]
AS_MEANT = [*(f"PAT-{size} (LP as meant)" for size in "SML"), "PAT Conv-L (LP as meant, random start)"]


def config_path(task):
    return DOCS / "benchmarks" / f"paper_{task}.toml"


def configs():
    return {task: BenchmarkConfig.read(config_path(task)) for task in TASKS}


def table(title):
    """A table of the document: {first cell of a row: {title of a column: text}}."""
    lines = TEXT.splitlines()
    start = next(
        number
        for number, line in enumerate(lines)
        if re.match(rf"\| {title} \|.*\n\|---", "\n".join(lines[number : number + 2]))
    )
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[start : next(n for n in range(start, len(lines)) if not lines[n].startswith("|"))]
    )
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


@pytest.mark.parametrize("task", TASKS)
def test_models_of_the_paper(task):
    config = BenchmarkConfig.read(config_path(task))
    assert [one.label for one in config.tasks] == [task]
    assert config.train_sizes == (500, 1000, 2500, None)
    assert config.split == {"split": "list", "test_people": f"test_{task}.csv", "validation_fraction": 0.2}
    models = {model.name: model for model in config.models}
    assert sorted(models) == sorted([*NETWORKS, "wavelet + logistic", *FINE_TUNED, *CONV, *AS_RUN, *AS_MEANT])
    assert models["wavelet + logistic"].baseline == "wavelet_logistic"
    assert [models[name].settings["model"] for name in NETWORKS] == ["lstm", "cnn1d", "convlstm", "cnn3d"]
    for name, model in models.items():
        made = model.finetune_config(config.tasks[0], 500, 0, config.split)
        assert (made.batch_size, made.patience, made.epochs, made.schedule) == (64, 250, 10_000, "constant")
        assert (made.monitor, made.class_weight, made.standardize, made.warmup_epochs) == ("auc", "paper", "paper", 0)
        rate = 1e-6 if "-L (" in name else 1e-5
        assert made.head_learning_rate == rate
        assert model.train_sizes == config.train_sizes
        if name.startswith("PAT"):
            assert made.mode == ("linear_probe" if "as meant" in name else "full")
            assert made.mode == "linear_probe" or made.encoder_rate == rate
            assert made.embedding == ("conv" if "Conv" in name else "auto")
            size = {"S": "small", "M": "medium", "L": "large"}[re.search("-([SML]) ", name)[1]]
            assert (made.size, made.weights) == (size, "" if "Conv" in name else f"pat_{size}_21k")
            assert not made.weights or made.weights in pat.PRESETS
    # The linear probe as run is fine-tuning.
    for name in AS_RUN:
        assert models[name].settings == models[name.replace("LP as run", "FT")].settings
        assert models[name].seeds == (0,)


def test_the_five_configs_are_alike():
    def alike(config):
        models = [(one.name, one.settings, one.baseline, one.train_sizes, one.seeds) for one in config.models]
        return models, config.train_sizes, config.seeds, config.reference, config.tasks[0].paper.source

    first, *others = (alike(config) for config in configs().values())
    assert all(other == first for other in others)


def test_papers_numbers_are_those_of_the_document():
    shipped = {task: config.tasks[0].paper.values for task, config in configs().items()}
    columns = {"500": "n = 500", "1000": "n = 1000", "2500": "n = 2500", "all": "n = 2800 (all)", "average": "average"}
    written = table("depression")
    assert len(written) == 12
    assert shipped.pop("depression") == {
        OURS.get(name, name): {key: float(row[title]) for key, title in columns.items()}
        for name, row in written.items()
    }
    for row in written.values():  # a slip of the pen would show
        mean = np.mean([float(row[columns[size]]) for size in SIZES])
        assert float(row["average"]) == pytest.approx(mean, abs=0.00051)
    averages = table("average over training sizes")
    assert shipped == {
        task: {
            OURS.get(name, name): {"average": float(value)}
            for name, value in averages[task.replace("_", " ").replace("ssri", "SSRI")].items()
            if value
        }
        for task in shipped
    }
    assert (written["PAT-L (FT)"]["average"], written["PAT Conv-L (LP as run)"]["n = 2800 (all)"]) == ("0.589", "0.625")
    assert averages["benzodiazepine"]["PAT-L (FT)"] == "0.767"


def test_people_and_addresses_of_the_document(tmp_path):
    people = table("task")
    assert {
        name.lower().replace(" ", "_"): int(row["people in the paper"].replace(",", "")) for name, row in people.items()
    } == PAPER_PEOPLE
    files = {name.split("`")[1]: row["address"].strip("`") for name, row in table("file").items()}
    assert files == {f"{file.stem}.xpt": file.address for file in missing_files(tmp_path, "H")}


def execute(commands, folder):
    """Runs commands as a shell does, with this interpreter and this package in place of installed programs."""
    programs = folder / "programs"
    if not programs.is_dir():
        programs.mkdir()
        for name, module in (("python", ""), ("pat-prepare", "prepare"), ("pat-benchmark", "benchmark")):
            start = f"-m pat_keras.apps.{module} " if module else ""
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {start}"$@"\n')
            (programs / name).chmod(0o755)
    paths = os.pathsep.join([str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def people_of_the_paper(path):
    """As many people with each label as the paper has, in weeks of a few minutes."""
    n = max(PAPER_PEOPLE.values())
    rng = np.random.default_rng(0)
    labels = {}
    for task, people in PAPER_PEOPLE.items():
        known = rng.permutation(n) < people
        labels[task] = np.where(known, (rng.random(n) < 0.1).astype(float), np.nan)
    ids = [str(number) for number in range(73557, 73557 + n)]
    cohort = pat.Cohort.from_arrays(rng.gamma(2, 5, (n, 10)).astype(np.float32), participant_id=np.array(ids))
    cohort = cohort.with_columns(*(pl.Series(task, values).fill_nan(None) for task, values in labels.items()))
    cohort.write(path)
    return cohort


def test_two_thousand_people_are_tested_and_all_cells_planned(tmp_path):
    (tmp_path / "paper").mkdir()
    cohort = people_of_the_paper(tmp_path / "paper" / "nhanes_h.parquet")
    said = execute(DRAW, tmp_path)
    assert said.splitlines()[0] == "depression: 4,800 people, 2,000 of them tested"
    planned = 0
    for task in TASKS:
        shutil.copy(config_path(task), tmp_path / "paper")
        config = BenchmarkConfig.read(tmp_path / "paper" / f"paper_{task}.toml")
        source = Source(cohorts={tmp_path / "paper" / "nhanes_h.parquet": cohort})
        cells = plan_cells(config, source)
        planned += len(cells)
        assert f"{len(config.models)} models" in TEXT and f"{len(cells)} cells;" in TEXT
        listed = (tmp_path / "paper" / f"test_{task}.csv").read_text().split()[1:]
        assert len(set(listed)) == 2000
        for cell in cells:
            (split,) = source.splits(cell.task, cell.config)
            data = source.labelled(cell.task, cell.config)
            assert sorted(data.participant_id[split.test]) == sorted(listed)
            learned = len(split.train) + len(split.validation)
            assert learned == (cell.train_size or PAPER_PEOPLE[task] - 2000)
            assert len(split.validation) == pytest.approx(0.2 * learned, abs=1)
        assert data.y[split.test].mean() == pytest.approx(data.y.mean(), abs=1 / 2000)
    assert f"the five are {planned} cells" in TEXT


def replaced(text, *changes):
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def shrunk(task, kept):
    """The shipped config with a few models, sizes and training epochs only."""
    text = replaced(
        config_path(task).read_text(),
        ('train_sizes = [500, 1000, 2500, "all"]', 'train_sizes = [16, "all"]'),
        ("\nseeds = [0, 1, 2]", "\nseeds = [0]"),
        ("\nepochs = 10000", "\nepochs = 1"),
        ('\nreference = "PAT-L (FT)"', f'\nreference = "{kept[0]}"'),
        (
            '"paper_full_small" }',
            '"paper_full_small", train_sizes = ["all"], settings = { weights = "", epochs = 1 } }',
        ),
    )
    named = re.compile(r'^(?:  \{ name = |)"(.+?)"(?: = \{|,)')
    lines = text.splitlines()
    return "\n".join(line for line in lines if not (found := named.match(line)) or found[1] in kept)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder as a checkout is, with small configs and files of people who were made up; and their labels."""
    folder = tmp_path_factory.mktemp("checkout")
    labels = write_cycle_h(folder / "paper" / "nhanes_h", people=48)
    configs = folder / "docs" / "benchmarks"
    configs.mkdir(parents=True)
    for task in TASKS:
        networks = ["PAT-S (FT)", "CNN-1D"] if task == "depression" else []
        (configs / f"paper_{task}.toml").write_text(shrunk(task, ["wavelet + logistic", *networks]))
    return folder, labels


def test_every_command_of_the_document(checkout):
    folder, labels = checkout
    said = execute(PREPARE, folder)
    assert "nothing fetched" in said
    check_cohort(folder / "paper", labels, said)
    execute(replaced(DRAW, ("TESTED = 2_000", "TESTED = 12")), folder)
    # Each command takes seconds to start, so the shell's loops are over one task; the others are planned here.
    loop, one = f"in {' '.join(TASKS)};", "in depression;"
    assert "5 to compute" in execute(replaced(DRY_RUN, (loop, one)), folder)
    for task in TASKS[1:]:
        assert len(plan_cells(BenchmarkConfig.read(folder / "paper" / f"paper_{task}.toml"), Source())) == 2
    said = execute(replaced(RUN, (loop, one)), folder)
    assert said.count("depression: AUC, 12 people tested") == 1
    assert re.search(r"^PAT-S \(FT\) .* 0\.574$", said, flags=re.MULTILINE)
    check_table(folder / "paper")


def check_cohort(folder, labels, said):
    """Everybody has the labels that the files were written from; who had a flaw is told so."""
    cohort = pat.Cohort.read(folder / "nhanes_h.parquet")
    assert cohort.activity.shape == (48, 7 * 1440) and not np.isnan(cohort.activity).any()
    kept = labels.head(48)
    assert cohort.participant_id.tolist() == kept["participant_id"].to_list()
    for task in TASKS:
        np.testing.assert_array_equal(cohort.label(task), kept[task].cast(pl.Float64).fill_null(np.nan).to_numpy())
        assert kept[task].drop_nulls().n_unique() == 2 and kept[task].null_count() > 0
        assert f"{PAPER_PEOPLE[task]:,} people in the paper" in said
    rejected = pl.read_csv(folder / "nhanes_h.rejected.csv", schema_overrides={"participant_id": pl.String})
    reasons = dict(rejected.select("participant_id", "reason").iter_rows())
    assert sorted(reasons) == labels["participant_id"][48:].to_list()
    for participant, reason in zip(labels["participant_id"][48:], REJECTED.values(), strict=True):
        assert reasons[participant].startswith(reason)


def check_table(folder):
    results = pl.read_csv(folder / "depression" / "results.csv")
    assert results["auc"].is_between(0, 1).all()
    assert {
        (model, size): paper for model, size, paper in results.select("model", "train_size", "paper").iter_rows()
    } == {
        ("wavelet + logistic", "16"): None,
        ("wavelet + logistic", "all"): 0.5,
        ("CNN-1D", "16"): None,
        ("CNN-1D", "all"): 0.525,
        ("PAT-S (FT)", "all"): 0.574,
    }
    assert "| paper |" in (folder / "depression" / "results.md").read_text()
    predictions = pl.read_parquet(folder / "depression" / "predictions.parquet").filter(pl.col("part") == "test")
    listed = sorted((folder / "test_depression.csv").read_text().split()[1:])
    for _, one in predictions.group_by("model", "train_size"):
        assert sorted(one["participant_id"]) == listed
