"""What every command prints with: text of others does nothing to a terminal."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.segment import Segment

from unikat.printable import printable


class Console(rich.console.Console):
    """Rich's console. Its own codes (colours, bars) stay; those in what it is given are shown, not sent."""

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
