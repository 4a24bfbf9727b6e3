"""pat-explain: pictures of a run's predictions, the numbers behind each, and errors that say what to do."""

from __future__ import annotations

import json
import pathlib
import types
import xml.etree.ElementTree

import numpy as np
import polars as pl
import pytest

from pat_keras.apps.explain import main
from pat_keras.data.cohort import Cohort
from pat_keras.errors import CohortError, ConfigError
from pat_keras.evaluation import explanation_files, explanation_run
from pat_keras.evaluation.attention import attention_profile
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.explanation import ExplainSettings
from pat_keras.evaluation.explanation_figures import day_figure, days_figure
from pat_keras.evaluation.explanation_run import explain
from pat_keras.evaluation.predict import predict
from pat_keras.models.networks import BaselineNetwork
from tests.small import small_cohort, small_config

METHODS = ("attention", "rollout", "input_x_gradient", "integrated_gradients", "occlusion")


def _with_gap(cohort: Cohort) -> Cohort:
    activity = cohort.activity.copy()
    activity[::3, 180:240] = np.nan
    return Cohort(activity, cohort.table, cohort.metadata)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return _with_gap(small_cohort())


@pytest.fixture(scope="module")
def kfold(cohort, tmp_path_factory) -> Result:
    """Two folds that know missing minutes."""
    out = tmp_path_factory.mktemp("runs") / "kfold"
    config = small_config(epochs=1, split="kfold", folds=2, validation_fraction=0.4, missing="mask")
    return finetune(cohort, "label", config, out=out)


def _explain(*arguments: str | pathlib.Path) -> int:
    return main(["pat-explain", *(str(argument) for argument in arguments)])


def test_every_picture_has_its_numbers(kfold, cohort, tmp_path, capsys) -> None:
    cohort.write(tmp_path / "c.parquet")
    run, out = f"--run={kfold.folder}", tmp_path / "out"
    methods = ("attention", "integrated_gradients", "occlusion")
    few = [f"--methods={','.join(methods)}", "--steps=2", "--draws=2", "--permutations=100", "--pictures=1"]
    assert _explain(run, f"--data={tmp_path / 'c.parquet'}", "--people=all", f"--out={out}", *few) == 0
    printed = capsys.readouterr().out
    assert "SYNTHETIC DATA." in printed
    assert "log-odds of label = 1: 24 people (24 tested by the run), 48 windows" in printed
    assert "hidden hours: missing" in printed
    stems = {path.relative_to(out).with_suffix("") for path in out.rglob("*.png")}
    expected = {"deletion", "days", *(f"groups_{name}" for name in methods), "people/01/matrix"}
    expected |= {f"people/01/day_{name}" for name in methods} | {f"people/01/week_{name}" for name in methods[:2]}
    assert {str(stem) for stem in stems} == expected
    for stem in stems:
        assert (out / stem).with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (out / stem).with_suffix(".svg").read_text(encoding="utf-8")
        assert pl.read_csv((out / stem).with_suffix(".csv")).height > 0
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["deletion"]) == list(methods)
    assert summary["groups"]["attention"]["groups"] == {"label = 0": 14, "label = 1": 10}
    for stem in stems:  # every picture carries the number of its deletion test
        method = next((name for name in methods if stem.name.endswith(name)), None)
        names = [method] if method else {"matrix": ["attention"], "days": ["occlusion"], "deletion": []}[stem.name]
        for name in names:
            ratio = summary["deletion"][name]["ratio"]
            words = _texts(out / stem)
            assert f"{ratio:.2f} (" in words, stem
            assert "times as much as random hours, n = 24" in words, stem
    assert "Fall of log-odds of label = 1 when hidden" in _texts(out / "people/01/day_occlusion")
    _check_numbers(kfold, cohort, out)
    assert _explain(run, f"--data={tmp_path / 'c.parquet'}", f"--out={out}") == 2
    assert "not empty" in capsys.readouterr().err


def _texts(stem: pathlib.Path) -> str:
    """What is written in a picture."""
    svg = xml.etree.ElementTree.parse(stem.with_suffix(".svg"))
    return " ".join(" ".join(element.text or "" for element in svg.iter() if element.tag.endswith("text")).split())


def _check_numbers(kfold: Result, cohort: Cohort, out: pathlib.Path) -> None:
    """Those of the first person, by the model of the fold that tested it."""
    windows = pl.read_csv(out / "windows.csv")
    tested = kfold.predictions.filter(pl.col("part") == "test").sort("participant_id", "window")
    np.testing.assert_allclose(windows["probability"], tested["probability"], atol=1e-5)
    assert windows["models"].to_list() == [f"fold {fold}" for fold in tested["fold"]]
    model = kfold.models[tested["fold"][0] - 1]
    profile = attention_profile(model, cohort.activity[:1])[0]
    week = pl.read_csv(out / "people/01/week_attention.csv")
    drawn = np.nan_to_num(week["attention"].to_numpy().astype(np.float64))
    patches = drawn.reshape(len(profile), -1).mean(axis=1)
    np.testing.assert_allclose(patches / patches.sum(), profile, atol=1e-5)
    day = pl.read_csv(out / "people.csv").row(0, named=True)
    assert (day["participant_id"], day["method"]) == (cohort.participant_id[0], "attention")
    assert day["12:00"] == pytest.approx(pl.read_csv(out / "people/01/day_attention.csv")["attention"][12])
    matrix = pl.read_csv(out / "people/01/matrix.csv").drop("from_hour").to_numpy()
    assert matrix.shape == (24, 24)
    np.testing.assert_allclose(np.nansum(matrix, axis=1).max(), 1, atol=1e-5)


def test_what_is_written_of_a_person_keeps_the_capitals_of_the_label() -> None:
    windows = pl.DataFrame({"score": [0.5], "probability": [0.62], "held_out": [""]})
    found = types.SimpleNamespace(about={"explains": "log-odds of PHQ9 = 1"}, windows=windows)
    assert explanation_files._score_words(found, 0).startswith("Log-odds of PHQ9 = 1: 0.50, probability 0.62; ")


def test_days_of_people_who_are_all_alike() -> None:
    """Their interval has no width, and lies below the mean by rounding."""
    figure = days_figure(np.ones(1), np.ones(1), np.full(1, 1 - 2**-52), ["day 1"], "Change", "")
    assert figure.axes


def test_a_long_label_stays_beside_its_axis() -> None:
    label = "Change of log-odds of agegroup = the most probable class"
    ones = np.ones(7)
    day = {"unit": "counts", "even": 0.0, "title": "Day", "label": label, "caption": ""}
    for figure in (days_figure(ones, ones, ones, list("abcdefg"), label, ""), day_figure(ones, np.ones(24), **day)):
        figure.draw_without_rendering()
        axes = figure.axes[-1]
        assert axes.yaxis.label.get_window_extent().height <= axes.get_window_extent().height


def test_new_people_are_explained_by_all_models(kfold, cohort) -> None:
    others = small_cohort(n_people=6, seed=1)
    others = Cohort(others.activity, others.table.with_columns(pl.col("participant_id") + "n").drop("label"))
    settings = ExplainSettings(("attention",), draws=1, pictures=0)
    said: list[str] = []
    found = explain(kfold.folder, others, "all", settings, say=said.append)
    assert any("unit is 'unknown'" in each for each in said)
    expected = np.mean([attention_profile(model, others.activity) for model in kfold.models], axis=0)
    np.testing.assert_allclose(found.minutes["attention"][:, ::18] * 18, expected, atol=1e-6)
    assert found.windows["models"].to_list() == ["mean of 2"] * 12
    predicted = predict(kfold.folder, others, say=said.append).windows["probability"]
    np.testing.assert_allclose(found.windows["probability"], predicted, atol=1e-6)
    assert found.comparison == {}
    assert "no column 'label'" in found.no_comparison
    assert not found.clock.known
    grouped = explain(kfold.folder, cohort, "random:3", ExplainSettings(("attention",), draws=1, group="level"))
    assert "of at least 5 people" in grouped.no_comparison

    def none_done(done: int, total: int) -> None:
        pytest.fail("the column is looked for after the work")

    with pytest.raises(CohortError, match="no column 'height'"):
        explain(kfold.folder, cohort, "all", ExplainSettings(("attention",), group="height"), progress=none_done)


def test_groups_keep_their_names_where_one_is_called_missing(kfold, cohort) -> None:
    values = np.repeat(["missing", "no", "yes", "no"] * 6, 2).tolist()
    values[:2] = [None, None]  # the first person has no value
    smokers = cohort.with_columns(pl.Series("smoker", values))
    found = explain(kfold.folder, smokers, "all", ExplainSettings(("attention",), draws=1, group="smoker"))
    compared = found.comparison["attention"]
    assert compared.names == ["smoker = missing", "smoker = no", "smoker = yes"]
    for name, count, mean in zip(("missing", "no", "yes"), (5, 12, 6), compared.mean, strict=True):
        own = np.array([value == name for value in values[::2]])
        assert own.sum() == count
        np.testing.assert_allclose(mean, found.days["attention"][own].mean(axis=0))


def test_other_networks_have_no_attention(kfold, cohort, monkeypatch) -> None:
    networks = [BaselineNetwork("cnn1d", 1440) for _ in range(2)]
    monkeypatch.setattr(explanation_run, "load_models", lambda run: networks)
    found = explain(kfold.folder, cohort, "random:2", ExplainSettings(steps=2, draws=1))
    assert tuple(found.days) == METHODS[2:]
    assert found.matrices == {}
    with pytest.raises(ConfigError, match="the model is a cnn1d, which has none"):
        explain(kfold.folder, cohort, "random:2", ExplainSettings(("rollout",)))


def test_mistakes_are_one_paragraph(kfold, cohort, tmp_path, capsys) -> None:
    data = tmp_path / "c.parquet"
    cohort.write(data)
    short = Cohort(cohort.activity[:, :1080], cohort.table, cohort.metadata)
    short.write(tmp_path / "short.parquet")
    good = {"run": kfold.folder, "data": data, "out": tmp_path / "out", "people": "random:2", "methods": "attention"}
    cases = [
        ({"methods": "gradcam"}, "there is no 'gradcam'; expected some of attention, rollout"),
        ({"people": "nobody"}, "1 of 1 are not in the cohort, such as 'nobody'"),
        ({"run": tmp_path / "none"}, "metrics.json: there is no such file"),
        ({"data": tmp_path / "short.parquet"}, "the windows have 1080 minutes, the run"),
        ({"block": "7"}, "block is 7, and the encoder has 1"),
        ({"target_class": "2"}, "there is no class '2' to explain; it is a binary run"),
        ({"group": "height"}, "groups: found no column 'height'"),
        ({"draws": "0"}, "draws is 0, expected 1 or more"),
        ({"hide": "never"}, "hide is 'never', expected one of auto"),
    ]
    for changes, words in cases:
        assert _explain(*(f"--{name}={value}" for name, value in {**good, **changes}.items())) == 2, changes
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("pat-explain: "), error
        assert words in error
        assert not (tmp_path / "out").exists()
