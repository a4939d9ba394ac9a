"""The report as one page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from unikat_gallery.votes.plot import Row, shares_plot, told

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1c1a; --soft: #665f54; --paper: #f7f5f0; --line: #d8d2c5; --mark: #8a3b1e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ece8e0; --soft: #aaa396; --paper: #161513; --line: #38352f; --mark: #e5a584; }
}
body { margin: 0 auto; padding: 3rem 1.25rem 5rem; max-width: 46rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 "Iowan Old Style", Charter, Georgia, serif; }
h1 { font-size: 2.2rem; font-weight: 400; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; font-weight: 400; margin: 3rem 0 .5rem; border-top: 1px solid var(--line);
  padding-top: 1.5rem; }
p, li { max-width: 38rem; }
.soft, caption { color: var(--soft); }
svg { display: block; width: 100%; min-width: 34rem; height: auto; font: 14px system-ui, sans-serif; }
.scroll { overflow-x: auto; margin: 1rem 0; }
svg text { fill: var(--ink); } .label { text-anchor: end; }
svg .tick { text-anchor: middle; fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); } .reference { stroke: var(--soft); stroke-dasharray: 3 3; }
.interval { stroke: var(--mark); stroke-width: 3; } .value { fill: var(--mark); }
table { border-collapse: collapse; font: .875rem/1.5 system-ui, sans-serif; width: 100%; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--soft); } .number { font-variant-numeric: tabular-nums; }
"""

_LIMITS = (
    "Ranked are versions of models at a truncation, not single works: a work gets a few votes, and its rank would turn "
    "on them.",
    "Who voted is who came. Nothing here says what other people, or the same people in another year, would choose.",
    "The pairs were shown at the models' own size, enlarged, on the voters' screens, with no limit of time: drawings "
    "are easier to tell from pictures with more time, and harder on a small screen.",
    "Many pairs of entries are compared at once, each with its own interval: of twenty pairs that do not differ, one "
    "is expected to be told apart.",
)


def page_of(report: Json) -> str:
    """HTML of what `report_of` made."""
    sections = [
        _heading(report),
        _liked(report["like"]),
        _taken(report["artist"]),
        _reliable(report),
        "<h2>What this does not show</h2><ul>" + "".join(f"<li>{escape(each)}</li>" for each in _LIMITS) + "</ul>",
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>What people say of the drawings</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _heading(report: Json) -> str:
    votes, voters = report["votes"], report["voters"]
    return f"""<h1>What people say of the drawings</h1>
<p>{votes["counted"]:,} answers of {voters["counted"]:,} people count, of {votes["all"]:,} answers of {voters["all"]:,}.
The lines are {report["level"]:.0%} intervals. They say how much a figure would change with other voters; the answers of
one person are not taken as independent of each other.</p>"""


def _liked(liked: Json) -> str:
    parts = ["<h2>Which do you like?</h2>"]
    if not liked["groups"]:
        return parts[0] + "<p>Nobody was asked, or nobody whose answers count.</p>"
    parts.append(
        f'<p class="soft">Bradley–Terry strengths from {liked["votes"]:,} answers of {liked["voters"]:,} people, as '
        "how often an entry would be chosen beside an average one.</p>"
    )
    if len(liked["groups"]) > 1:
        parts.append("<p>The groups below were never compared with each other; each has an average of its own.</p>")
    for group in liked["groups"]:
        rows = [Row(each["entry"], each["preferred"], each["preferred_interval"]) for each in group["entries"]]
        parts.append(_plot(rows, "Chosen beside an average entry"))
        parts.append(_pairs(group["pairs"]))
    return "\n".join(parts)


def _pairs(pairs: Sequence[Json]) -> str:
    rows = [
        (
            f"{each['first']} rather than {each['second']}",
            told(Row("", each["preferred"], each["preferred_interval"])),
            "yes" if each["told_apart"] else "no",
        )
        for each in pairs
    ]
    return _table("Each beside each other one, by the ranking", ("pair", "chosen", "told apart"), rows)


def _taken(artist: Json) -> str:
    intro = (
        "<h2>Which is by the artist?</h2><p>A drawing beside a picture of the artist: the share of drawings that were "
        "taken for the artist's. At 50% people cannot tell them.</p>"
    )
    if artist["taken"] is None:
        return f"{intro}<p>Nobody was asked, or nobody whose answers count.</p>"
    rows = [_row("all drawings", artist["taken"])]
    rows += [_row(each["entry"], each["taken"]) for each in artist["entries"]]
    return intro + _plot(rows, "Share of drawings taken for the artist's")


def _reliable(report: Json) -> str:
    voters, controls = report["voters"], report["controls"]
    shares = [
        ("“which do you like?” answered as before", report["like"]["agreement"]),
        ("“which is by the artist?” answered as before", report["artist"]["agreement"]),
        ("left side chosen (sides are drawn by lot)", report["left"]),
    ]
    rows = [
        (name, told(_row("", share)), f"{share['answers']:,}", f"{share['voters']:,}")
        for name, share in shares
        if share
    ]
    passed = f"{controls['passed']:,} of {controls['answered']:,}"
    return f"""<h2>How reliable the answers are</h2>
<p>Of the voters, {voters["too_few_controls"]:,} answered fewer than {voters["least_controls"]} controls and
{voters["failed_controls"]:,} passed fewer than {voters["least_passed"]:.0%} of them; their answers do not count. A
control shows a picture beside the same one in pieces; {passed} were answered as who looks at them does.</p>
{_table("Repeated pairs, and sides", ("", "share", "answers", "people"), rows)}"""


def _row(label: str, share: Json) -> Row:
    return Row(label, share["value"], share["interval"])


def _plot(rows: Sequence[Row], described: str) -> str:
    return _scrolled(described, shares_plot(rows, described))


def _scrolled(label: str, content: str) -> str:
    """Content that may be wider than a phone; by the keyboard, too."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}">{content}</div>'


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = ["".join(f'<td class="number">{escape(cell)}</td>' for cell in row) for row in rows]
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead><tbody>{body}</tbody>"
    return _scrolled(caption, f"<table>{table}</table>")
