"""JSON that others may have written, to values that can be stored and sent on; values to JSON that people read."""

from __future__ import annotations

import json
from typing import Any, Final

_WIDTH: Final = 120


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  # JSON
    """The value of a JSON text.

    Raises ValueError, and nothing else, for what is no JSON, lies too deep in one another, or holds half a character
    ("\\ud800"), of which protobuf's own reader fails with a SystemError.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")  # json would read halves of characters in bytes
        found = json.loads(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds text that is not Unicode") from error
    except RecursionError as error:
        raise ValueError("its values lie too deep in one another") from error
    return found


def lines_of_json(value: Any, indent: str = "") -> str:  # noqa: ANN401  # JSON
    """JSON text in which what fits into a line is in one."""
    if not isinstance(value, dict | list | tuple) or len(json.dumps(value)) + len(indent) <= _WIDTH:
        return json.dumps(value)
    inner = indent + " "
    if isinstance(value, dict):
        opened, closed = "{", "}"
        parts = [f"{json.dumps(key)}: {lines_of_json(each, inner)}" for key, each in value.items()]
    else:
        opened, closed = "[", "]"
        parts = [lines_of_json(each, inner) for each in value]
    return f"{opened}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{closed}"
