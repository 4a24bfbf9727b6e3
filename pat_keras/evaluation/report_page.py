"""The parts of a page, as HTML text: everything that comes from files is escaped here and nowhere else.

One file without scripts, and nothing fetched from elsewhere; its own Content-Security-Policy forbids both.
"""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from pat_keras.evaluation.plot_style import PALETTE, to_svg

_NIGHT = {
    "ink": "#e6edf3",
    "muted": "#9aa4af",
    "grid": "#323a44",
    "first": "#62b0ff",
    "second": "#ffa066",
    "third": "#4cc498",
    "fourth": "#cf9be8",
}

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --shade: #f3f5f8; --warn: #8a1c00; --warn-paper: #ffe9e0; DAY }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161c; --shade: #1c222b; --warn: #ffb59c; --warn-paper: #3c1a10; NIGHT }
}
@media print { :root { color-scheme: light; --paper: #ffffff; --shade: #f3f5f8; --warn: #8a1c00;
  --warn-paper: #ffe9e0; DAY } nav { display: none; } body { font-size: 10pt; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .4rem; border-top: 1px solid var(--grid); }
p, ul { max-width: 46rem; } li { margin: .35rem 0; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .5rem; }
a { color: var(--first); }
a:focus-visible, .scroll:focus-visible, summary:focus-visible { outline: 3px solid var(--second); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; } .skip:focus { position: static; display: inline-block; padding: .3rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0; max-width: none; }
.banner { border: 3px solid var(--warn); background: var(--warn-paper); color: var(--warn); padding: .9rem 1.2rem;
  border-radius: .4rem; font-size: 1.1rem; }
.notice { border-left: 5px solid var(--warn); background: var(--shade); padding: .7rem 1rem; max-width: 46rem;
  overflow-wrap: anywhere; }
.notice strong { display: block; }
.banner strong { display: block; font-size: 1.6rem; letter-spacing: .02em; }
.lead { font-size: 1.15rem; } .muted, small { color: var(--muted); }
main:focus { outline: none; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding-bottom: .3rem; caption-side: top; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--grid); }
th { font-weight: 600; } thead th { border-bottom: 2px solid var(--muted); } td small { display: block; }
td { overflow-wrap: anywhere; min-width: 6.2rem; }
@media (max-width: 34rem) { th, td { padding-right: .45rem; font-size: .86rem; } td { min-width: 4.9rem; } }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.2rem; }
.figures.small { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0; max-width: 34rem; break-inside: avoid; } figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: inherit !important; }
figcaption { color: var(--muted); font-size: .92rem; }
pre { background: var(--shade); padding: .8rem; overflow-x: auto; border-radius: .4rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600; }
tr, .banner { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
@media print { .skip { display: none; } details::details-content { content-visibility: visible; block-size: auto; }
  .figures, .figures.small { grid-template-columns: repeat(2, 1fr); } .scroll { overflow: visible; }
  th, td { font-size: 7.5pt; padding-right: .35rem; min-width: 0; overflow-wrap: break-word; }
  figcaption, pre { font-size: 8pt; } }
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, and HTML below it."""

    title: str
    body: str

    @property
    def anchor(self) -> str:
        """The heading as an id."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def text(value: object) -> str:
    """Anything as text that HTML cannot mistake for markup."""
    return html.escape(str(value))


def paragraph(words: str, css: str = "") -> str:
    """A paragraph of plain words."""
    return f'<p class="{css}">{text(words)}</p>' if css else f"<p>{text(words)}</p>"


def banner(title: str, words: str) -> str:
    """What has to be known before anything else on the page."""
    return f'<div class="banner" role="note"><strong>{text(title)}</strong>{text(words)}</div>\n'


def subheading(words: str) -> str:
    """A heading within a section."""
    return f"<h3>{text(words)}</h3>"


def folded(summary: str, body: str) -> str:
    """HTML behind a line that opens it; open in print."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def bullets(items: Sequence[str]) -> str:
    """A list of plain sentences."""
    return "<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>"


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose first column names its rows. A cell of a pair shows the second below the first, smaller."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>' + "".join(f"<td>{_cell(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        # Reachable by keyboard, since on a narrow screen it scrolls sideways.
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(drawing: Figure, name: str, alt: str, caption: str = "") -> str:
    """A figure as inline SVG in the page's colours, with `alt` for those who don't see it."""
    svg = to_svg(drawing, name)
    for key, color in PALETTE.items():
        svg = svg.replace(color, f"var(--{key})")
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{text(alt)}" ', 1)
    return f"<figure>{svg}<figcaption>{text(caption or alt)}</figcaption></figure>"


def page(title: str, opening: str, sections: Sequence[Section], closing: str) -> str:
    """The whole file: a title, an opening, a table of contents, the sections, a last line."""
    day, night = ("".join(f"--{key}: {value}; " for key, value in colors.items()) for colors in (PALETTE, _NIGHT))
    contents = "".join(f'<li><a href="#{section.anchor}">{text(section.title)}</a></li>' for section in sections)
    body = "\n".join(
        f'<section aria-labelledby="{section.anchor}"><h2 id="{section.anchor}">{text(section.title)}</h2>\n'
        f"{section.body}</section>"
        for section in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{text(title)}</title>
<style>{_STYLE.replace("DAY", day).replace("NIGHT", night)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the results</a>
<header><h1>{text(title)}</h1>
{opening}</header>
<nav aria-label="Contents"><ul>{contents}</ul></nav>
<main id="content" tabindex="-1">
{body}
</main>
<footer><p class="muted">{text(closing)}</p></footer>
</body>
</html>
"""


def _cell(cell: object) -> str:
    if isinstance(cell, tuple):
        return f"{text(cell[0])}<small>{text(cell[1])}</small>" if cell[1] else text(cell[0])
    return text(cell)
