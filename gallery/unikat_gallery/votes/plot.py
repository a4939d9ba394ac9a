"""A plot of values with their intervals, one row each, as SVG inside a page: text that can be read and searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_ROW: Final = 34  # units of the drawing
_LABELS, _PLOT, _VALUES = 230, 380, 150  # widths of the columns
_TOP, _BOTTOM = 10, 26
_WIDTH: Final = _LABELS + _PLOT + _VALUES


@dataclass(frozen=True)
class Row:
    """One row: a share, 0 to 1, and its interval, if there is one."""

    label: str
    value: float
    interval: tuple[float, float] | None


def shares_plot(rows: Sequence[Row], described: str, reference: float = 0.5) -> str:
    """SVG of shares from 0 to 100%, with a line at `reference`; `described` is what a screen reader says of it."""
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(described)}">']
    foot = height - _BOTTOM
    for tick in (0, 0.25, 0.5, 0.75, 1):
        kind = "reference" if tick == reference else "grid"
        parts.append(f'<line class="{kind}" x1="{_x(tick)}" x2="{_x(tick)}" y1="{_TOP}" y2="{foot}"/>')
        parts.append(f'<text class="tick" x="{_x(tick)}" y="{height - 8}">{tick:.0%}</text>')
    for number, row in enumerate(rows):
        parts.append(_row(row, _TOP + _ROW * number + _ROW / 2))
    return "\n".join([*parts, "</svg>"])


def told(row: Row) -> str:
    """ "63% (55–70%)"."""
    if row.interval is None:
        return f"{row.value:.0%} (too few voters)"
    return f"{row.value:.0%} ({100 * row.interval[0]:.0f}–{row.interval[1]:.0%})"


def _row(row: Row, y: float) -> str:
    bar = ""
    if row.interval is not None:
        low, high = (_x(min(1.0, max(0.0, end))) for end in row.interval)
        bar = f'<line class="interval" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
    return (
        f'<text class="label" x="{_LABELS - 14}" y="{y + 5}">{escape(row.label)}</text>{bar}'
        f'<circle class="value" cx="{_x(row.value)}" cy="{y}" r="5.5"/>'
        f'<text class="number" x="{_LABELS + _PLOT + 14}" y="{y + 5}">{escape(told(row))}</text>'
    )


def _x(share: float) -> float:
    return round(_LABELS + share * _PLOT, 1)
