"""JSON that others may have written, to values that can be stored and sent on."""

from __future__ import annotations

import json
from typing import Any


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
