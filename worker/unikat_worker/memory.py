"""Memory of this process as malloc counts it."""

from __future__ import annotations

import ctypes

_FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def allocated_bytes() -> int:
    """Bytes that malloc has handed out and not got back (mallinfo2(3)); 0 where the C library does not say.

    Unlike the resident size, it grows where memory that was free already is used again.
    """
    try:
        ask = ctypes.CDLL(None).mallinfo2  # glibc from 2.33 on
    except (AttributeError, OSError):
        return 0
    ask.restype = _Mallinfo2
    found = ask()
    return int(found.uordblks + found.hblkhd)
