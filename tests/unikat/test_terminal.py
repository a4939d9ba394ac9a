"""Text of others does nothing to a terminal or a log."""

from __future__ import annotations

import ast
import io
import logging
from pathlib import Path

import pytest
from rich.table import Table

from unikat.printable import Formatter, printable
from unikat.terminal import Console

ROOT = Path(__file__).parents[2]
TITLE = "\x1b]0;owned\x07"
ACTING = [TITLE, "\x1b[2J", "\x9b31m", "\r", "\x08", "\u202eexe.png", "\u2028", "\ud800"]


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_is_shown_instead(text: str) -> None:
    shown = printable(f"a{text}b")
    assert shown.replace("\\", "").isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand a tab", "Œuvre", "👩‍🎨", "日本"])
def test_the_rest_stays(text: str) -> None:
    assert printable(text) == text


def test_a_terminal_gets_its_own_codes_and_no_others() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, highlight=False)
    table = Table("model", title=TITLE)
    table.add_row(f"[red]{TITLE}[/]")
    console.print(table)
    console.print(f"label {TITLE}", markup=False)
    assert "\x1b[" in screen.getvalue(), "red, and the table's own style"
    assert "\x1b]0" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()
    assert r"label \x1b]0;owned" in screen.getvalue()


def test_a_log_has_a_line_a_record_but_for_tracebacks() -> None:
    record = logging.LogRecord("unikat", logging.INFO, "", 0, "job %s failed", ("\x1b[31m\nINFO all is well",), None)
    assert Formatter("%(message)s").format(record) == r"job \x1b[31m\nINFO all is well failed"
    try:
        raise ValueError(TITLE)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "\nTraceback" in Formatter("%(message)s").format(record)
    assert TITLE not in Formatter("%(message)s").format(record)


def test_nothing_is_printed_or_logged_by_another_way() -> None:
    """`rich.console.Console` and `logging.basicConfig` are called in one place each."""
    ways = {"Console": set[str](), "basicConfig": set[str]()}
    sources = [path for name in ("unikat", "service", "worker", "training") for path in (ROOT / name).rglob("*.py")]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("rich.console", "rich"):
                names = {alias.name for alias in node.names}
                if names & {"Console", "print", "get_console"}:
                    ways["Console"].add(source.name)
            if isinstance(node, ast.Attribute) and node.attr in ("basicConfig", "Console"):
                ways[node.attr].add(source.name)
    assert ways == {"Console": {"terminal.py"}, "basicConfig": {"printable.py"}}
