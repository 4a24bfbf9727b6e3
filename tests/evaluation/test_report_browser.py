"""The report in a real browser, if one is installed: nothing is fetched or complained of, and it can be read."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest

from pat_keras.evaluation.report import write_report
from tests.browser import Page, browser_path, open_page
from tests.evaluation.run_files import add_individuals, write_run

# The ratio of WCAG 2 between the colours of two computed styles.
_CONTRAST = """
(() => {
  const light = text => { const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(Number).map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const inks = [...document.querySelectorAll("p, td, th, a, caption, figcaption, svg text")]
    .map(element => { const style = getComputedStyle(element);
      return element instanceof SVGElement ? style.fill : style.color; });
  return Math.min(...inks.map(light).map(ink => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)));
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    browser_path()
    folder: pathlib.Path = write_run(tmp_path_factory.mktemp("run"))
    add_individuals(folder)
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        page.go(write_report(folder))
        yield page


def test_nothing_is_fetched_and_nothing_complained_of(page) -> None:
    assert len(page.requests) == 1
    assert page.requests[0].startswith("file:")
    assert page.complaints == []


def test_a_page_that_fetches_or_fails_is_noticed(page, tmp_path_factory) -> None:
    """The test above can fail."""
    bad = tmp_path_factory.mktemp("bad") / "bad.html"
    bad.write_text('<!DOCTYPE html><img src="missing.png"><script>console.error("no"); nothing()</script>')
    with open_page(tmp_path_factory.mktemp("other")) as other:
        other.go(bad)
        assert any(request.endswith("missing.png") for request in other.requests)
        assert len(other.complaints) >= 3


def test_every_figure_is_drawn(page) -> None:
    sizes = page.value(
        "[...document.querySelectorAll('figure svg, img')].map(x => x.getBoundingClientRect())"
        ".map(box => Math.min(box.width, box.height))"
    )
    assert len(sizes) == 11
    assert min(sizes) > 100


@pytest.mark.parametrize("width", [390, 800, 1200])
def test_the_page_is_as_wide_as_the_screen(page, width: int) -> None:
    page.show(width=width)
    assert page.value("document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out(page, scheme: str) -> None:
    page.show(scheme=scheme)
    paper = page.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.value(_CONTRAST) >= 4.5


def test_the_first_tab_leads_past_the_contents(page) -> None:
    page.show()
    page.value("document.activeElement.blur(); scrollTo(0, 0)")
    page.press_tab()
    focused = "document.activeElement"
    assert page.value(f"{focused}.className") == "skip"
    box = page.value(f"(box => [box.left, box.width])({focused}.getBoundingClientRect())")
    assert box[0] >= 0
    assert box[1] > 50
    assert page.value(f"getComputedStyle({focused}).outlineStyle") == "solid"


def test_a_figure_is_read_out_by_its_numbers(page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    images = [node["name"]["value"] for node in nodes if node["role"]["value"] in ("image", "img")]
    assert len(images) == 11
    assert re.match(r"ROC curve of 30 test people, \d+ of class 1", images[0])
    assert sum(node["role"]["value"] == "main" for node in nodes) == 1


def test_what_is_folded_is_printed(page) -> None:
    page.show(scheme="dark", media="print")
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = page.value("getComputedStyle(document.querySelector('details'), '::details-content').contentVisibility")
    assert folded == "visible"
    assert page.pdf().startswith(b"%PDF")
    page.show()
