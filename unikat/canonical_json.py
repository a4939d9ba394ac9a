"""JSON with one text a value: names sorted, no spaces, UTF-8. What is hashed and signed is written so."""

from __future__ import annotations

import json
from typing import Any


def canonical(value: Any) -> str:  # noqa: ANN401  # JSON
    """The text. Raises ValueError for floating-point numbers, whose text differs between languages."""
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _refuse_floats(value: Any) -> None:  # noqa: ANN401
    if isinstance(value, float):
        raise ValueError(f"{value!r}: what is signed has whole numbers and texts only")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _refuse_floats(each)
