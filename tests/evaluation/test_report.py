"""The report: complete, self-contained, escaped, honest about what is synthetic or unclear."""

from __future__ import annotations

import html.parser
import itertools
import json
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
import polars as pl
import pytest

from pat_keras.errors import RunError
from pat_keras.evaluation import report_page
from pat_keras.evaluation.plot_style import to_svg
from pat_keras.evaluation.report import render, write_report
from pat_keras.evaluation.report_figures import roc_figure
from pat_keras.evaluation.report_people import notice
from pat_keras.evaluation.run_folder import read_run
from tests.evaluation.run_files import add_individuals, write_run

_VOID = {"meta", "link", "img", "br", "hr", "input"}


class _Page(html.parser.HTMLParser):
    """Collects what a test asks for, and that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def _report(folder: pathlib.Path, *args, **kwargs) -> tuple[_Page, str]:
    path = write_report(write_run(folder, *args, **kwargs))
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    return _Page(text), text


def _change(path: pathlib.Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


@pytest.fixture(scope="module")
def binary(tmp_path_factory) -> tuple[_Page, str]:
    return _report(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> tuple[_Page, str]:
    """A run with all that a report can show."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    add_individuals(folder)
    text = write_report(folder).read_text(encoding="utf-8")
    return _Page(text), text


def test_numbers_with_intervals(binary, tmp_path) -> None:
    page, _ = binary
    test = read_run(write_run(tmp_path)).metrics["test"]
    assert f"AUC {test['auc']:.2f} ({test['auc_low']:.2f} to {test['auc_high']:.2f}) on 30 people" in page.text
    for name in ("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "f1", "mcc", "brier"):
        assert f"{test[name]:.3f} {test[f'{name}_low']:.3f} to {test[f'{name}_high']:.3f}" in page.text, name
    assert "logistic regression on simple daily features reaches" in page.text
    assert "fewer than 7 days" in page.text  # the funnel
    assert "train 30 60" in page.text  # people and windows
    assert "--label=depressed" in page.text
    assert "versions.keras 3.15.0" in page.text
    assert "no medical device" in page.text
    assert "A. Study, 2020." in page.text
    assert "Synthetic" not in page.text


def test_figures_have_words_from_the_numbers(binary) -> None:
    page, _ = binary
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(pictures) == len(page.all("figure")) == 5
    assert all(len(svg["aria-label"]) > 40 for svg in pictures)
    assert re.match(r"ROC curve of 30 test people, \d+ of class 1. AUC 0\.\d\d", pictures[0]["aria-label"])


def test_nothing_is_fetched_or_run(binary) -> None:
    page, text = binary
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "img"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "xlink:href", "src"):
                assert value.startswith("#"), value
    assert "url(http" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_light_dark_phone_and_print(binary) -> None:
    _, text = binary
    for part in ("prefers-color-scheme: dark", "@media print", "width=device-width", 'lang="en"'):
        assert part in text
    for name, color in report_page.PALETTE.items():
        assert text.count(color) == 2, name  # by day and in print; every figure names it instead


def test_ids_are_unique_and_links_lead_somewhere(binary) -> None:
    page, _ = binary
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"].removeprefix("#") in ids


def test_people_are_not_named(binary, everything) -> None:
    for _, text in (binary, everything):
        assert not re.search(r"\bp\d{3}\b", text)


# --- single people ---


def test_weeks_are_shown_with_words_from_their_numbers(everything, tmp_path) -> None:
    page, _ = everything
    weeks = add_individuals(write_run(tmp_path)).people
    labels = [svg["aria-label"] for svg in page.all("svg")]
    shown = [label for label in labels if label.startswith(("Most certain", "Smallest"))]
    assert len(shown) == len(weeks) == 2
    hours = weeks[0].activity.reshape(7, 24, 60).mean(axis=(0, 2))
    assert f"Most active around {hours.argmax()}:00 ({hours.max():.3g} counts a minute)" in shown[0]
    attention = np.repeat(weeks[0].attention, 18).reshape(7, 24, 60).mean(axis=(0, 2)) * len(weeks[0].attention)
    assert f"Attended to most around {attention.argmax()}:00 ({attention.max():.2f} times the mean)" in shown[0]
    assert f"Line {weeks[0].line} of predictions.csv, the first of 2 windows." in page.text


def test_recordings_are_announced_and_can_be_left_out(everything, tmp_path) -> None:
    page, _ = everything
    assert "This page shows recordings of 2 people" in page.text
    assert "--report_people=0" in page.text
    write_run(tmp_path)
    add_individuals(tmp_path)
    page = _Page(write_report(tmp_path, individuals=False).read_text(encoding="utf-8"))
    for words in ("This page shows recordings", "Single people", "Embeddings", "predictions.csv"):
        assert words not in page.text


def test_nobody_real_needs_no_announcement(tmp_path) -> None:
    write_run(tmp_path, synthetic=True)
    assert notice(read_run(tmp_path), add_individuals(tmp_path)) == ""


def test_embeddings_by_column(everything) -> None:
    page, _ = everything
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert sum(label.startswith("PCA of 30 test people by") for label in labels) == 2
    assert sum(label.startswith("UMAP of 30 test people by") for label in labels) == 2
    assert any("10 of <18, 10 of 18-39, 10 of 60+. Group means hold" in label for label in labels)
    assert "4 test people were left out at random" in page.text
    assert "panels can't be compared" not in page.text


def test_embeddings_of_folds_are_not_mixed(tmp_path) -> None:
    add_individuals(write_run(tmp_path, folds=3))
    page = _Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "panels can't be compared" in page.text
    assert "Fold 3" in page.text


@pytest.mark.parametrize(("task", "words"), [("multiclass", "Predicted class"), ("regression", "Predicted far too")])
def test_single_people_of_other_tasks(tmp_path, task: str, words: str) -> None:
    add_individuals(write_run(tmp_path, task))
    assert words in _Page(write_report(tmp_path).read_text(encoding="utf-8")).text


def test_damaged_individuals_are_named(tmp_path) -> None:
    write_run(tmp_path)
    (tmp_path / "individuals.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"individuals.npz.*--resume"):
        write_report(tmp_path)


def test_groups_as_dots(tmp_path) -> None:
    write_run(tmp_path)
    group = {"n": 15, "n_positive": 7, "auc": 0.71, "auc_low": 0.5, "auc_high": 0.9, "reasons": {}}
    few = {"group": "60+", "n": 3, "n_positive": 1, "auc": None, "reasons": {"auc": "3 people, fewer than 10"}}
    _change(tmp_path / "metrics.json", subgroups={"age": [{"group": "18-39", **group}, few]})
    page = _Page(write_report(tmp_path).read_text(encoding="utf-8"))
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert any(label.startswith("AUC by group: age 18-39 0.71 (0.50 to 0.90). Everybody") for label in labels)
    assert "1 groups are too small" in page.text
    assert "60+ 3 1 of class 1 undefined 3 people, fewer than 10" in page.text


# --- structure ---


def test_headings_come_in_order(everything) -> None:
    page, _ = everything
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert 3 in levels
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_tables_say_what_their_cells_are_of(everything) -> None:
    page, text = everything
    assert text.count("<table>") == text.count("<caption>") > 4
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    regions = [tag for _, tag in page.tags if tag.get("class") == "scroll"]
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_the_first_link_leads_past_the_contents(everything) -> None:
    page, _ = everything
    first = page.all("a")[0]
    assert first["href"] == f"#{page.all('main')[0]['id']}"


def test_what_was_run_in_short(everything) -> None:
    page, _ = everything
    assert "Network small" in page.text
    assert "Training epochs 12" in page.text
    assert "Software keras 3.15.0" in page.text
    assert [page.tags[i + 1][0] for i, (tag, _) in enumerate(page.tags) if tag == "details"] == ["summary"] * 2


@pytest.mark.parametrize(
    ("weights", "scaling", "words"),
    [
        ("pat_small_nhanes2005", "Scaling cohort (auto)", "pretrained on (pat_small_nhanes2005: NHANES 2005-06), the"),
        ("pat_small_29k", "Scaling per_minute (auto)", "2003-04, 2005-06, 2011-12, 2013-14), the test is not"),
        ("mine.h5", "Scaling auto", "those it was pretrained on, the test is not"),
        ("", "Scaling cohort (auto)", ""),
    ],
)
def test_what_auto_was_and_whom_pretraining_saw(tmp_path, weights: str, scaling: str, words: str) -> None:
    write_run(tmp_path)
    _change(tmp_path / "config.json", standardize="auto", weights=weights)
    page = _Page(render(read_run(tmp_path)))
    assert scaling in page.text and words in page.text
    assert ("pretrained weights" in page.text) == bool(weights)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": "pat_medium_nhanes2005"}, "Network pat, medium, linear Started"),
        ({"weights": "pat_conv_large_nhanes2005", "size": "medium"}, "Network pat, large, conv Started"),
        ({"weights": "pat_medium_nhanes2005", "embedding": "conv_linear"}, "Network pat, medium, conv_linear Started"),
        ({"weights": "mine.h5"}, "Network pat Started"),
        ({"weights": "", "size": "large", "embedding": "conv"}, "Network pat, large, conv Started"),
        ({"weights": "", "model": "lstm"}, "Network lstm Started"),
    ],
)
def test_the_network_is_that_of_the_weights_and_not_of_the_settings(tmp_path, settings: dict, words: str) -> None:
    write_run(tmp_path)
    _change(tmp_path / "config.json", **{"model": "pat", "size": "small", "embedding": "auto", **settings})
    assert words in _Page(render(read_run(tmp_path))).text


def test_the_page_is_small(everything) -> None:
    assert len(everything[1]) < 2_000_000


def test_everything_from_files_is_escaped(tmp_path) -> None:
    nasty = '<script>alert("x")</script>&\'"'
    write_run(tmp_path, label=nasty, source=nasty, citation=nasty)
    _change(tmp_path / "data.json", funnel=[{"step": nasty, "people": nasty, "reason": nasty}], **{nasty: nasty})
    _change(tmp_path / "config.json", **{nasty: {nasty: nasty}})
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    metrics["baseline"]["name"] = nasty
    metrics["test"]["reasons"] = {"f1": nasty}
    metrics["test"]["f1"] = None
    _change(tmp_path / "metrics.json", **metrics)
    (tmp_path / "flags.txt").write_text(nasty)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    page = _Page(text)
    assert "<script" not in text
    assert not page.all("script")
    assert page.text.count("alert(") > 8


def test_synthetic_people_are_announced_first(tmp_path) -> None:
    page, text = _report(tmp_path, synthetic=True)
    assert "Synthetic data" in page.text
    assert text.index('class="banner"') < text.index("AUC")


def test_synthetic_said_by_the_data_alone(tmp_path) -> None:
    write_run(tmp_path, synthetic=True)
    _change(tmp_path / "metrics.json", synthetic=False)
    assert "Synthetic data" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-0.1, 0.2, "do not show which"), (0.01, 0.2, "is better than"), (-0.3, -0.1, "is worse than")],
)
def test_difference_in_words(tmp_path, low: float, high: float, words: str) -> None:
    write_run(tmp_path)
    _change(tmp_path / "metrics.json", difference={"auc": (low + high) / 2, "low": low, "high": high})
    assert words in render(read_run(tmp_path))


def test_lower_error_is_better(tmp_path) -> None:
    write_run(tmp_path, "regression")
    _change(tmp_path / "metrics.json", difference={"mae": -1.0, "low": -2.0, "high": -0.5})
    assert "is better than" in render(read_run(tmp_path))


def test_cross_validation(tmp_path) -> None:
    page, _ = _report(tmp_path, folds=3)
    assert "Test people of each fold" in page.text
    assert "people of different folds by different models" in page.text
    assert "in each of 3 folds" in page.text
    assert "test 30 60" in page.text
    folds = read_run(tmp_path).metrics["folds"]
    for fold in folds:
        assert f"{fold['fold']} {fold['auc']:.3f}" in page.text
        assert f"30 {fold['n_positive']} of class 1 0.500" in page.text
    assert len({fold["auc"] for fold in folds}) == 3


@pytest.mark.parametrize(("task", "captions"), [("binary", 3), ("multiclass", 3), ("regression", 1)])
def test_captions_say_that_drawn_intervals_are_as_of_one_split(tmp_path, task: str, captions: int) -> None:
    for folds in (1, 3):
        (tmp_path / str(folds)).mkdir()
        page, _ = _report(tmp_path / str(folds), task, folds=folds)
        assert page.text.count("The intervals drawn are not widened for folds") == (captions if folds > 1 else 0)


def test_unequal_folds_are_told_as_a_span(tmp_path) -> None:
    write_run(tmp_path, folds=3)
    parts = json.loads((tmp_path / "data.json").read_text())["parts"]
    parts[1]["test"]["people"] = 29
    _change(tmp_path / "data.json", parts=parts)
    assert "29 to 30" in render(read_run(tmp_path))


def test_scaling_of_each_part_by_itself_is_a_limit(tmp_path) -> None:
    write_run(tmp_path)
    _change(tmp_path / "config.json", standardize="paper")
    assert "influenced their own scaling" in render(read_run(tmp_path))


@pytest.mark.parametrize(
    ("task", "solved", "config", "words"),
    [
        ("binary", False, {}, "decided when training stopped and where the threshold lies, so"),
        ("regression", False, {}, "decided when training stopped, so"),
        ("binary", True, {}, "decided where the threshold lies, so"),
        ("multiclass", True, {}, "Validation people decided nothing, and neither did the test people."),
        ("regression", True, {}, "Validation people decided nothing"),
        ("binary", True, {"recalibration": "platt"}, "how probabilities were recalibrated and where the thresh"),
        ("binary", False, {"combine": "stack"}, "when training stopped, what the members weigh and where the thresh"),
    ],
)
def test_what_validation_people_decided(tmp_path, task: str, solved: bool, config: dict, words: str) -> None:
    write_run(tmp_path, task)
    _change(tmp_path / "config.json", **config)
    if solved:
        row = {"stage": "probe", "loss": 0.6, "validation_loss": 0.7, "inverse_penalty": 0.1}
        pl.DataFrame([row]).write_csv(tmp_path / "history.csv")
    assert words in _Page(render(read_run(tmp_path))).text


def test_few_validation_people_of_a_class_are_told_beside_their_numbers(tmp_path) -> None:
    for folds, where in ((1, ""), (3, " in the fold with fewest")):
        write_run(tmp_path, folds=folds)
        assert "largely chance" not in render(read_run(tmp_path))
        parts = json.loads((tmp_path / "data.json").read_text())["parts"]
        parts[-1]["validation"]["people_by_class"] = {"0": 24, "1": 6}
        _change(tmp_path / "data.json", parts=parts)
        words = (
            f"Only 6 validation people are of the smallest class{where}: with so few, when training stopped and where"
        )
        assert words in _Page(render(read_run(tmp_path))).text


@pytest.mark.parametrize(("task", "there"), [("binary", True), ("multiclass", True), ("regression", False)])
def test_curve_as_a_picture(tmp_path, task: str, there: bool) -> None:
    write_report(write_run(tmp_path, task))
    path = tmp_path / "roc.png"
    assert path.is_file() == there
    assert not there or path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("task", "bands"), [("binary", "The band is"), ("multiclass", "The bands are")])
def test_the_picture_says_what_its_caption_does(tmp_path, task: str, bands: str) -> None:
    for folds in (1, 3):
        (tmp_path / str(folds)).mkdir()
        drawn = roc_figure(read_run(write_run(tmp_path / str(folds), task, folds=folds)))
        svg = xml.etree.ElementTree.fromstring(to_svg(drawn, "roc"))
        texts = " ".join(" ".join(element.text or "" for element in svg.iter() if element.tag.endswith("text")).split())
        assert ("The intervals drawn are not widened for folds that share the people" in texts) == (folds > 1)
        assert (bands in texts) == (folds > 1)
        drawn.draw_without_rendering()
        within = drawn.get_window_extent()
        assert all(within.contains(*corner) for text in drawn.texts for corner in text.get_window_extent().corners())


def test_several_classes(tmp_path) -> None:
    page, _ = _report(tmp_path, "multiclass")
    assert "predicted 2" in page.text
    assert "Accuracy" in page.text
    assert "each class against the rest" in page.text
    assert "How often each class came true" in page.text
    assert "pointwise 95 % bootstrap intervals" in page.text
    assert len(page.all("figure")) == 4
    assert "Brier" not in page.text


def test_regression(tmp_path) -> None:
    page, _ = _report(tmp_path, "regression")
    assert page.text.startswith("depressed: prediction of a number")
    assert "Predicted against true values of 30 test people" in page.text
    assert "Calibration in 2 groups of people. A mean prediction of" in page.text
    assert "Confusion" not in page.text


def test_without_the_files_that_may_be_absent(tmp_path) -> None:
    write_run(tmp_path)
    for name in ("history.csv", "config.json", "data.json", "flags.txt"):
        (tmp_path / name).unlink()
    results = json.loads((tmp_path / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps({"task": "binary", "test": results["test"]}))
    page = _Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "No baseline was computed" in page.text
    assert "holds neither config.json nor flags.txt" in page.text


def test_a_second_report_takes_the_place_of_the_first(tmp_path) -> None:
    write_run(tmp_path)
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    assert not list(tmp_path.glob(".report*"))


def test_folder_without_a_run(tmp_path) -> None:
    with pytest.raises(RunError, match="there is no such file"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
