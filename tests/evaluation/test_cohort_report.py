"""The page of a prepared cohort says its numbers, names nobody, and is one whole file."""

from __future__ import annotations

import dataclasses
import datetime
import html.parser
import re
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from pat_keras.data.account import Example
from pat_keras.data.assembly import assemble
from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig
from pat_keras.errors import CohortError
from pat_keras.evaluation import cohort_figures as figures
from pat_keras.evaluation.cohort_report import render, write_cohort_report

START = datetime.datetime(2031, 5, 1, 22, 0)  # a Thursday


def recording(number, days=8, worn_hours=16, zero=False):
    minute = np.arange(days * 1440)
    rng = np.random.default_rng(number)
    activity = rng.integers(1, 400, len(minute)) * (minute % 1440 < worn_hours * 60) * (not zero)
    return Recording(f"who<{number}>", START, 60, activity, "counts", "secret.csv")


def study(people=12, **changes):
    items = [recording(number) for number in range(people)]
    items += [recording(90, worn_hours=8), recording(91, days=3), Rejection("who<92>", "bad <clock>")]
    names = [item.participant_id for item in items]
    table = pl.DataFrame({"participant_id": names, "ill": [1.0, 0.0, 0.0] * (len(names) // 3)})
    settings = {"labels": {"ill": "1 ill & well"}, "reading": {"separator": "<semicolon>"}, **changes}
    return Study(
        name="A <study>", people=table, recordings=iter(items), expected_people=None, missing_label=lambda *_: "",
        unit="counts", ceiling=399, start_is_known=True, citation="Someone & others 2031", terms="for tests",
        **settings,
    )  # fmt: skip


def with_recordings(made, items):
    """The study with other recordings."""
    people = pl.DataFrame({"participant_id": [item.participant_id for item in items]})
    return dataclasses.replace(made, people=people, recordings=iter(items))


CHOI = WindowConfig(nonwear="choi", min_worn_minutes=600, min_valid_days=4)


@pytest.fixture(scope="module")
def text():
    return render(assemble(study(), CHOI), "mine.rejected.csv")


class Page(html.parser.HTMLParser):
    """Words and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data.strip())


def rows(text):
    """Cells of every row of the page's tables."""
    return [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", text)
    ]


def test_everybody_is_counted(text):
    assert "12 of 15 people kept, with 12 windows of 7 days." in text
    found = rows(text)
    for row in (
        ["read", "15", ""],
        ["rejected", "1", "bad <clock>"],
        ["rejected", "1", "fewer than 4 days with 600 worn minutes in every window of 7 days"],
        ["rejected", "1", "recorded for fewer than 7 whole days from midnight"],
        ["kept", "12", ""],
        ["ill", "12", "0", "1: 4, 0: 8", "1 ill & well"],
        ["separator", "<semicolon>"],
        ["Worn minutes of a valid day", "600"],
        ["Valid days of a window", "4"],
    ):
        assert row in found
    assert "mine.rejected.csv" in text
    for part in ("Choi et al. 2011", "Med Sci Sports Exerc 43(2)", "Someone &amp; others 2031", "for tests"):
        assert part in text


def test_tables_without_terms_have_no_empty_section():
    own = dataclasses.replace(study(), citation="", terms="")
    text = render(assemble(own, WindowConfig()), "mine.rejected.csv")
    assert "Choices" in text and "Terms and citation" not in text


def test_worn_time_and_average_days_are_in_words(text):
    # From 22 o'clock worn for 16 hours, then 8 of non-wear: 2 hours before midnight, 14 after.
    assert "of 84 days in windows: median 16.0, 5 % of days below 16.0, 5 % above 16.0" in text
    assert f"{12 * 7 * 480:,} minutes (33.3%) of the windows are non-wear" in text
    assert "Average days of 12 people." in text


def test_nobody_is_named_and_no_date_is_told(text):
    for secret in ("who&lt;", "secret", "2031-", "May", *(f"&lt;{number}&gt;" for number in range(12))):
        assert secret not in text.replace("Someone &amp; others 2031", "")
    assert "Friday" in text  # but the days of the week are


def test_one_file_that_fetches_and_runs_nothing(text):
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and text.endswith("</html>\n")
    assert page.tags.count("svg") == page.tags.count("figure") == 4
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", text.replace('xlink:href="http', ""))
    assert all(f'href="#{anchor}"' in text for anchor in re.findall(r'<h2 id="(.*?)"', text))


def test_the_same_cohort_gives_the_same_page(text):
    assert render(assemble(study(), CHOI), "mine.rejected.csv") == text


def test_shared_days_passed_over_places_filled_and_ceiling_are_told():
    items = [recording(1, days=16), recording(1, days=16), recording(2, days=16)]
    items[1] = Recording("b", START, 60, items[1].activity, "counts", "b.csv")
    activity = items[2].activity.copy()
    activity[1500] = np.nan
    activity[2000] = 399
    items[2] = Recording("c", START, 60, activity, "counts", "c.csv")
    text = render(assemble(with_recordings(study(0), items), WindowConfig()), "r.csv")
    assert "2 people in 1 group share identical days" in text
    assert ["some minutes missing in every window of 7 days", "1"] in rows(text)
    assert "people are at the device&#x27;s ceiling of 399 counts" in text
    assert "every recorded minute counts as worn" in text
    assert ["Worn minutes of a valid day", "not asked for"] in rows(text)
    assert "Valid days of a window" not in text


def test_nobody_worn_nobody_rejected_and_no_label():
    items = [Recording("a", START, 60, np.zeros(8 * 1440), "counts", "a.csv")]
    config = WindowConfig(nonwear="choi", min_moving_minutes=0)
    text = render(assemble(with_recordings(study(0, labels={}), items), config), "r.csv")
    assert "there is no day to average" in text
    assert "There is no label" in text
    assert "was rejected for its windows" not in text


def test_a_file_that_is_there_is_not_replaced_unless_asked(tmp_path):
    made = assemble(study(), CHOI)
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(CohortError, match="already there"):
        write_cohort_report(path, made, "r.csv")
    assert path.read_text() == "mine"
    write_cohort_report(path, made, "r.csv", overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


def test_the_figure_of_a_recording_shows_what_was_not_worn_and_not_recorded():
    activity = np.full(12 * 1440, 50.0)
    activity[100:160] = np.nan
    nonwear = np.zeros(len(activity), dtype=bool)
    nonwear[3000:3200] = True
    made = Recording("a", START, 60, activity, "counts", "a.csv")
    axes = figures.recording_figure(Example(made, nonwear, "too short")).axes[0]
    assert axes.get_title(loc="left") == "Rejected, the first 10 of 13 days"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:4] == ["Thursday", "Friday", "Saturday", "Sunday"] and len(names) == 10
    assert axes.get_legend_handles_labels()[1] == ["not recorded", "not worn"]
    shaded = [one.get_paths()[0].get_extents() for one in axes.collections[10:]]
    # 22:00 + 100 minutes is 23:40 of the first day; the hour goes on after midnight.
    begin = (START.hour * 60 + 3000) % 1440
    times = [(round(box.x0 * 60), round(box.x1 * 60)) for box in shaded]
    assert times == [(1420, 1440), (0, 40), (begin, begin + 200)]


def test_the_middle_of_activity_goes_around_the_clock():
    quarters = np.zeros((4, 96))
    for person, hour in enumerate((9, 15, 23, 2)):
        quarters[person, hour * 4 - 2 : hour * 4 + 2] = 1
    np.testing.assert_allclose(figures.middle_of_activity(quarters), [9, 15, 23, 26])


def test_many_people_are_averaged_with_their_neighbours():
    average_days = np.random.default_rng(0).random((1001, 96)).astype(np.float32)
    figure = figures.average_days_figure(average_days, "counts")
    assert figure.axes[0].images[0].get_array().shape == (400, 96)
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), average_days.mean(axis=0), rtol=1e-5)


def test_depresjons_page_takes_seconds(shared_data, tmp_path):
    made = assemble(read_depresjon(shared_data / "depresjon.zip"), WindowConfig(), "depressed")
    begin = time.thread_time()
    path = write_cohort_report(tmp_path / "d.html", made, "d.rejected.csv")
    assert time.thread_time() - begin < 10  # about 1 s alone; 2.5 s were seen on a busy machine
    text = path.read_text(encoding="utf-8")
    assert "54 of 55 people kept, with 65 windows of 7 days." in text
    assert not re.search(r"(condition|control)_\d", text)
    assert len(text) < 1_000_000


def test_no_tensorflow_is_needed():
    code = "import sys, pat_keras.evaluation.cohort_report; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
